"""One way in: the public names, pinned, and loaded only when used."""

from __future__ import annotations

import subprocess
import sys

import leukfeat

PUBLIC = [
    "AttentionSpec", "BackboneSpec", "EndToEnd", "Ensemble", "EnsembleRule", "FeatureStore", "Features", "FineTune",
    "HeadOnFeatures", "LeakageError", "LeukfeatError", "Manifest", "Predictions", "Preprocess", "Run", "SplitPlan",
    "TunedHead", "compare", "cross_validate", "extract", "load", "load_features", "load_recipe", "run", "synthesize",
]  # fmt: skip


def test_the_public_names_are_these() -> None:
    assert leukfeat.__all__ == sorted(PUBLIC)
    assert dir(leukfeat) == sorted(PUBLIC)


def test_every_public_name_is_there_and_documented() -> None:
    for name in leukfeat.__all__:
        assert getattr(leukfeat, name).__doc__, name


def test_import_costs_no_heavy_library() -> None:
    """A shell prompt or a report must not pay for torch."""
    code = (
        "import sys, leukfeat;"
        "heavy = {'torch', 'timm', 'sklearn', 'pandas', 'xgboost', 'lightgbm', 'optuna', 'scipy', 'numpy'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
