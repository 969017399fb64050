"""The workers of a Ray cluster."""

from __future__ import annotations

import contextlib
import logging
import platform
from collections.abc import Callable, Mapping
from typing import Any

import ray
from ray.exceptions import (
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayError,
    RaySystemError,
    WorkerCrashedError,
)
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from leukfeat.errors import WorkerError
from leukfeat.experiments.backends import COMING, Backend, Probe, knock, unreachable
from leukfeat.experiments.clustertasks import ClusterTasks
from leukfeat.experiments.surroundings import Facts


class RayWorkers:
    """A connection to a Ray cluster (see :class:`leukfeat.experiments.backends.Connection`).

    Ray is told not to run a lost task again: one that needs too much memory it would run for ever, whatever number of
    times it is allowed.

    Parameters
    ----------
    backend : Backend
        Address, tasks at a time, and whether each needs a GPU.

    Raises
    ------
    WorkerError
        No cluster answers, or it has no processors.
    """

    resubmissions = 4
    broken: tuple[type[BaseException], ...] = ()
    gone: tuple[type[BaseException], ...] = (RaySystemError,)

    def __init__(self, backend: Backend) -> None:
        address = backend.address or "auto"
        self._own = not ray.is_initialized()
        if self._own:
            if address not in ("auto", "local"):
                knock("Ray cluster", address)
            try:
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
            except (OSError, RuntimeError, ValueError) as error:
                raise WorkerError(unreachable("Ray cluster", address, error)) from error
        kind = "GPU" if backend.gpu else "CPU"
        there = int(ray.cluster_resources().get(kind, 0))
        if not there:
            self.close()
            raise WorkerError(f"{address}: the Ray cluster has no {kind}; add nodes (ray start --address …)")
        self._call = ray.remote(num_cpus=1, num_gpus=int(backend.gpu), max_retries=0)(_call)
        self._references: dict[Any, Any] = {}
        self.at_once: int = backend.workers or there
        lost = (WorkerCrashedError, NodeDiedError, OutOfMemoryError, ObjectLostError)  # the last of a result
        self.settings: Mapping[str, Any] = {"backend": ClusterTasks(self.at_once, self._submit, self._cancel, lost)}

    def _submit(self, work: Callable[[], Any], name: str) -> Any:
        reference = self._call.options(name=name).remote(work)
        future = reference.future()
        self._references[future] = reference
        future.add_done_callback(lambda done: self._references.pop(done, None))
        return future

    def _cancel(self, futures: list[Any]) -> None:
        with contextlib.suppress(RayError):
            for reference in [self._references.get(future) for future in futures]:
                if reference is not None:
                    ray.cancel(reference, force=True)

    def survey(self, probe: Probe) -> list[Facts]:
        """What a probe finds on every node. Ray itself refuses nodes with another version of Python or of Ray.

        Of a node that leaves meanwhile nothing is found; whoever gets a task looks for itself.
        """
        ask = ray.remote(num_cpus=0)(probe)
        nodes = [node for node in ray.nodes() if node["Alive"]]
        asked = [
            ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote()
            for node in nodes
        ]
        found = []
        for node, answer in zip(nodes, asked, strict=True):
            with contextlib.suppress(RayError):
                facts = ray.get(answer, timeout=COMING)
                found.append(Facts(node["NodeManagerAddress"], platform.python_version(), **facts))
        return found

    def close(self) -> None:
        """Let go of the cluster."""
        if self._own:
            ray.shutdown()


def _call(work: Callable[[], Any]) -> Any:
    return work()
