"""Native files of boosters are checked before compiled code reads them, and say the same afterwards."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
import xgboost

from leukfeat.heads.booster_files import check_xgboost, checked_lightgbm

rng = np.random.default_rng(0)
X = rng.normal(size=(90, 5)).astype(np.float32)
Y = {2: (X[:, 0] > 0).astype(int), 3: np.digitize(X[:, 0], [-0.5, 0.5])}
QUIET = {"verbosity": -1, "num_threads": 1, "min_data_in_leaf": 5, "num_leaves": 7}
DAMAGED = (ArithmeticError, LookupError, TypeError, ValueError)


def a_lightgbm(folder: Path, classes: int = 2) -> tuple[lightgbm.Booster, Path]:
    kind = {"objective": "binary"} if classes == 2 else {"objective": "multiclass", "num_class": classes}
    model = lightgbm.train({**QUIET, **kind}, lightgbm.Dataset(X, Y[classes]), num_boost_round=4)
    model.save_model(folder / "booster.txt")
    return model, folder / "booster.txt"


def an_xgboost(folder: Path, classes: int = 2) -> tuple[xgboost.Booster, bytes]:
    kind = {"objective": "binary:logistic"} if classes == 2 else {"objective": "multi:softprob", "num_class": classes}
    model = xgboost.train({**kind, "nthread": 1, "verbosity": 0}, xgboost.DMatrix(X, Y[classes]), num_boost_round=4)
    model.save_model(folder / "booster.ubj")
    return model, (folder / "booster.ubj").read_bytes()


@pytest.mark.parametrize("classes", [2, 3])
def test_a_sound_model_is_let_through_and_predicts_the_same(tmp_path: Path, classes: int) -> None:
    model, file = a_lightgbm(tmp_path, classes)
    again = lightgbm.Booster(model_str=checked_lightgbm(file, 5, classes))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    np.testing.assert_array_equal(again.predict(X, pred_contrib=True), model.predict(X, pred_contrib=True))
    boosted, content = an_xgboost(tmp_path, classes)
    check_xgboost(content, 5, classes)
    loaded = xgboost.Booster(model_file=bytearray(content))
    np.testing.assert_array_equal(loaded.inplace_predict(X), boosted.inplace_predict(X))


def test_a_tree_without_a_branch_is_sound(tmp_path: Path) -> None:
    """A class that nothing tells apart gets a tree of one leaf."""
    model = lightgbm.train({**QUIET, "objective": "binary", "min_data_in_leaf": 90}, lightgbm.Dataset(X, Y[2]), 2)
    model.save_model(tmp_path / "booster.txt")
    again = lightgbm.Booster(model_str=checked_lightgbm(tmp_path / "booster.txt", 5, 2))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


@pytest.mark.parametrize(
    ("pattern", "new"),
    [
        (r"left_child=\S+", "left_child=99"),
        (r"left_child=\S+", "left_child=0"),
        (r"right_child=\S+", "right_child=-99"),
        (r"split_feature=\S+", "split_feature=5"),
        (r"split_feature=\S+", "split_feature=-1"),
        (r"num_leaves=\d+", "num_leaves=1000000000"),
        (r"num_leaves=\d+", "num_leaves=-1"),
        (r"num_cat=0", "num_cat=1"),
        (r"is_linear=0", "is_linear=1"),
        (r"decision_type=\d+", "decision_type=1"),
        (r"leaf_value=\S+", "leaf_value=nan"),
        (r"leaf_value=\S+ ", "leaf_value="),
        (r"num_tree_per_iteration=1", "num_tree_per_iteration=0"),
        (r"num_class=1", "num_class=4"),
        (r"max_feature_idx=4", "max_feature_idx=400"),
        (r"objective=binary", "objective=custom"),
        (r"Tree=1\n", "Tree=7\n"),
        (r"end of trees", "end"),
    ],
)
def test_a_lightgbm_model_that_points_elsewhere_is_refused(tmp_path: Path, pattern: str, new: str) -> None:
    """Each of these ended the process, or would have, where LightGBM read the file by itself."""
    _, file = a_lightgbm(tmp_path)
    text, changes = re.subn(pattern, new, file.read_text(), count=1)
    assert changes
    file.write_text(text)
    with pytest.raises(DAMAGED):
        checked_lightgbm(file, 5, 2)


def test_nothing_but_what_was_checked_is_handed_on(tmp_path: Path) -> None:
    """Offsets into the file, settings of the training, whatever stands at the end."""
    _, file = a_lightgbm(tmp_path)
    file.write_text(file.read_text() + "\nTree=9\nmachines: evil\n")
    text = checked_lightgbm(file, 5, 2)
    assert "tree_sizes" not in text
    assert "parameters" not in text
    assert "evil" not in text


def ubjson(value: Any) -> bytes:
    """A value as UBJSON without typed arrays, which every reader takes too."""
    if isinstance(value, dict):
        return b"{" + b"".join(_text(name) + ubjson(part) for name, part in value.items()) + b"}"
    if isinstance(value, list):
        return b"[" + b"".join(map(ubjson, value)) + b"]"
    if isinstance(value, str):
        return b"S" + _text(value)
    if isinstance(value, float):
        return b"D" + np.array(value, ">f8").tobytes()
    return b"L" + int(value).to_bytes(8, "big", signed=True)


def _text(text: str) -> bytes:
    return b"L" + len(text.encode()).to_bytes(8, "big") + text.encode()


def _tree(model: Any, number: int = 0) -> Any:
    return model["learner"]["gradient_booster"]["model"]["trees"][number]


def _set(name: str, place: int, value: int) -> Callable[[Any], None]:
    return lambda model: _tree(model)[name].__setitem__(place, value)


CHANGES: dict[str, Callable[[Any], object]] = {
    "a child that is none": _set("left_children", 0, 10**6),
    "a circle": _set("left_children", 1, 0),
    "two parents": lambda model: _set("left_children", 0, _tree(model)["right_children"][0])(model),
    "a parent that is none": _set("parents", 1, 5),
    "a feature that is none": _set("split_indices", 0, 99),
    "a column cut short": lambda model: _tree(model)["split_conditions"].pop(),
    "more nodes than there are": lambda model: _tree(model)["tree_param"].update(num_nodes="1000000"),
    "categories": _set("split_type", 0, 1),
    "a tree less": lambda model: model["learner"]["gradient_booster"]["model"]["trees"].pop(),
    "a tree of no class": lambda model: model["learner"]["gradient_booster"]["model"].update(tree_info=[0, 0, 0, 9]),
    "rounds that end early": lambda model: model["learner"]["gradient_booster"]["model"].update(
        iteration_indptr=[0, 3, 1, 2, 4]
    ),
    "another booster": lambda model: model["learner"]["gradient_booster"].update(name="gblinear"),
    "another objective": lambda model: model["learner"]["objective"].update(name="rank:pairwise"),
    "other features": lambda model: model["learner"]["learner_model_param"].update(num_feature="400"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_xgboost_model_that_points_elsewhere_is_refused(tmp_path: Path, change: str) -> None:
    model, _ = an_xgboost(tmp_path)
    content = json.loads(model.save_raw("json"))
    check_xgboost(ubjson(content), 5, 2)
    CHANGES[change](content)
    with pytest.raises(DAMAGED):
        check_xgboost(ubjson(content), 5, 2)


def test_any_bytes_are_read_or_refused(tmp_path: Path) -> None:
    """A reader of our own must not be the hole."""
    _, content = an_xgboost(tmp_path)
    chance = random.Random(0)
    for _ in range(300):
        broken = bytearray(content)
        for _ in range(chance.randrange(1, 5)):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        try:
            check_xgboost(bytes(broken[: chance.randrange(len(broken))]), 5, 2)
        except DAMAGED:
            continue
    with pytest.raises(ValueError, match="nested too deeply"):
        check_xgboost(b"[" * 100_000, 5, 2)
