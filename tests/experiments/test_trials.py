"""What tuning took is told in one line, and every trial has a line of the table."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from leukfeat.experiments.trials import tuning_line, write_trials


def _trial(number: int, seconds: float, inner: int, state: str = "complete") -> dict[str, Any]:
    return {
        "number": number, "state": state, "value": 0.5, "params": {"C": number}, "seconds": seconds,
        "inner_scores": [0.5] * inner, "rounds": [],
    }  # fmt: skip


def _fit(fold: int | str, *trials: dict[str, Any]) -> dict[str, Any]:
    return {"repeat": 0, "fold": fold, "trials": list(trials)}


def test_pruning_saves_what_the_fits_left_out_would_have_taken() -> None:
    # 4 s on each of four inner folds; the second trial was ended after one fold of 2 s: three of 2 s were spared
    fits = [_fit(0, _trial(0, 16.0, 4), _trial(1, 2.0, 1, "pruned"))]
    assert tuning_line(fits) == (
        "tuning: 2 trials in 1 fit, 9.00 s a trial; pruning ended 1 early and spared 3 fits on inner folds, about 6 s"
        " (25% of the tuning)"
    )


def test_each_fit_is_measured_by_its_own_number_of_inner_folds() -> None:
    # a fit with two inner folds can spare one of them, whatever another fit has
    fits = [_fit(0, _trial(0, 4.0, 4)), _fit(1, _trial(0, 2.0, 2), _trial(1, 1.0, 1, "pruned"))]
    assert "spared 1 fit on" in tuning_line(fits)


def test_nothing_pruned_and_nothing_tuned_are_said_plainly() -> None:
    assert tuning_line([_fit(0, _trial(0, 3.0, 4))]) == "tuning: 1 trial in 1 fit, 3.00 s a trial; none was pruned"
    assert tuning_line([{"repeat": 0, "fold": 0}]) == ""


def test_the_trials_of_an_ensembles_members_count(tmp_path: Path) -> None:
    members = [{"trials": [_trial(0, 1.0, 4)]}, {"trials": [_trial(0, 3.0, 4), _trial(1, 5.0, 4)]}]
    fit = {"repeat": 0, "fold": 2, "members": members}
    assert tuning_line([fit]).startswith("tuning: 3 trials in 2 fits, 3.00 s a trial")
    write_trials(tmp_path / "trials.csv", [fit])
    with (tmp_path / "trials.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["fold"], row["trial"], row["seconds"]) for row in rows] == [
        ("2", "0", "1.0"), ("2", "0", "3.0"), ("2", "1", "5.0"),
    ]  # fmt: skip


def test_without_trials_there_is_no_table(tmp_path: Path) -> None:
    write_trials(tmp_path / "trials.csv", [{"repeat": 0, "fold": 0}])
    assert not (tmp_path / "trials.csv").exists()
