"""What happened in training, as files of a run: a table and a curve for every network that was trained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from leukfeat.backbones.history import History
from leukfeat.reports.training import draw_training
from leukfeat.textfiles import write_text


def save_histories(folder: Path, folds: Iterable[Mapping[str, Any]]) -> list[Path]:
    """Write ``<repeat>-<fold>[-<number>].csv`` and ``.svg`` for every training among the facts of folds.

    Returns
    -------
    list of Path
        The tables; empty where nothing was trained.
    """
    written = []
    for fold in folds:
        where = f"r{fold['repeat']}-f{fold['fold']}" if fold["fold"] != "kept" else "kept"
        trainings = list(_trainings(fold))
        for number, facts in enumerate(trainings):
            stem = where if len(trainings) == 1 else f"{where}-{number}"
            table = History.from_description(facts["history"]).save(folder / f"{stem}.csv")
            with write_text(table.with_suffix(".svg")) as stream:
                stream.write(draw_training(table))
            written.append(table)
    return written


def _trainings(facts: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from facts.get("trained", ())
    for member in facts.get("members", ()):
        yield from _trainings(member)
