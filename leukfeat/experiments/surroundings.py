"""What a worker needs to have in common with the process that sends it work: leukfeat, the images, the store."""

from __future__ import annotations

import contextlib
import os
import platform
import socket
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leukfeat.data.manifest import Manifest
from leukfeat.errors import WorkerError
from leukfeat.experiments.environment import version
from leukfeat.features.store import leukfeat_version
from leukfeat.textfiles import TEMPORARY

# What computes rows, trials and models; of another version, it may compute others.
LIBRARIES = ("numpy", "scikit-learn", "xgboost", "lightgbm", "optuna", "timm", "torch")


@dataclass(frozen=True)
class Facts:
    """What was found on a worker.

    Attributes
    ----------
    where : str
        Its address.
    python : str
        Version.
    leukfeat : str or None
        Version; None where it is not installed, or nobody could ask.
    missing : tuple of str
        Paths that are not there.
    libraries : tuple of (str or None)
        Versions of :data:`LIBRARIES`; empty where nobody has looked.
    """

    where: str
    python: str
    leukfeat: str | None
    missing: tuple[str, ...] = ()
    libraries: tuple[str | None, ...] = ()


@dataclass(frozen=True)
class Surroundings:
    """What a worker needs to have.

    Attributes
    ----------
    version : str
        Of leukfeat.
    folder : str
        Working directory, in which relative paths mean the same as here.
    paths : tuple of str
        What has to be there.
    libraries : tuple of (str or None)
        Versions of :data:`LIBRARIES`.
    """

    version: str
    folder: str
    paths: tuple[str, ...]
    libraries: tuple[str | None, ...] = ()

    @classmethod
    def here(cls, paths: Sequence[Path]) -> Surroundings:
        """Those of this process."""
        folder = Path.cwd()
        paths = [folder / path for path in paths]
        return cls(leukfeat_version(), str(folder), tuple(map(str, (folder, *paths))), library_versions())

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Make a worker's process like the one that sends the work, as long as the block runs.

        Raises
        ------
        WorkerError
            It cannot be; the message says where.
        """
        missing = tuple(path for path in self.paths if not os.path.exists(path))  # noqa: PTH110 (as the probe does)
        python, host = platform.python_version(), socket.gethostname()
        self.refuse_unlike([Facts(host, python, leukfeat_version(), missing, library_versions())])
        with _FOLDER.held(self.folder):
            yield

    def probe(self) -> Callable[[], dict[str, Any]]:
        """A function that finds out the same on a worker that may have no leukfeat, or another one.

        It is made here, so that it travels as code and not as the name of something in leukfeat.
        """
        paths, libraries = self.paths, LIBRARIES

        def look() -> dict[str, Any]:
            import importlib.metadata
            import importlib.util
            import os

            versions: dict[str, str | None] = {}
            for name in ("leukfeat", *libraries):
                try:
                    versions[name] = importlib.metadata.version(name)
                except importlib.metadata.PackageNotFoundError:
                    versions[name] = None
            there = importlib.util.find_spec("leukfeat") is not None
            return {
                "leukfeat": (versions["leukfeat"] or "source") if there else None,
                "missing": tuple(path for path in paths if not os.path.exists(path)),  # noqa: PTH110
                "libraries": tuple(versions[name] for name in libraries),
            }

        return look

    def refuse_unlike(self, found: Sequence[Facts]) -> None:
        """Say which workers cannot do the work.

        Raises
        ------
        WorkerError
            One or more lack Python, leukfeat, a library or a path.
        """
        python = platform.python_version()
        same = f"and {self.version} here: install the same version on every worker"
        kinds: list[tuple[list[Facts], Callable[[Facts], str]]] = [
            (
                [each for each in found if _minor(each.python) != _minor(python)],
                lambda each: f"Python {each.python}, and {python} here: give every worker the same",
            ),
            (
                [each for each in found if each.leukfeat != self.version],
                lambda each: f"leukfeat {each.leukfeat}, {same}" if each.leukfeat else f"no leukfeat, {same}",
            ),
            (
                [each for each in found if self._other_libraries(each)],
                lambda each: f"{self._other_libraries(each)}: install the same version on every worker",
            ),
            (
                [each for each in found if each.missing],
                lambda each: f"no {each.missing[0]}: share it under the same name with every worker",
            ),
        ]
        for those, what in kinds:
            if those:
                raise WorkerError(
                    f"{len(those)} of {len(found)} worker(s) cannot do this work, e.g. {those[0].where} has"
                    f" {what(those[0])}; see docs/cluster.md"
                )

    def _other_libraries(self, found: Facts) -> str:
        """The first library that is of another version there, in words; empty where all are the same."""
        for name, here, there in zip(LIBRARIES, self.libraries, found.libraries, strict=False):
            if here is not None and (there or "").partition("+")[0] != here.partition("+")[0]:  # 2.6.0+cpu is 2.6.0
                return f"{name} {there}, and {here} here" if there else f"no {name}, and {here} here"
        return ""


class _Folder:
    """The working directory, which all threads of a process share: tasks of one command wait for those of another."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._coming: deque[object] = deque()  # in order: a command with many tasks does not keep another out
        self._name, self._within = "", 0

    @contextlib.contextmanager
    def held(self, name: str) -> Iterator[None]:
        """Work in a folder; it stays the working directory, for the next task of the same command."""
        with self._changed:
            ticket = object()
            self._coming.append(ticket)
            try:
                self._changed.wait_for(lambda: self._coming[0] is ticket and (not self._within or self._name == name))
                if os.getcwd() != name:  # noqa: PTH109
                    os.chdir(name)
                self._name, self._within = name, self._within + 1
            finally:
                self._coming.remove(ticket)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._within -= 1
                self._changed.notify_all()


_FOLDER = _Folder()


def library_versions() -> tuple[str | None, ...]:
    """Installed versions of :data:`LIBRARIES`."""
    return tuple(map(version, LIBRARIES))


def _minor(python: str) -> list[str]:
    return python.split(".")[:2]


@contextlib.contextmanager
def mark(folder: Path) -> Iterator[Path]:
    """A file in a folder, as long as the block runs: who does not see it has another folder under that name.

    Raises
    ------
    WorkerError
        The folder cannot be written.
    """
    file = folder / f"{TEMPORARY}workers-{uuid.uuid4().hex}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file.touch()
    except OSError as error:
        raise WorkerError(f"{folder}: cannot be written ({error.strerror or error}); workers share it") from error
    try:
        yield file
    finally:
        with contextlib.suppress(OSError):
            file.unlink()


def needed_paths(manifest: Manifest) -> list[Path]:
    """A data set's folder, and the first image that is there: an empty folder may stand where a disk is not mounted."""
    files = (manifest.file(row) for row in range(len(manifest)))
    first = next((file for file in files if file.exists()), None)
    return [manifest.root] if first is None else [manifest.root, first]
