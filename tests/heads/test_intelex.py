"""scikit-learn-intelex where it is installed, and nothing of it afterwards."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score

from leukfeat.heads import intelex
from leukfeat.heads.catalog import HEADS
from leukfeat.heads.files import load_head, save_head
from leukfeat.heads.trees import Forest
from leukfeat.heads.tuning import TunedHead

installed = pytest.mark.skipif(not intelex.available(), reason="scikit-learn-intelex is not installed")

FEW_TREES = {"n_estimators": 20}


@installed
@pytest.mark.parametrize("weighted", [False, True])
def test_its_forest_scores_as_scikit_learns(cells_of, weighted: bool, monkeypatch) -> None:
    """Splits on histograms are other splits; over ten tables both find the classes of new subjects as well."""
    differences = []
    for seed in range(10):
        cells = cells_of(seed, subjects=40, signal=0.6)
        half = np.isin(cells.groups, np.unique(cells.groups)[::2])
        weight = np.random.default_rng(seed).uniform(0.5, 2.0, half.sum()) if weighted else None
        areas = []
        for there in (True, False):
            with monkeypatch.context() as patch:
                patch.setattr(intelex, "available", lambda there=there: there)
                model = Forest(n_estimators=60, random_state=seed).fit(cells.X[half], cells.y[half] == "hem", weight)
            areas.append(roc_auc_score(cells.y[~half] == "hem", model.predict_proba(cells.X[~half])[:, 1]))
        differences.append(areas[0] - areas[1])
    assert min(areas) > 0.7
    assert abs(np.mean(differences)) < 0.02


@installed
def test_its_forest_is_scikit_learns_afterwards(cells) -> None:
    """The trees are stock trees, in a stock forest, which predicts the same."""
    forest = Forest(n_estimators=10, max_depth=3).fit(cells.X, cells.y == "hem")
    stock = RandomForestClassifier(10)
    vars(stock).update({name: value for name, value in vars(forest).items() if name not in stock.get_params()})
    assert np.array_equal(stock.predict_proba(cells.X), forest.predict_proba(cells.X))
    assert all(type(tree).__module__ == "sklearn.tree._classes" for tree in forest.estimators_)
    assert max(tree.get_depth() for tree in forest.estimators_) == 3


@installed
def test_weights_reach_its_forest(cells) -> None:
    y = cells.y == "hem"
    heavy = Forest(n_estimators=30, min_samples_leaf=10).fit(cells.X, y, np.where(y, 5.0, 0.2))
    plain = Forest(n_estimators=30, min_samples_leaf=10).fit(cells.X, y, np.ones(len(y)))
    assert heavy.predict_proba(cells.X)[:, 1].mean() > plain.predict_proba(cells.X)[:, 1].mean() + 0.1


def test_the_run_records_what_fitted(cells, monkeypatch) -> None:
    head = TunedHead("random-forest", n_trials=0, params=FEW_TREES)
    monkeypatch.setattr(intelex, "available", lambda: False)
    stock = head.fit(cells.X, cells.y, cells.groups).implementation_
    assert stock.startswith("scikit-learn ")
    assert "intelex" not in stock
    monkeypatch.undo()
    if intelex.available():
        with_it = head.fit(cells.X, cells.y, cells.groups).implementation_
        assert with_it.startswith(f"{stock}, fitted by scikit-learn-intelex ")


WITHOUT = """
    import sys
    sys.modules["sklearnex"] = sys.modules["daal4py"] = None
    import numpy as np
    from leukfeat.heads.files import load_head
    data = np.load(sys.argv[1])
    assert np.array_equal(load_head(sys.argv[2]).predict_proba(data["X"]), data["proba"])
"""


@installed
@pytest.mark.parametrize("name", ["random-forest", "svm"])
def test_a_head_it_fitted_predicts_where_it_is_not_installed(cells, name: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("leukfeat.heads.machines.LARGEST", 0)  # so that it fits the support-vector machine too
    head = TunedHead(name, n_trials=0, params=FEW_TREES if name == "random-forest" else None)
    head.fit(cells.X, cells.y, cells.groups)
    save_head(head, tmp_path / "head")
    np.savez(tmp_path / "cells.npz", X=cells.X, proba=head.predict_proba(cells.X))
    code = [sys.executable, "-c", textwrap.dedent(WITHOUT), str(tmp_path / "cells.npz"), str(tmp_path / "head")]
    subprocess.run(code, check=True, capture_output=True, text=True)
    assert np.array_equal(load_head(tmp_path / "head").predict_proba(cells.X), head.predict_proba(cells.X))


@installed
def test_fits_side_by_side_keep_their_number_of_threads() -> None:
    """The number is the process's: put back in another order than set, it would stay, and others would run with it."""
    import daal4py

    def work(n: int) -> int:
        with intelex.threads(n):
            time.sleep(0.01)
            return int(daal4py.num_threads())

    before = daal4py.num_threads()
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, [1, 2] * 6)) == [1, 2] * 6
    assert daal4py.num_threads() == before


@installed
def test_it_leaves_scikit_learn_as_it_was_and_is_silent(cells, capfd) -> None:
    """Patching would change what everything else in the process runs, and its name would not be in any record."""
    import daal4py
    import sklearn.svm

    before = daal4py.num_threads()
    TunedHead("random-forest", n_trials=1, params=FEW_TREES, n_jobs=2).fit(cells.X, cells.y, cells.groups)
    assert sklearn.svm.SVC.__module__ == "sklearn.svm._classes"
    assert RandomForestClassifier.__module__ == "sklearn.ensemble._forest"
    assert daal4py.num_threads() == before
    assert capfd.readouterr() == ("", "")


def test_where_it_cannot_be_loaded_heads_work_all_the_same(cells, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearnex", None)
    assert not intelex.available()
    assert intelex.named() == ""
    TunedHead("random-forest", n_trials=0, params=FEW_TREES).fit(cells.X, cells.y, cells.groups)
    assert "intelex" not in HEADS["random-forest"].implementation(20)
