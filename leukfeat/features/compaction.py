"""Joining the small parts of a store into large ones, beside readers and writers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from leukfeat.errors import StoreError
from leukfeat.features import parts
from leukfeat.features.headers import GonePartError, PartHeader
from leukfeat.features.shelf import Shelf
from leukfeat.features.store import FeatureStore
from leukfeat.textfiles import sync_folder

_ROWS_A_PART = 65_536


def compact(store: FeatureStore) -> dict[str, int]:
    """Join the small parts of each key into few large ones, every image once.

    A joined part is written before the small ones are deleted, so that every row can be found at any moment. Readers
    that hold a list of the old parts list them anew; writers only add; two processes that compact one key do twice the
    work, and no harm.

    Returns
    -------
    dict of str to int
        Number of parts joined, by folder name.

    Raises
    ------
    StoreError
        A part is damaged, or of a newer version; nothing that has not been joined is deleted. The other keys are
        joined all the same.
    """
    joined: dict[str, int] = {}
    problems: list[StoreError] = []
    for folder in store.key_folders():
        try:
            n_parts = _join(folder)
        except GonePartError:
            continue  # another process is at it
        except StoreError as error:
            problems.append(error)
            continue
        if n_parts:
            joined[folder.name] = n_parts
    if problems:
        more = f" ({len(problems) - 1} more keys were left as they are)" if len(problems) > 1 else ""
        raise StoreError(f"{problems[0]}{more}") from problems[0]
    return joined


def _join(folder: Path) -> int:
    """Join the parts of a folder; returns how many were joined."""
    shelf = Shelf(folder)
    answers = {header.file: rows for header, rows in zip(shelf.headers, shelf.answering(), strict=True)}
    chosen = [
        header for header in shelf.headers if len(header) < _ROWS_A_PART // 2 or len(answers[header.file]) < len(header)
    ]
    if len(chosen) < 2 and all(len(answers[header.file]) == len(header) for header in chosen):
        return 0
    parts.check_bodies(chosen, reread=True)
    if any(len(answers[header.file]) < len(header) for header in chosen):
        # a row goes because another part has it: that one has to be sound as well
        parts.check_bodies(shelf.headers)
    # rows of different engines stay in parts of their own, so that each part can still say what made it
    by_maker: dict[tuple[str, str], list[PartHeader]] = {}
    for header in chosen:
        by_maker.setdefault((header.engine, header.decoder), []).append(header)
    for headers in by_maker.values():
        _rewrite(folder, headers, [answers[header.file] for header in headers])
    sync_folder(folder)
    return len(chosen)


def _rewrite(folder: Path, headers: Sequence[PartHeader], answers: Sequence[NDArray[np.int64]]) -> None:
    """Write the rows that answer for their image into parts of their own, and delete the parts they come from."""
    waiting: list[_Rows] = []
    finished: list[Path] = []  # parts whose rows are all written, or waiting
    written: set[Path] = set()

    def write(rows: _Rows) -> None:
        engine, decoder, created = headers[0].engine, headers[0].decoder, min(header.created for header in headers)
        file = parts.write_part(
            folder, rows.sha256, rows.X, rows.sample_ids, engine=engine, decoder=decoder, created=created
        )
        written.add(file)

    for header, answering in zip(headers, answers, strict=True):
        if len(answering):
            X, samples = parts.read_part(header)
            waiting.append(_Rows(header.texts(answering), X[answering], [samples[row] for row in answering]))
        finished.append(header.file)
        while sum(map(len, waiting)) >= _ROWS_A_PART:
            rows, rest = _Rows.joined(waiting).cut(_ROWS_A_PART)
            write(rows)
            waiting = [rest] if len(rest) else []
            done = len(finished) - (len(rest) > 0)  # what is left waits in the last part
            _delete(finished[:done], written)
            finished = finished[done:]
    if waiting:
        write(_Rows.joined(waiting))
    _delete(finished, written)


@dataclass(frozen=True)
class _Rows:
    """Rows on their way into another part."""

    sha256: list[str]
    X: NDArray[np.float32]
    sample_ids: list[str]

    def __len__(self) -> int:
        return len(self.sha256)

    @classmethod
    def joined(cls, several: Sequence[_Rows]) -> _Rows:
        return cls(
            [digest for rows in several for digest in rows.sha256],
            np.concatenate([rows.X for rows in several]),
            [sample for rows in several for sample in rows.sample_ids],
        )

    def cut(self, n: int) -> tuple[_Rows, _Rows]:
        return (
            _Rows(self.sha256[:n], self.X[:n], self.sample_ids[:n]),
            _Rows(self.sha256[n:], self.X[n:], self.sample_ids[n:]),
        )


def _delete(files: Sequence[Path], written: set[Path]) -> None:
    for file in files:
        if file not in written:  # rows that were joined alike before have the same name
            file.unlink(missing_ok=True)
