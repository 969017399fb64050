"""The images of a manifest's rows, checked against their digests, a bounded number ahead of their use."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from leukfeat.backbones.inputs import Inputs
from leukfeat.data.arrays import is_member
from leukfeat.data.hashing import HashMemo, Known
from leukfeat.data.manifest import Manifest
from leukfeat.data.pixels import CHANGED, read_picture
from leukfeat.errors import ImageError
from leukfeat.processors import usable_processors

Failure = tuple[int, str]  # row of the manifest, reason

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


class ImageWork(NamedTuple):
    """One distinct image to be read, from the first of its rows that gives it.

    Attributes
    ----------
    sha256 : str
        Digest the content must have.
    rows : tuple of int
        Rows of the manifest with this digest.
    """

    sha256: str
    rows: tuple[int, ...]


@dataclass(frozen=True)
class ImageResult:
    """An arranged image, and the rows that could not give it.

    Attributes
    ----------
    work : ImageWork
        What was asked for.
    image : ndarray of shape (H, W, 3), uint8, or None
        None where no row gives it.
    failed : tuple of (row, reason)
        Rows that were tried and stay without a vector.
    """

    work: ImageWork
    image: NDArray[np.uint8] | None
    failed: tuple[Failure, ...] = ()


def arranged_images(
    manifest: Manifest, work: Iterable[ImageWork], inputs: Inputs, num_workers: int, ahead: int
) -> Generator[ImageResult]:
    """Read, check, decode, resize and crop images in threads, in order, a bounded number ahead.

    Parameters
    ----------
    manifest : Manifest
        The data.
    work : iterable of ImageWork
        What to read.
    inputs : Inputs
        How to arrange it.
    num_workers : int
        Threads; decoding and resizing release the interpreter's lock.
    ahead : int
        How many images may wait.

    Yields
    ------
    ImageResult
        One for each work.
    """

    def arrange(item: ImageWork) -> ImageResult:
        image = np.empty((*inputs.size, 3), np.uint8)
        present, failed = arrange_into(manifest, item, inputs, image)
        return ImageResult(item, image if present else None, tuple(failed))

    return _ahead(arrange, work, num_workers, ahead)


def arrange_into(
    manifest: Manifest,
    item: ImageWork,
    inputs: Inputs,
    out: NDArray[np.uint8],
    known: Mapping[int, Known] | None = None,
) -> tuple[bool, list[Failure]]:
    """Read one image, from the first of its rows that gives it, and write it to its place.

    Parameters
    ----------
    manifest : Manifest
        The data.
    item : ImageWork
        The image.
    inputs : Inputs
        How to arrange it.
    out : ndarray of shape (H, W, 3), uint8
        Its place, in a batch say; left as it is where no row gives the image.
    known : mapping of int to Known, or None
        What a memo knows of the rows' files (:func:`leukfeat.data.pixels.read_picture`).

    Returns
    -------
    bool
        Whether the image is there.
    list of (row, reason)
        Rows that were tried and stay without a vector.
    """
    failed: list[Failure] = []
    known = known or {}
    for row in item.rows:
        if manifest.sha256[row] != item.sha256:  # of another manifest: its vector would be stored as this one's
            raise ValueError(f"row {row} is the image {manifest.sha256[row][:12]}…, not {item.sha256[:12]}…")
        try:
            inputs.arrange_picture(read_picture(manifest, row, known.get(row)), out)
            # a row whose file is merely gone shares the vector of its copy; one with other content does not
            return True, [failure for failure in failed if failure[1] == CHANGED]
        except ImageError as error:
            failed.append((row, error.reason))
    return False, failed


def changed_rows(manifest: Manifest, rows: Sequence[int], memo: HashMemo) -> dict[int, str]:
    """Rows whose file is there, but with another content than the manifest says; by row the reason.

    A file that is missing is no change. Files that were hashed before cost one look at size and times each.
    """
    alone = [row for row in rows if manifest.sha256[row] and not is_member(manifest.path[row])]
    names = manifest.file_names(alone)
    found = memo.hash_files(names)
    return {
        row: CHANGED
        for row, name in zip(alone, names, strict=True)
        if isinstance(digest := found[name], str) and digest != manifest.sha256[row]
    }


def default_workers() -> int:
    """How many threads decode unless somebody says: one a processor this process may use, at most 16."""
    return min(16, usable_processors())


def _ahead(
    function: Callable[[_Task], _Result], tasks: Iterable[_Task], num_workers: int, ahead: int
) -> Generator[_Result]:
    """Apply a function in threads, in order, at most ``ahead`` results waiting."""
    waiting: deque[Future[_Result]] = deque()
    tasks = iter(tasks)
    pool = ThreadPoolExecutor(max_workers=num_workers, thread_name_prefix="decode")
    try:
        waiting.extend(pool.submit(function, task) for task in itertools.islice(tasks, ahead))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(function, task) for task in itertools.islice(tasks, 1))
            yield result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
