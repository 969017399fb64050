"""The rows of one key: which images there are, and their vectors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from leukfeat.errors import StoreError
from leukfeat.features import parts
from leukfeat.features.headers import GonePartError, PartHeader, raw_digests, read_header

_MIX = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93)  # odd
_ATTEMPTS = 20  # times that parts are listed anew because another process joined some of them meanwhile


class RowIndex:
    """Where among many rows an image's is, in 48 bytes a row: sorted by a key of eight bytes for each digest.

    Parameters
    ----------
    digests : ndarray of shape (n, 32), uint8
        sha256 of each row's image. Of rows with the same one, the first answers.
    """

    def __init__(self, digests: NDArray[np.uint8]) -> None:
        self._digests = digests
        keys = _keys(digests)
        self._order = np.argsort(keys, kind="stable")
        self._sorted = keys[self._order]

    def find(self, digests: NDArray[np.uint8]) -> NDArray[np.int64]:
        """The row of each digest (m, 32); -1 where there is none."""
        found = np.full(len(digests), -1, dtype=np.int64)
        keys = _keys(digests)
        place = np.searchsorted(self._sorted, keys)
        asked = np.arange(len(digests))
        while len(asked):  # once, unless different digests have the same key
            inside = place[asked] < len(self._sorted)
            asked = asked[inside]
            asked = asked[self._sorted[place[asked]] == keys[asked]]
            rows = self._order[place[asked]]
            same = (self._digests[rows] == digests[asked]).all(axis=1)
            found[asked[same]] = rows[same]
            asked = asked[~same]
            place[asked] += 1
        return found

    def count(self) -> int:
        """Number of distinct digests."""
        twin = np.zeros(len(self._sorted) + 1, dtype=bool)
        twin[1:-1] = self._sorted[1:] == self._sorted[:-1]
        shared = self._order[twin[1:] | twin[:-1]]
        distinct = np.unique(np.ascontiguousarray(self._digests[shared]).view("V32")) if len(shared) else shared
        return len(self._sorted) - len(shared) + len(distinct)


def _keys(digests: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """A number for each digest that depends on all of it: digests of tests, or of mischief, may begin alike."""
    words = np.ascontiguousarray(digests).view(np.uint64)  # (n, 32) bytes -> (n, 4)
    keys = words[:, 0] * np.uint64(_MIX[0])
    for column, factor in enumerate(_MIX[1:], start=1):
        keys += words[:, column] * np.uint64(factor)  # modulo 2 ** 64
    return keys


class Shelf:
    """The parts of one key as they were when it was opened.

    Parameters
    ----------
    folder : Path
        The key's folder; it need not exist yet.

    Attributes
    ----------
    headers : list of PartHeader
        The parts, oldest first: where two hold the same image the oldest answers, so that an answer never changes.
    dim : int or None
        Length of a vector; None where there is no row.

    Raises
    ------
    StoreError
        A part cannot be trusted.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.headers: list[PartHeader] = []
        self.refresh()

    def refresh(self) -> None:
        """See what other processes have added or joined meanwhile; only parts that are new are looked into.

        Raises
        ------
        StoreError
            A part cannot be trusted.
        """
        self.headers = _headers(self.folder, {header.file: header for header in self.headers})
        dims = {header.dim for header in self.headers if len(header)}
        if len(dims) > 1:
            raise StoreError(f"{self.folder}: parts of different dimensions {sorted(dims)}; run leukfeat cache verify")
        self.dim = dims.pop() if dims else None
        self._first = np.cumsum([0, *map(len, self.headers)])  # row of the first of each part
        none = np.empty((0, 32), dtype=np.uint8)
        self._digests = np.concatenate([none, *(header.digests for header in self.headers)])
        self._index = RowIndex(self._digests)

    def __len__(self) -> int:
        return self._index.count()

    def __contains__(self, sha256: str) -> bool:
        return bool(self.holds([sha256])[0])

    def holds(self, sha256: Sequence[str]) -> NDArray[np.bool_]:
        """Whether the image of each hexadecimal digest is stored."""
        held: NDArray[np.bool_] = self._index.find(raw_digests(sha256)) >= 0
        return held

    def answering(self) -> list[NDArray[np.int64]]:
        """Of each part the rows that are the answer to their image; the others stand in an older part too."""
        rows = np.arange(self._first[-1])
        answering = self._index.find(self._digests) == rows
        return [
            np.flatnonzero(answering[start:stop]) for start, stop in zip(self._first[:-1], self._first[1:], strict=True)
        ]

    def read(self, sha256: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of images.

        Parameters
        ----------
        sha256 : sequence of str
            Hexadecimal digests, each of them stored; the same one may stand there twice.

        Returns
        -------
        ndarray of shape (len(sha256), d), float32

        Raises
        ------
        StoreError
            An image is not stored, or a part is damaged.
        """
        digests = raw_digests(sha256)
        X = np.empty((len(digests), self.dim or 0), dtype=np.float32)
        self._insist(digests, lambda wanted: parts.read_rows(wanted, X))
        return X

    def holding(self, sha256: Sequence[str]) -> list[PartHeader]:
        """The parts that answer for some images, each of them stored."""
        return [header for header, _, _ in self._where(raw_digests(sha256))]

    def check(self, sha256: Sequence[str]) -> None:
        """Compare the parts that hold some images with their checksums; those that were not altered since the last
        time are not read again.

        Raises
        ------
        StoreError
            An image is not stored, or a part is damaged.
        """
        self._insist(
            raw_digests(sha256), lambda wanted: parts.check_bodies(header for header, rows, _ in wanted if len(rows))
        )

    def _insist(self, digests: NDArray[np.uint8], take: Callable[[list[parts.Rows]], None]) -> None:
        """Do something with the parts that hold some images, again where another process joins parts meanwhile."""
        for _ in range(_ATTEMPTS - 1):
            try:
                return take(self._where(digests))
            except GonePartError:
                self.refresh()
        return take(self._where(digests))

    def _where(self, digests: NDArray[np.uint8]) -> list[parts.Rows]:
        found = self._index.find(digests)
        if (found < 0).any():
            missing = digests[int(np.argmin(found >= 0))].tobytes().hex()
            raise StoreError(f"{self.folder}: no features of image {missing[:12]}…; run leukfeat extract")
        number = np.searchsorted(self._first, found, side="right") - 1
        wanted: list[parts.Rows] = []
        for each in np.unique(number):
            places = np.flatnonzero(number == each)
            wanted.append((self.headers[each], found[places] - self._first[each], places))
        return wanted


def _headers(folder: Path, known: Mapping[Path, PartHeader]) -> list[PartHeader]:
    """What all parts of a folder say about themselves.

    Where one has vanished the folder is listed anew: its rows stand in a part that may not have been listed. Another
    process may join parts for as long as it likes, so only a part that is listed and not there, again and again, is an
    error.
    """
    read = dict(known)
    vanished: Counter[Path] = Counter()
    while True:
        files, lost = parts.list_parts(folder), 0
        for file in files:
            if file not in read:  # what was looked into before need not be again: a part never changes
                try:
                    read[file] = read_header(file)
                except GonePartError:
                    lost += 1
                    vanished[file] += 1
                    if vanished[file] == _ATTEMPTS:
                        raise
        if not lost:
            return [read[file] for file in files]
