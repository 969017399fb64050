"""What a worker needs to have in common with the process that sends it work: leukfeat, the images, the store."""

from __future__ import annotations

import contextlib
import os
import platform
import socket
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leukfeat.data.manifest import Manifest
from leukfeat.errors import WorkerError
from leukfeat.features.store import leukfeat_version
from leukfeat.textfiles import TEMPORARY


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
    """

    where: str
    python: str
    leukfeat: str | None
    missing: tuple[str, ...] = ()


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
    """

    version: str
    folder: str
    paths: tuple[str, ...]

    @classmethod
    def here(cls, paths: Sequence[Path]) -> Surroundings:
        """Those of this process."""
        folder = Path.cwd()
        return cls(leukfeat_version(), str(folder), (str(folder), *(str(folder / path) for path in paths)))

    def enter(self) -> None:
        """Make a worker's process like the one that sends the work.

        Raises
        ------
        WorkerError
            It cannot be; the message says where.
        """
        missing = tuple(path for path in self.paths if not os.path.exists(path))  # noqa: PTH110 (as the probe does)
        here = Facts(socket.gethostname(), platform.python_version(), leukfeat_version(), missing)
        self.refuse_unlike([here])
        if os.getcwd() != self.folder:  # noqa: PTH109
            os.chdir(self.folder)  # and it stays: other tasks of the same run may be there too

    def probe(self) -> Callable[[], dict[str, Any]]:
        """A function that finds out the same on a worker that may have no leukfeat, or another one.

        It is made here, so that it travels as code and not as the name of something in leukfeat.
        """
        paths = self.paths

        def look() -> dict[str, Any]:
            import importlib.metadata
            import importlib.util
            import os

            version: str | None = None
            if importlib.util.find_spec("leukfeat") is not None:
                try:
                    version = importlib.metadata.version("leukfeat")
                except importlib.metadata.PackageNotFoundError:
                    version = "source"
            return {"leukfeat": version, "missing": tuple(path for path in paths if not os.path.exists(path))}  # noqa: PTH110

        return look

    def refuse_unlike(self, found: Sequence[Facts]) -> None:
        """Say which workers cannot do the work.

        Raises
        ------
        WorkerError
            One or more lack Python, leukfeat or a path.
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
