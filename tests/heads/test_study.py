"""Studies: pruned, stopped, killed, continued."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from leukfeat.errors import HeadError
from leukfeat.heads import journal as journal_module
from leukfeat.heads import study
from leukfeat.heads.database import without_password
from leukfeat.heads.tuning import TunedHead


def _without_times(head: TunedHead) -> list[dict[str, Any]]:
    return [{name: value for name, value in trial.items() if name != "seconds"} for trial in head.trials_]


@pytest.mark.parametrize("name", ["knn", "tree"])
def test_pruning_happens_and_saves_fits_at_little_cost(cells_of, name: str, monkeypatch) -> None:
    """A rule that never prunes (as Wilcoxon's on few folds) would only look like one."""
    cells = cells_of(signal=0.6, subjects=24)
    pruned = TunedHead(name, n_trials=25).fit(cells.X, cells.y, cells.groups)
    monkeypatch.setattr(study, "_UNPRUNED_TRIALS", 1000)
    whole = TunedHead(name, n_trials=25).fit(cells.X, cells.y, cells.groups)
    assert whole.n_pruned_ == 0
    assert whole.inner_fits_ == 100
    assert pruned.n_pruned_ >= 5
    assert pruned.inner_fits_ <= 80
    assert pruned.best_score_ is not None
    assert pruned.best_score_ >= whole.best_score_ - 0.03
    assert all(len(trial["inner_scores"]) < 4 for trial in pruned.trials_ if trial["state"] == "pruned")


@pytest.mark.usefixtures("few_rounds")
@pytest.mark.parametrize("kind", ["file", "database"])
def test_a_stopped_study_goes_on_as_if_it_had_not_been_stopped(cells, kind: str, tmp_path: Path) -> None:
    place = tmp_path / "studies" / "trials.journal" if kind == "file" else f"sqlite:///{tmp_path}/trials.db"
    whole = TunedHead("xgboost", n_trials=11, inner_folds=3).fit(cells.X, cells.y, cells.groups)
    for n_trials in (5, 11):
        resumed = TunedHead("xgboost", n_trials=n_trials, inner_folds=3, storage=place)
        resumed.fit(cells.X, cells.y, cells.groups)
    assert _without_times(resumed) == _without_times(whole)
    assert np.array_equal(resumed.predict_proba(cells.X), whole.predict_proba(cells.X))


def test_a_finished_study_is_not_run_again(cells, tmp_path: Path) -> None:
    place = str(tmp_path / "trials.journal")
    first = TunedHead("knn", n_trials=6, storage=place).fit(cells.X, cells.y, cells.groups)
    again = TunedHead("knn", n_trials=4, storage=place).fit(cells.X, cells.y, cells.groups)
    assert again.trials_ == first.trials_[:4]  # the seconds too: nothing was run


KILLED = """
    import os, signal, sys
    import numpy as np
    from leukfeat.heads.inner import InnerFits
    from leukfeat.heads.tuning import TunedHead

    fits = []
    judged = InnerFits._judge_fold

    def dying(self, *arguments):
        fits.append(arguments)
        if len(fits) == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
        return judged(self, *arguments)

    InnerFits._judge_fold = dying
    data = np.load(sys.argv[1])
    head = TunedHead("svm", n_trials=9, storage=sys.argv[2])
    head.fit(data["X"], data["y"], data["groups"])
"""


@pytest.mark.parametrize("dying_fit", [1, 14])
def test_a_killed_study_goes_on_as_if_it_had_not_been_killed(
    cells, dying_fit: int, tmp_path: Path, monkeypatch
) -> None:
    """A kill leaves a trial running for ever, perhaps a half-written line, perhaps the lock."""
    np.savez(tmp_path / "cells.npz", X=cells.X, y=cells.y, groups=cells.groups)
    journal = tmp_path / "trials.journal"
    code = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path / "cells.npz"), str(journal), str(dying_fit)]
    done = subprocess.run(code, capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    with journal.open("ab") as stream:
        stream.write(b'{"op_code":6,"worker_id":"cut sho')
    (tmp_path / "trials.journal.lock").touch()
    monkeypatch.setattr(journal_module, "LOCK_SECONDS", 1)
    resumed = TunedHead("svm", n_trials=9, storage=str(journal)).fit(cells.X, cells.y, cells.groups)
    whole = TunedHead("svm", n_trials=9).fit(cells.X, cells.y, cells.groups)
    assert _without_times(resumed) == _without_times(whole)
    assert np.array_equal(resumed.predict_proba(cells.X), whole.predict_proba(cells.X))


def test_a_trial_that_fails_leaves_no_trace_in_the_next_attempt(cells, tmp_path: Path, monkeypatch) -> None:
    from leukfeat.heads.inner import InnerFits

    place = str(tmp_path / "trials.journal")
    judged, calls = InnerFits._judge_fold, []

    def interrupted(self, *arguments):
        calls.append(arguments)
        if len(calls) == 10:
            raise KeyboardInterrupt
        return judged(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(InnerFits, "_judge_fold", interrupted)
        with pytest.raises(KeyboardInterrupt):
            TunedHead("tree", n_trials=6, storage=place).fit(cells.X, cells.y, cells.groups)
    resumed = TunedHead("tree", n_trials=6, storage=place).fit(cells.X, cells.y, cells.groups)
    whole = TunedHead("tree", n_trials=6).fit(cells.X, cells.y, cells.groups)
    assert _without_times(resumed) == _without_times(whole)


def test_one_storage_serves_many_fits(cells, cells_of, tmp_path: Path) -> None:
    """Outer folds share a journal; each finds its own study by its rows."""
    place = str(tmp_path / "trials.journal")
    other = cells_of(1)
    for table in (cells, other, cells):
        stored = TunedHead("tree", n_trials=3, storage=place).fit(table.X, table.y, table.groups)
        alone = TunedHead("tree", n_trials=3).fit(table.X, table.y, table.groups)
        assert _without_times(stored) == _without_times(alone)


def test_a_study_of_other_rows_or_settings_is_not_continued(cells, cells_of, tmp_path: Path) -> None:
    """Its trials would be judged on different folds, and their scores compared all the same."""
    place = str(tmp_path / "trials.journal")
    TunedHead("tree", n_trials=1, storage=place, study_name="mine").fit(cells.X, cells.y, cells.groups)
    other = cells_of(1)
    with pytest.raises(HeadError, match="study 'mine' in the storage is for other rows or settings"):
        TunedHead("tree", n_trials=1, storage=place, study_name="mine").fit(other.X, other.y, other.groups)
    with pytest.raises(HeadError, match="other rows or settings"):
        TunedHead("tree", n_trials=1, storage=place, study_name="mine", metric="mcc").fit(
            cells.X, cells.y, cells.groups
        )


def test_a_timeout_still_leaves_a_head(cells) -> None:
    head = TunedHead("tree", n_trials=1000, timeout=1e-9).fit(cells.X, cells.y, cells.groups)
    assert len(head.trials_) == 1


def test_the_first_trial_has_the_defaults_and_trials_are_json(cells) -> None:
    head = TunedHead("xgboost", n_trials=2, params={"max_depth": 2}).fit(cells.X, cells.y, cells.groups)
    first = head.trials_[0]["params"]
    assert first["learning_rate"] == pytest.approx(0.2)
    assert {trial["params"]["max_depth"] for trial in head.trials_} == {2}
    assert json.loads(json.dumps(head.trials_)) == head.trials_
    best = max(head.trials_, key=lambda trial: trial["value"])
    assert head.best_params_["n_estimators"] == int(np.median(best["rounds"]))


def test_the_log_level_of_optuna_is_put_back_and_nothing_is_printed(cells, capfd) -> None:
    before = optuna.logging.get_verbosity()
    TunedHead("lightgbm", n_trials=2).fit(cells.X, cells.y, cells.groups)
    assert optuna.logging.get_verbosity() == before
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("direction", "trials"), [("maximize", 2), ("minimize", 0)])
def test_somebody_elses_study_of_the_same_name_is_not_continued(
    cells, direction: str, trials: int, tmp_path: Path
) -> None:
    """Its trials are no heads, and one that goes the other way would look for the worst head."""
    url = f"sqlite:///{tmp_path}/trials.db"
    theirs = optuna.create_study(storage=url, study_name="mine", direction=direction)
    theirs.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=trials)
    with pytest.raises(HeadError, match="study 'mine' in the storage is for other rows or settings"):
        TunedHead("tree", n_trials=3, storage=url, study_name="mine").fit(cells.X, cells.y, cells.groups)
    assert len(optuna.load_study(storage=url, study_name="mine").trials) == trials


def test_somebody_elses_file_is_neither_used_nor_cut(cells, tmp_path: Path) -> None:
    file = tmp_path / "cells.csv"
    file.write_bytes(b"sample,label\na,b")
    with pytest.raises(HeadError, match=r"cells\.csv: is not a journal"):
        TunedHead("tree", n_trials=1, storage=str(file)).fit(cells.X, cells.y, cells.groups)
    assert file.read_bytes() == b"sample,label\na,b"


def test_a_folder_is_no_journal(cells, tmp_path: Path) -> None:
    with pytest.raises(HeadError, match="cannot be used as a journal"):
        TunedHead("tree", n_trials=1, storage=str(tmp_path)).fit(cells.X, cells.y, cells.groups)


@pytest.mark.parametrize(
    "url",
    [
        "nosuchdatabase://ann:s3cret@localhost/studies",
        "sqlite:////no/such/folder/s3cret.db?password=s3cret",
        "postgresql+nosuchdriver://ann:s3c:ret@host/studies",
    ],
)
def test_passwords_are_shown_to_nobody(cells, url: str) -> None:
    head = TunedHead("tree", n_trials=1, storage=url)
    with pytest.raises(HeadError) as caught:
        head.fit(cells.X, cells.y, cells.groups)
    assert caught.value.__cause__ is None
    for text in (str(caught.value), repr(head), head._repr_html_()):
        assert ":s3c" not in text
        assert "=s3cret" not in text


def test_a_text_without_a_password_stays_as_it_is() -> None:
    assert without_password("sqlite:///trials.db") == "sqlite:///trials.db"
    assert without_password("/home/ann/trials.journal") == "/home/ann/trials.journal"
