"""The workers of a Dask scheduler."""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from distributed import Client, Future
from distributed.comm import CommClosedError
from distributed.scheduler import KilledWorker
from distributed.utils import CancelledError

from leukfeat.errors import WorkerError
from leukfeat.experiments.backends import COMING, CONNECTING, Backend, Probe, Told, knock, unreachable
from leukfeat.experiments.clustertasks import ClusterTasks
from leukfeat.experiments.surroundings import Facts
from leukfeat.jsonfiles import parse_json


class DaskWorkers:
    """A connection to a Dask scheduler (see :class:`leukfeat.experiments.backends.Connection`).

    Dask itself runs a task again whose worker died, four times in all unless the scheduler is configured otherwise.

    Parameters
    ----------
    backend : Backend
        Address, and tasks at a time.
    told : callable(str)
        Takes a line for people.

    Raises
    ------
    WorkerError
        No scheduler answers, or no worker comes.
    """

    resubmissions = 1
    broken: tuple[type[BaseException], ...] = ()
    gone: tuple[type[BaseException], ...] = (CommClosedError, CancelledError)

    def __init__(self, backend: Backend, told: Told) -> None:
        self._address = str(backend.address)
        try:
            with _quiet():
                self._client = Client(_resolved(self._address), timeout=CONNECTING, set_as_default=False)
        except (OSError, ValueError) as error:
            raise WorkerError(unreachable("Dask scheduler", self._address, error)) from error
        self._wait(told)
        self.at_once: int = backend.workers or max(1, sum(self._client.ncores().values()))
        tasks = ClusterTasks(self.at_once, self._submit, self._cancel, (KilledWorker,))
        self.settings: Mapping[str, Any] = {"backend": tasks}

    def _wait(self, told: Told) -> None:
        """Until there is a worker."""
        if self._client.ncores():
            return
        told(f"{self._address}: no worker yet; waiting for one")
        wanted = self._client.submit(int, pure=False)  # a cluster that adapts starts workers for tasks alone
        try:
            self._client.wait_for_workers(1, timeout=COMING)
        except TimeoutError as error:
            self.close()
            raise WorkerError(
                f"{self._address}: the scheduler answers, but no worker has come in {COMING:.0f} s; start some (dask"
                f" worker {self._address} --nthreads 1), see docs/cluster.md"
            ) from error
        finally:
            wanted.release()

    def _submit(self, work: Callable[[], Any], name: str) -> Future:
        return self._client.submit(work, key=f"{name}-{uuid.uuid4().hex}", pure=False)

    def _cancel(self, futures: list[Future]) -> None:
        with contextlib.suppress(*self.gone, OSError):
            self._client.cancel(futures)

    def survey(self, probe: Probe) -> list[Facts]:
        """What a probe finds on every worker; it is not sent to those with another Python, which may not read it.

        Of a worker that leaves meanwhile nothing is found; whoever gets a task looks for itself.
        """
        versions = self._client.get_versions()
        here = _python(versions["client"])
        pythons = {where: _python(of) for where, of in versions["workers"].items()}
        alike = [where for where, python in pythons.items() if python.split(".")[:2] == here.split(".")[:2]]
        found: dict[str, dict[str, Any]] = self._client.run(probe, workers=alike, on_error="ignore") if alike else {}
        found |= {where: {"leukfeat": None} for where in pythons if where not in alike}
        return [Facts(where, pythons[where], **facts) for where, facts in found.items()]

    def close(self) -> None:
        """Let go of the workers; what they are at is finished, and nobody waits for it."""
        with _quiet():
            self._client.close()


def _resolved(address: str) -> str:
    """The address itself, from the scheduler's file where that is given; somebody listens there.

    Raises
    ------
    WorkerError
        Nobody does, or the file cannot be read.
    """
    scheduler = address
    if address.endswith(".json"):
        try:
            scheduler = str(parse_json(Path(address).read_text(encoding="utf-8"))["address"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WorkerError(unreachable("Dask scheduler", address, error)) from error
    knock("Dask scheduler", scheduler)
    return scheduler


def _python(versions: Mapping[str, Any]) -> str:
    return str(dict(versions["host"])["python"]).split(" ")[0]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Dask from logging what is told as an error, or is of no concern to anybody."""
    logs = [logging.getLogger(name) for name in ("distributed", "distributed.client")]  # each has a level of its own
    before = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for log, level in zip(logs, before, strict=True):
            log.setLevel(level)
