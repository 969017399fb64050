"""What may be asked to do work: processes or threads of this machine, or the workers of a Dask or Ray cluster."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any, Protocol

from leukfeat.errors import UnknownNameError, UsageError, WorkerError
from leukfeat.experiments.surroundings import Facts

CONNECTING = 10.0  # seconds until somebody who does not answer counts as not there
COMING = 300.0  # seconds until the first worker has to be there: a queue of jobs may be busy
LOST = object()  # in place of the result of a task that was lost with its worker

Told = Callable[[str], None]
Probe = Callable[[], dict[str, Any]]


@dataclass(frozen=True)
class Backend:
    """What somebody asks for; results do not depend on it.

    Parameters
    ----------
    name : str
        A name in :data:`BACKENDS`.
    address : str or None
        Of the cluster: a Dask scheduler (``tcp://host:8786``, or the file it writes), or a Ray head
        (``host:6379``; None or ``auto`` for the one of this machine, ``local`` starts one).
    workers : int or None
        Shards or folds at once; None for as many as there are workers, here as many as processors.
    shard_size : int or None
        Images a shard; None chooses.
    gpu : bool
        Whether each worker needs a GPU of its own; Ray then gives it one.

    Raises
    ------
    UnknownNameError
        No such backend.
    UsageError
        An address where there is none to have, or none where there has to be one; a number below 1; a library that is
        not installed.
    """

    name: str = "loky"
    address: str | None = None
    workers: int | None = None
    shard_size: int | None = None
    gpu: bool = False

    def __post_init__(self) -> None:
        if self.name not in BACKENDS:
            raise UnknownNameError("backend", self.name, BACKENDS)
        kind = BACKENDS[self.name]
        if self.address is not None and not kind.elsewhere:
            raise UsageError(f"--backend {self.name} works on this machine; --address belongs to dask and ray")
        if self.address is None and kind.needs_address:
            raise UsageError(f"--backend {self.name} needs --address, e.g. {kind.needs_address}; see docs/cluster.md")
        for name, number in (("workers", self.workers), ("shard-size", self.shard_size)):
            if number is not None and number < 1:
                raise UsageError(f"--{name} is {number}; give at least 1")
        missing = [library for library in kind.libraries if find_spec(library) is None]
        if missing:
            raise UsageError(
                f"--backend {self.name} needs {', '.join(missing)}, which is not installed;"
                f" pip install 'leukfeat[{self.name}]'"
            )

    @property
    def elsewhere(self) -> bool:
        """Whether workers may be on other machines."""
        return BACKENDS[self.name].elsewhere


class Connection(Protocol):
    """A way to workers.

    Attributes
    ----------
    at_once : int
        Tasks at a time.
    settings : mapping
        What :func:`joblib.parallel_config` takes.
    broken : tuple of exception types
        By which one learns that a worker was lost, and everything with it that was out. Where the workers of a cluster
        work, only what was lost is, and its result is :data:`LOST`.
    gone : tuple of exception types
        By which one learns that nobody hands out tasks any more.
    resubmissions : int
        How often a task that was lost with its worker is submitted again.
    """

    at_once: int
    settings: Mapping[str, Any]
    broken: tuple[type[BaseException], ...]
    gone: tuple[type[BaseException], ...]
    resubmissions: int

    def survey(self, probe: Probe) -> list[Facts]:
        """What a probe finds on every worker; nothing where workers are copies of this process."""
        ...

    def close(self) -> None:
        """Let go of the workers."""
        ...


@dataclass(frozen=True)
class BackendKind:
    """A backend, before there is a connection.

    Attributes
    ----------
    summary : str
        One line.
    elsewhere : bool
        Whether workers may be on other machines.
    libraries : tuple of str
        What it needs beyond joblib.
    needs_address : str
        An example, where an address has to be given.
    """

    summary: str
    elsewhere: bool = False
    libraries: tuple[str, ...] = ()
    needs_address: str = ""


BACKENDS: Mapping[str, BackendKind] = MappingProxyType(
    {
        "loky": BackendKind("processes of this machine"),
        "threading": BackendKind("threads of this process"),
        "dask": BackendKind("workers of a Dask scheduler", True, ("dask", "distributed"), "tcp://HOST:8786"),
        "ray": BackendKind("workers of a Ray cluster", True, ("ray",)),
    }
)


def unreachable(what: str, address: str, error: Exception) -> str:
    """What to say where nobody answers."""
    reason = " ".join(str(error).split())
    return f"{address}: no {what} answers there ({reason[:200]}); start it, or mend --address; see docs/cluster.md"


def knock(what: str, address: str) -> None:
    """See whether anybody listens at ``host:port``.

    Dask would leave a client behind that complains once more at the end; Ray would try for minutes, and then end the
    process.

    Raises
    ------
    WorkerError
        Nobody does, or it is no such address.
    """
    host, _, port = address.rpartition("//")[2].rpartition(":")
    try:
        if not (host and port.isdigit()):
            raise OSError("an address is written HOST:PORT")
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECTING).close()
    except (OSError, OverflowError) as error:
        raise WorkerError(unreachable(what, address, error)) from error
