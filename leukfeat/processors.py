"""How many processors this process may use: fewer than there are, where a container or a batch system says so."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_MEMBERSHIP = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")


def usable_processors() -> int:
    """Processors that this process may run on, and no more than its control groups give it time of.

    A container with two processors' time on a machine of 64 sees 64; so many threads there mostly wait for their turn.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(allowed, quota())))


def quota(membership: Path = _MEMBERSHIP, groups: Path = _GROUPS) -> float:
    """Processors whose time the control groups of this process (Linux, versions 1 and 2) give it; infinite where none
    limits it.

    Parameters
    ----------
    membership : path
        Names the groups of the process, a line each: ``0::/path``, or ``4:cpu,cpuacct:/path`` in version 1.
    groups : path
        Where groups are mounted.
    """
    least = math.inf
    with contextlib.suppress(OSError):
        for line in membership.read_text(encoding="utf-8", errors="replace").splitlines():
            _, _, rest = line.partition(":")
            controllers, _, name = rest.partition(":")
            if controllers == "":
                least = min(least, *(_limit(folder / "cpu.max") for folder in _upwards(groups, name)))
            elif "cpu" in controllers.split(","):
                for folder in _upwards(groups / "cpu", name):
                    least = min(least, _limit(folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us"))
    return least


def _upwards(groups: Path, name: str) -> Iterator[Path]:
    """The folder of a group, and of those that it is part of; in a container, the lower ones may not be shown."""
    inside = PurePosixPath(name.lstrip("/"))
    yield from (groups / part for part in (inside, *inside.parents))


def _limit(*files: Path) -> float:
    """Quota by period, both in microseconds and in one file or two; infinite where there is none."""
    try:
        time, period = (float(word) for file in files for word in file.read_text(encoding="ascii").split())
    except (OSError, ValueError):  # no such group, or "max"
        return math.inf
    return time / period if time > 0 and period > 0 else math.inf
