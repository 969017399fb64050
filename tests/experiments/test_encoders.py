"""What encoders learn from, in a fold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from leukfeat.backbones.finetune import FineTune
from leukfeat.backbones.resolution import resolve
from leukfeat.backbones.spec import BackboneSpec, Preprocess
from leukfeat.backbones.statistics import fitted_to
from leukfeat.data.manifest import Manifest
from leukfeat.data.splits import SplitPlan
from leukfeat.errors import UsageError
from leukfeat.experiments.encoders import Encoders
from leukfeat.experiments.forwarding import Forwarding
from leukfeat.features.extraction import extract, load_features
from leukfeat.features.store import FeatureKey, FeatureStore

TINY = BackboneSpec("test_efficientnet", "random", preprocess=Preprocess(input_size=32))


def test_input_statistics_are_not_those_of_test_subjects(cells: Manifest, tmp_path: Path) -> None:
    """Where validation and test share subjects that training keeps away from, validation rows teach nothing."""
    owners = sorted(set(zip(cells.label, cells.subject, strict=True)))  # 6 subjects of each class
    tested = {subject for _, subject in (*owners[:2], *owners[6:8])}
    parted = replace(cells, official=tuple("prelim" if subject in tested else "fold_0" for subject in cells.subject))
    spec = TINY.replace(preprocess=Preprocess(input_size=32, mean="train", std="train"))
    encoders = Encoders((spec,), FeatureStore(tmp_path))
    for divided_by, taught in {"image": ("train",), "subject": ("train", "validation")}.items():
        (fold,) = SplitPlan.fixed_test(parted, "prelim", validation=0.5, validation_by=divided_by, seed=0).folds
        rows = np.concatenate([getattr(fold, part) for part in taught])
        assert encoders.encode(parted, fold).specs == (fitted_to(spec, parted, rows),)


def test_features_of_several_engines_are_told_of(cells: Manifest, tmp_path: Path) -> None:
    """``--engine auto`` may choose differently on machines of different size, or where few images are missing."""
    lines: list[str] = []
    store, half = FeatureStore(tmp_path), len(cells) // 2
    extract(TINY, cells, store, rows=range(half), engine="eager")
    assert len(Encoders((TINY,), store, Forwarding(told=lines.append, engine="eager")).frozen(cells)) == len(cells)
    assert not any("several engines" in line for line in lines)
    other = FeatureStore(tmp_path / "other")
    extract(TINY, cells, other, rows=range(half), engine="eager")
    X = load_features(TINY, cells, store, rows=range(half, 2 * half)).X
    key = FeatureKey(resolve(TINY, other.resolved))
    other.append(key, cells.sha256[half:], X, cells.sample[half:], engine="another 1.0", decoder="another")
    Encoders((TINY,), other, Forwarding(told=lines.append, engine="eager")).frozen(cells)
    (line,) = (line for line in lines if "several engines" in line)
    assert "(another 1.0; eager, torch" in line


def test_encoders_side_by_side_are_trained_on_the_same_rows(tmp_path: Path) -> None:
    """One division serves them all, so that none may ask for another: it would be ignored without a word."""
    asked = [TINY.replace(finetune=FineTune(epochs=1, validation=share)) for share in (0.0, 0.25)]
    with pytest.raises(UsageError, match="validation"):
        Encoders(tuple(asked), FeatureStore(tmp_path))
