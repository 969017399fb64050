"""Connections to workers, by the name of their backend; dask and ray are imported when they are asked for.

joblib hands out the tasks; a connection says which of its backends does, how many at once, and how one learns that a
worker was lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from leukfeat.experiments.backends import Backend, Connection, Probe, Told
from leukfeat.experiments.surroundings import Facts


class HereWorkers:
    """Processes or threads of this machine (see :class:`leukfeat.experiments.backends.Connection`)."""

    resubmissions = 3
    gone: tuple[type[BaseException], ...] = ()

    def __init__(self, backend: Backend) -> None:
        from joblib import cpu_count
        from joblib.externals.loky.process_executor import TerminatedWorkerError

        self.at_once: int = backend.workers or cpu_count()
        self.settings: Mapping[str, Any] = {"backend": backend.name}
        self.broken: tuple[type[BaseException], ...] = (TerminatedWorkerError,)

    def survey(self, probe: Probe) -> list[Facts]:
        """Nothing: they are copies of this process, or in it."""
        return []

    def close(self) -> None:
        """Nothing: joblib ends processes that have had no work for a while."""


def open_connection(backend: Backend, told: Told) -> Connection:
    """Connect.

    Raises
    ------
    WorkerError
        Nobody answers, or no worker comes.
    """
    return _OPEN[backend.name](backend, told)


def _dask(backend: Backend, told: Told) -> Connection:
    from leukfeat.experiments.daskworkers import DaskWorkers

    return DaskWorkers(backend, told)


def _ray(backend: Backend, told: Told) -> Connection:
    from leukfeat.experiments.rayworkers import RayWorkers

    return RayWorkers(backend)


_OPEN: Mapping[str, Callable[[Backend, Told], Connection]] = MappingProxyType(
    {
        "loky": lambda backend, told: HereWorkers(backend),
        "threading": lambda backend, told: HereWorkers(backend),
        "dask": _dask,
        "ray": _ray,
    }
)
