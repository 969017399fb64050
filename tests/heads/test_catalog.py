"""The table of heads."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest
from sklearn.utils.validation import has_fit_parameter

from leukfeat.errors import UnknownNameError, UsageError
from leukfeat.heads.catalog import HEADS, find_head
from leukfeat.heads.space import BALANCE, REDUCTION, Choice, Number
from leukfeat.heads.spec import Frame, classifier_params

WRAPPERS = [("xgboost", "xgboost", "XGBClassifier"), ("lightgbm", "lightgbm", "LGBMClassifier")]


def test_the_heads_of_the_documentation_are_there() -> None:
    assert set(HEADS) == {"xgboost", "lightgbm", "svm", "random-forest", "logistic", "knn", "tree"}
    assert all(name == spec.name for name, spec in HEADS.items())


@pytest.mark.parametrize("name", HEADS)
def test_defaults_lie_in_the_search_space(name: str) -> None:
    for dimension in HEADS[name].space:
        if isinstance(dimension, Number):
            assert dimension.low <= dimension.default <= dimension.high
        else:
            assert dimension.default in dimension.values


@pytest.mark.parametrize("name", HEADS)
def test_every_head_searches_reductions_and_weights_where_it_takes_them(name: str) -> None:
    dimensions = HEADS[name].space
    classifier = HEADS[name].build({d.name: d.default for d in dimensions}, Frame(n_rows=20, n_features=5, seed=0))
    assert REDUCTION in dimensions
    assert (BALANCE in dimensions) == has_fit_parameter(classifier, "sample_weight")


@pytest.mark.parametrize("name", HEADS)
def test_parameters_are_arguments_of_the_classifier_by_its_own_names(name: str) -> None:
    """Who knows the library reads ``trials.csv`` and writes recipes without a table of translations."""
    dimensions = HEADS[name].space
    classifier = HEADS[name].build({d.name: d.default for d in dimensions}, Frame(n_rows=20, n_features=5, seed=0))
    units = ("_times_d", "_per_sqrt_d")  # the unit is part of the name where it is not the library's
    names = {next((d.name.removesuffix(unit) for unit in units if d.name.endswith(unit)), d.name) for d in dimensions}
    assert names - set(classifier.get_params()) <= {"scaling", "reduction", "balance"}


@pytest.mark.parametrize(("name", "module", "wrapper"), WRAPPERS)
def test_boosters_are_called_with_the_names_of_the_libraries_own_wrappers(name: str, module: str, wrapper: str) -> None:
    own = getattr(importlib.import_module(module), wrapper)().get_params()
    searched = set(classifier_params({d.name: d.default for d in HEADS[name].space}))
    assert searched | {"n_estimators", "random_state"} <= set(own)


def test_a_misspelt_head_is_refused_with_a_hint() -> None:
    with pytest.raises(UnknownNameError, match="head 'xgbost' is not known; did you mean 'xgboost'"):
        find_head("xgbost")


def test_a_small_table_is_not_offered_reductions_it_cannot_have() -> None:
    """100 components cannot be learned from 50 rows, and 64 features cannot be chosen from 40."""
    reductions = {d.name: d for d in find_head("svm").space_for(largest_reduction=70, n_features=200)}["reduction"]
    assert isinstance(reductions, Choice)
    assert reductions.values == ("none", "pca-64", "forest-64", "forest-128")
    reductions = {d.name: d for d in find_head("svm").space_for(largest_reduction=70, n_features=40)}["reduction"]
    assert isinstance(reductions, Choice)
    assert reductions.values == ("none",)


def test_fixed_parameters_are_checked_by_name_and_type() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'gamma_times_d'"):
        find_head("svm").check_params({"gamma_timesd": 1.0})
    with pytest.raises(UnknownNameError, match="value of head parameter scaling 'minmax'"):
        find_head("svm").check_params({"scaling": "minmax"})
    with pytest.raises(UsageError, match="max_depth is 'deep'; give a whole number"):
        find_head("xgboost").check_params({"max_depth": "deep"})
    find_head("xgboost").check_params({"learning_rate": 0.35, "n_estimators": 100})


def test_importing_the_table_costs_no_machine_learning_library() -> None:
    """`leukfeat models` and the checking of recipes must be quick."""
    code = (
        "import sys, leukfeat.heads.catalog;"
        "print(sorted({'sklearn','xgboost','lightgbm','optuna','scipy','skops'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
