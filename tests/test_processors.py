"""Processors are counted as a container is given them."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from leukfeat import processors
from leukfeat.processors import quota, usable_processors


def _group(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)


@pytest.mark.parametrize(
    ("membership", "groups", "expected"),
    [
        ("0::/\n", {"": {"cpu__max": "200000 100000\n"}}, 2.0),
        ("0::/\n", {"": {"cpu__max": "max 100000\n"}}, math.inf),
        ("0::/\n", {"": {}}, math.inf),  # the uppermost group of a machine has no such file
        # of a job within a slice, the tighter one counts
        ("0::/a/b\n", {"a": {"cpu__max": "150000 100000"}, "a/b": {"cpu__max": "max 100000"}}, 1.5),
        # without a name space of its own, a container is told a path that it cannot see
        ("0::/docker/4f\n", {"": {"cpu__max": "50000 100000"}}, 0.5),
        # version 1
        ("5:cpu,cpuacct:/j\n1:name=x:/", {"cpu/j": {"cpu__cfs_quota_us": "40", "cpu__cfs_period_us": "10"}}, 4.0),
        ("5:cpu,cpuacct:/\n", {"cpu": {"cpu__cfs_quota_us": "-1", "cpu__cfs_period_us": "100000"}}, math.inf),
        ("4:cpuset:/\n", {"cpu": {"cpu__cfs_quota_us": "1", "cpu__cfs_period_us": "1"}}, math.inf),
    ],
)  # fmt: skip
def test_the_time_of_so_many_processors(
    membership: str, groups: dict[str, dict[str, str]], expected: float, tmp_path: Path
) -> None:
    for folder, files in groups.items():
        _group(tmp_path / "groups" / folder, **files)
    (tmp_path / "membership").write_text(membership)
    assert quota(tmp_path / "membership", tmp_path / "groups") == expected


def test_where_nothing_is_told_nothing_is_limited(tmp_path: Path) -> None:
    assert quota(tmp_path / "not-there", tmp_path) == math.inf


@pytest.mark.parametrize(("given", "expected"), [(0.5, 1), (1.5, 2), (math.inf, 64)])
def test_no_more_than_there_is_time_for_and_never_none(
    given: float, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)), raising=False)
    monkeypatch.setattr(processors, "quota", lambda: given)
    assert usable_processors() == expected


def test_threads_of_heads_decoders_and_engines_go_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from leukfeat.backbones.engines import lanes
    from leukfeat.backbones.stream import default_workers
    from leukfeat.heads import threads

    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)), raising=False)
    monkeypatch.setattr(processors, "quota", lambda: 3.0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    assert (threads.processors(-1), default_workers(), lanes.processors()) == (3, 3, 3)
