"""Deep features, tuned heads and honest patient-by-patient comparison for leukemia-cell images.

The names below are loaded when they are first used, so that ``import leukfeat`` costs nothing.

Examples
--------
>>> import leukfeat as lf
>>> lf.SplitPlan.__name__
'SplitPlan'
"""

from __future__ import annotations

import importlib
import importlib.metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leukfeat.backbones.attention_spec import AttentionSpec
    from leukfeat.backbones.finetune import FineTune
    from leukfeat.backbones.spec import BackboneSpec, Preprocess
    from leukfeat.data.manifest import Manifest
    from leukfeat.data.splits import SplitPlan
    from leukfeat.data.synthetic import synthesize
    from leukfeat.errors import LeakageError, LeukfeatError
    from leukfeat.evaluation.crossval import cross_validate
    from leukfeat.evaluation.ensembles import EnsembleRule
    from leukfeat.evaluation.predictions import Predictions
    from leukfeat.evaluation.runs import Run
    from leukfeat.experiments.candidates import HeadOnFeatures
    from leukfeat.experiments.ensembles import Ensemble
    from leukfeat.experiments.networks import EndToEnd
    from leukfeat.experiments.prediction import load
    from leukfeat.experiments.recipe import load_recipe
    from leukfeat.experiments.run import run
    from leukfeat.features.extraction import extract, load_features
    from leukfeat.features.store import FeatureStore
    from leukfeat.features.table import Features
    from leukfeat.heads.tuning import TunedHead
    from leukfeat.reports.comparison import compare

__all__ = [
    "AttentionSpec",
    "BackboneSpec",
    "EndToEnd",
    "Ensemble",
    "EnsembleRule",
    "FeatureStore",
    "Features",
    "FineTune",
    "HeadOnFeatures",
    "LeakageError",
    "LeukfeatError",
    "Manifest",
    "Predictions",
    "Preprocess",
    "Run",
    "SplitPlan",
    "TunedHead",
    "compare",
    "cross_validate",
    "extract",
    "load",
    "load_features",
    "load_recipe",
    "run",
    "synthesize",
]

_HOMES = {
    "AttentionSpec": "backbones.attention_spec",
    "BackboneSpec": "backbones.spec",
    "EndToEnd": "experiments.networks",
    "Ensemble": "experiments.ensembles",
    "EnsembleRule": "evaluation.ensembles",
    "FeatureStore": "features.store",
    "Features": "features.table",
    "FineTune": "backbones.finetune",
    "HeadOnFeatures": "experiments.candidates",
    "LeakageError": "errors",
    "LeukfeatError": "errors",
    "Manifest": "data.manifest",
    "Predictions": "evaluation.predictions",
    "Preprocess": "backbones.spec",
    "Run": "evaluation.runs",
    "SplitPlan": "data.splits",
    "TunedHead": "heads.tuning",
    "compare": "reports.comparison",
    "cross_validate": "evaluation.crossval",
    "extract": "features.extraction",
    "load": "experiments.prediction",
    "load_features": "features.extraction",
    "load_recipe": "experiments.recipe",
    "run": "experiments.run",
    "synthesize": "data.synthetic",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        return importlib.metadata.version("leukfeat")
    if name not in _HOMES:
        raise AttributeError(f"module 'leukfeat' has no attribute {name!r}")
    return getattr(importlib.import_module(f"leukfeat.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
