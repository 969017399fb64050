"""A bundle is whole or not there, and is refused when it is not ours."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leukfeat.data.manifest import Manifest
from leukfeat.data.splits import SplitPlan
from leukfeat.errors import RunError
from leukfeat.experiments.bundle import BUNDLE_JSON, load_bundle, save_bundle
from leukfeat.experiments.candidates import HeadOnFeatures
from leukfeat.features.table import Features
from leukfeat.heads.tuning import TunedHead


@pytest.fixture
def fitted(cells: Manifest) -> tuple[HeadOnFeatures, Any]:
    """A head on given vectors, fitted on one fold."""
    from leukfeat.data.exposure import Seen

    X = np.random.default_rng(0).normal(size=(len(cells), 4)).astype(np.float32)
    candidate = HeadOnFeatures((), TunedHead("tree", n_trials=0), features=Features(X, cells.sample, Seen(), {}))
    return candidate, candidate.fit(cells, SplitPlan.grouped(cells, 2).folds[0])


def test_predictions_after_loading_equal_those_before(fitted: Any, cells: Manifest, tmp_path: Path) -> None:
    candidate, fit = fitted
    save_bundle(tmp_path / "model", fit.head, fit.facts, candidate, cells)
    bundle = load_bundle(tmp_path / "model")
    np.testing.assert_array_equal(bundle.head.predict_proba(fit.features.X), fit.head.predict_proba(fit.features.X))
    assert bundle.classes == fit.classes
    assert "trials" not in bundle.facts["fit"]


def test_saving_again_replaces_the_whole(fitted: Any, cells: Manifest, tmp_path: Path) -> None:
    candidate, fit = fitted
    save_bundle(tmp_path / "model", fit.head, fit.facts, candidate, cells)
    (tmp_path / "model" / "stale").write_text("of an earlier model")
    save_bundle(tmp_path / "model", fit.head, fit.facts, candidate, cells)
    assert not (tmp_path / "model" / "stale").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["model"], "nothing temporary is left"


def test_what_is_no_bundle_is_refused(fitted: Any, cells: Manifest, tmp_path: Path) -> None:
    candidate, fit = fitted
    with pytest.raises(RunError, match="not a model bundle"):
        load_bundle(tmp_path)
    folder = save_bundle(tmp_path / "model", fit.head, fit.facts, candidate, cells)
    facts = json.loads((folder / BUNDLE_JSON).read_text())
    (folder / BUNDLE_JSON).write_text(json.dumps({**facts, "schema": 99}))
    with pytest.raises(RunError, match="written by another leukfeat"):
        load_bundle(folder)
    (folder / BUNDLE_JSON).write_text("{")
    with pytest.raises(RunError, match="cannot be read"):
        load_bundle(folder)
    shutil.rmtree(folder / "head")
    (folder / BUNDLE_JSON).write_text(json.dumps(facts))
    with pytest.raises(RunError):
        load_bundle(folder)
