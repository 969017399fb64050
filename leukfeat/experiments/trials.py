"""The trials of a run: a table of all, and one line on what they took and what pruning saved."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from leukfeat.textfiles import write_csv

Facts = Mapping[str, Any]
"""Of a fit, as in ``run.json``; of an ensemble with those of its members."""


def write_trials(file: Path, fits: Iterable[Facts]) -> None:
    """One line a trial: fold, number, state, score, seconds, parameters as JSON; no file where nothing was tuned."""
    rows: list[Sequence[object]] = [["repeat", "fold", "trial", "state", "value", "seconds", "rounds", "params"]]
    for fit in fits:
        for trial in (trial for tuned in _tuned(fit) for trial in tuned["trials"]):
            facts = [trial.get(name) for name in ("number", "state", "value", "seconds", "rounds")]
            rows.append([fit["repeat"], fit["fold"], *facts, json.dumps(trial["params"], sort_keys=True)])
    if len(rows) > 1:
        write_csv(file, rows)


def tuning_line(fits: Iterable[Facts]) -> str:
    """What tuning took and what pruning saved, for people; empty where nothing was tuned.

    Seconds that were saved are an estimate: each fit on an inner fold that a pruned trial was spared counts as long as
    the same trial's others took on average.

    Parameters
    ----------
    fits : iterable of mapping
        Facts of each fold's fit and of the model to keep, with ``trials``; those of a head that was tuned as
        :class:`leukfeat.heads.tuning.TunedHead` records them.
    """
    heads = [tuned for fit in fits for tuned in _tuned(fit)]
    trials = [trial for tuned in heads for trial in tuned["trials"]]
    if not trials:
        return ""
    seconds = sum(trial["seconds"] for trial in trials)
    what = f"{_counted(len(trials), 'trial')} in {_counted(len(heads), 'fit')}"
    line = f"tuning: {what}, {seconds / len(trials):.2f} s a trial"
    pruned = [trial for trial in trials if trial["state"] == "pruned"]
    if not pruned:
        return f"{line}; none was pruned"
    spared, saved = 0, 0.0
    for tuned in heads:
        whole = max(len(trial["inner_scores"]) for trial in tuned["trials"])
        for trial in tuned["trials"]:
            done = len(trial["inner_scores"])
            if trial["state"] == "pruned" and done:
                spared += whole - done
                saved += trial["seconds"] / done * (whole - done)
    return (
        f"{line}; pruning ended {len(pruned):,} early and spared {_counted(spared, 'fit')} on inner folds, about"
        f" {saved:.0f} s"
        f" ({saved / (seconds + saved):.0%} of the tuning)"
    )


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _tuned(facts: Facts) -> Iterator[Facts]:
    """The facts of every tuned head of a fit: its own, and those of an ensemble's members."""
    if facts.get("trials"):
        yield facts
    for member in facts.get("members", ()):
        yield from _tuned(member)
