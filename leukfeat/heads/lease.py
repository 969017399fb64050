"""Who works on a trial, and how the others learn that it is dead: at once on one machine, after a lease elsewhere.

Nobody's clock is compared with anybody else's. Whoever works on a trial counts up a number in the storage; whoever
waits for the trial watches the number, and takes it for dead when it has not changed during a whole lease of
watching. A time in which the storage could not be asked does not count: when a database comes back, all trials would
look dead together.
"""

from __future__ import annotations

import functools
import os
import threading
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from leukfeat.errors import HeadError

LEASE_SECONDS = 60.0  # of watching, before a trial is given up
RENEWAL_SECONDS = 10.0  # between two renewals
LOOK_SECONDS = 0.5  # between two looks at a study in which everything is being worked on

RENEWALS = "leukfeat_renewals"  # attribute of a trial

_LONGEST_STEP = 2.0  # seconds that the time between two looks counts at most
_END_SECONDS = 5.0  # to wait for a thread that may be waiting for a database


@dataclass(frozen=True)
class Owner:
    """A process that works on a trial.

    Attributes
    ----------
    machine : str
        Running system and its name space of processes: within one, numbers of processes can be compared.
    process : int
        Number of the process.
    began : str
        When it began, as its system counts; numbers are used again. Empty where that is not told.
    """

    machine: str
    process: int
    began: str

    @classmethod
    def here(cls) -> Owner:
        """This process."""
        return cls(_machine(), os.getpid(), _began(os.getpid()) or "")

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Owner:
        """The process that a claim names."""
        return cls(str(stored["machine"]), int(stored["process"]), str(stored["began"]))

    def as_stored(self) -> dict[str, Any]:
        """JSON types."""
        return asdict(self)

    def is_gone(self) -> bool:
        """Whether it is known to have ended; False where nothing is known, as of another machine."""
        if self.machine != _machine() or os.name != "posix":
            return False
        try:
            os.kill(self.process, 0)  # asks only
        except ProcessLookupError:
            return True
        except OSError:
            return False  # somebody else's
        began = _began(self.process)
        return began is None or (bool(began) and bool(self.began) and began != self.began)


def _began(process: int) -> str | None:
    """When a process began; None of one that has ended and waits to be counted; empty where it is not told."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return None if fields[0] in "ZX" else fields[19]


@functools.cache
def _machine() -> str:
    """This running system and this name space of processes; a name that fits nothing else where neither is told."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}-{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return f"{uuid.getnode():x}" if os.name == "posix" and not Path("/proc").is_dir() else uuid.uuid4().hex


class Watch:
    """Which running trials have gone a lease without a renewal."""

    def __init__(self) -> None:
        self._looked: float | None = None
        self._seen: dict[int, tuple[Any, float]] = {}  # of a trial: its renewals, and seconds of watching since

    def given_up(self, running: Iterable[Any]) -> list[Any]:
        """Look at the running trials of a study, and name those whose lease is over."""
        now = time.monotonic()
        step = 0.0 if self._looked is None else min(now - self._looked, _LONGEST_STEP)
        self._looked = now
        seen = {}
        over = []
        for trial in running:
            renewals = trial.user_attrs.get(RENEWALS, 0)
            before, seconds = self._seen.get(trial._trial_id, (renewals, 0.0))
            seconds = seconds + step if renewals == before else 0.0
            seen[trial._trial_id] = renewals, seconds
            if seconds > LEASE_SECONDS:
                over.append(trial)
        self._seen = seen
        return over


class Renewal:
    """Renews the lease of a trial, in a thread, as long as it is worked on.

    Parameters
    ----------
    storage : Optuna storage
        Where the trial is.
    trial_id : int
        Its number there.
    """

    def __init__(self, storage: Any, trial_id: int) -> None:
        self.storage, self.trial_id = storage, trial_id
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name=f"lease of trial {trial_id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(_END_SECONDS)

    def _renew(self) -> None:
        from optuna.exceptions import UpdateFinishedTrialError

        renewals = 0
        while not self._ended.wait(RENEWAL_SECONDS):
            renewals += 1
            try:
                self.storage.set_trial_user_attr(self.trial_id, RENEWALS, renewals)
            except (UpdateFinishedTrialError, HeadError):
                return  # given up by another, or a storage that fails: whoever works on the trial learns the same
