"""The native files of XGBoost and LightGBM, checked before the libraries read them.

Both are read by compiled code that trusts them (see :mod:`leukfeat.heads.nodes`). LightGBM's is text; what is handed on
is what was checked, and nothing else of the file: no offsets into it, and none of the settings it was trained with.
XGBoost's is UBJSON, a binary form of JSON.

References
----------
"Universal Binary JSON Specification", draft 12, https://ubjson.org: types, and arrays of one type.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from leukfeat.heads.nodes import Numbers, check_children, check_features

_DEEPEST = 20
_HEADER = ("version", "num_class", "num_tree_per_iteration", "label_index", "max_feature_idx", "objective",
           "feature_names", "feature_infos")  # fmt: skip
_OF_NODES = ("split_feature", "split_gain", "threshold", "decision_type", "left_child", "right_child", "internal_value",
             "internal_weight", "internal_count")  # fmt: skip
_OF_LEAVES = ("leaf_value", "leaf_weight", "leaf_count")
_NUMBERS = {b"i": ">i1", b"U": "u1", b"I": ">i2", b"l": ">i4", b"L": ">i8", b"d": ">f4", b"D": ">f8"}


def checked_lightgbm(file: Path, n_features: int, n_classes: int) -> str:
    """The model in a LightGBM text file.

    Parameters
    ----------
    file : Path
        What ``Booster.save_model`` wrote.
    n_features, n_classes : int
        What the head says of it.

    Returns
    -------
    str
        For ``lightgbm.Booster(model_str=…)``.

    Raises
    ------
    ValueError, KeyError
        No such model, or one that points nowhere.
    """
    text, end, _ = file.read_text(encoding="utf-8").partition("\nend of trees")
    head, *trees = text.split("\nTree=")
    kind, *lines = head.splitlines()
    if kind != "tree" or not end:
        raise ValueError("no model of trees")
    facts = _fields(lines)
    kept = {name: facts[name] for name in _HEADER}
    columns = 1 if n_classes == 2 else n_classes
    if (int(kept["num_class"]), int(kept["num_tree_per_iteration"])) != (columns, columns) or not trees:
        raise ValueError(f"trees for another number of classes than {n_classes}")
    if len(trees) % columns or int(kept["max_feature_idx"]) != n_features - 1 or int(kept["label_index"]) != 0:
        raise ValueError(f"trees for other features than the {n_features} there are")
    if kept["objective"].split()[0] not in ("binary", "multiclass"):
        raise ValueError(f"trees of the objective {kept['objective'][:40]!r}")
    if any(len(kept[name].split()) != n_features for name in ("feature_names", "feature_infos")):
        raise ValueError("names of other features")
    parts = [_lightgbm_tree(number, tree.splitlines(), n_features) for number, tree in enumerate(trees)]
    return "\n".join(["tree", *(f"{name}={value}" for name, value in kept.items()), "", *parts, "end of trees", ""])


def _lightgbm_tree(number: int, lines: list[str], n_features: int) -> str:
    """One tree as LightGBM writes it, when it is sound."""
    if lines[0] != str(number):
        raise ValueError("trees out of order")
    facts = _fields(lines[1:])
    n_leaves = int(facts["num_leaves"])
    if n_leaves < 1 or int(facts["num_cat"]) or int(facts.get("is_linear", 0)):
        raise ValueError("a tree of a kind that no head has")
    for names, length in ((_OF_NODES, n_leaves - 1), (_OF_LEAVES, n_leaves)):
        for name in names:
            values = facts.get(name, "").split()
            if len(values) != length and (n_leaves > 1 or name == "leaf_value"):
                raise ValueError(f"a tree whose {name} has {len(values)} numbers, not {length}")
            if not np.isfinite(np.array(values, dtype=np.float64)).all():
                raise ValueError(f"a tree whose {name} is not finite")
    if n_leaves > 1:
        left, right = _whole(facts["left_child"]), _whole(facts["right_child"])
        children = np.concatenate([left, right])
        # a negative child -k - 1 is leaf k; laid behind the inner nodes, leaves and nodes are numbered together
        together = np.where(children < 0, n_leaves - 2 - children, children)
        if children.max() >= n_leaves - 1:
            raise ValueError("a tree with a child that is no node")
        padding = np.full(n_leaves, -1)
        ends = np.concatenate([together[: n_leaves - 1], padding]), np.concatenate([together[n_leaves - 1 :], padding])
        check_children(*ends, np.arange(2 * n_leaves - 1) < n_leaves - 1)
        check_features(_whole(facts["split_feature"]), n_features)
        if set(facts["decision_type"].split()) - {str(kind) for kind in range(0, 16, 2)}:
            raise ValueError("a tree with branches of a kind that no head has")
    return "\n".join([f"Tree={number}", *(f"{name}={value}" for name, value in facts.items()), "", ""])


def _fields(lines: Iterable[str]) -> dict[str, str]:
    """``name=value`` lines."""
    pairs = [line.partition("=") for line in lines if line.strip()]
    if any(not equals for _, equals, _ in pairs) or len({name for name, _, _ in pairs}) < len(pairs):
        raise ValueError("a line that is none of name=value, or stands twice")
    return {name: value for name, _, value in pairs}


def _whole(text: str) -> Numbers:
    return np.array(text.split(), dtype=np.int64)


# ---------------------------------------------------------------------- XGBoost


def check_xgboost(content: bytes, n_features: int, n_classes: int) -> None:
    """See that an XGBoost model can be read and used.

    Parameters
    ----------
    content : bytes
        What ``Booster.save_model`` wrote as UBJSON.
    n_features, n_classes : int
        What the head says of it.

    Raises
    ------
    ValueError, LookupError, TypeError
        No such model, or one that points nowhere.
    """
    learner = _Ubjson(content).document()["learner"]
    booster, about = learner["gradient_booster"], learner["learner_model_param"]
    model = booster["model"]
    trees = model["trees"]
    columns = 1 if n_classes == 2 else n_classes
    if booster["name"] != "gbtree" or learner["objective"]["name"] not in ("binary:logistic", "multi:softprob"):
        raise ValueError("a model of a kind that no head has")
    if (int(about["num_feature"]), int(about["num_class"])) != (n_features, 0 if n_classes == 2 else n_classes):
        raise ValueError("a model for other features or classes than the head's")
    rounds = np.asarray(model["iteration_indptr"], dtype=np.int64)
    if int(model["gbtree_model_param"]["num_trees"]) != len(trees) or len(model["tree_info"]) != len(trees):
        raise ValueError("a model that promises other trees than it has")
    if (np.diff(rounds) < 0).any() or [*rounds[:1], *rounds[-1:]] != [0, len(trees)]:
        raise ValueError("rounds that end before they begin")
    owners = np.asarray(model["tree_info"], dtype=np.int64)
    if len(owners) and (owners.min() < 0 or owners.max() >= columns):
        raise ValueError("a tree of a class that is none")
    if any(map(len, model.get("cats", {}).values())):
        raise ValueError("categories, which no head has")
    for tree in trees:
        _check_xgboost_tree(tree, n_features)


def _check_xgboost_tree(tree: Mapping[str, Any], n_features: int) -> None:
    about = tree["tree_param"]
    n_nodes = int(about["num_nodes"])
    columns = {name: np.asarray(tree[name]) for name in tree if name.endswith(("_children", "_indices", "_conditions"))}
    columns |= {name: np.asarray(tree[name]) for name in ("parents", "default_left", "split_type", "base_weights",
                                                          "loss_changes", "sum_hessian")}  # fmt: skip
    if n_nodes < 1 or any(column.shape != (n_nodes,) for column in columns.values()):
        raise ValueError("a tree that promises other nodes than it has")
    if int(about["num_feature"]) != n_features or int(about["size_leaf_vector"]) > 1 or columns["split_type"].any():
        raise ValueError("a tree of a kind that no head has")
    if any(len(tree[name]) for name in tree if name.startswith("categories")):
        raise ValueError("a tree with categories, which no head has")
    left, right = columns["left_children"].astype(np.int64), columns["right_children"].astype(np.int64)
    inner = left != -1
    check_children(left, right, inner)
    check_features(columns["split_indices"][inner].astype(np.int64), n_features)
    parents = columns["parents"].astype(np.int64)
    for children in (left, right):
        if (parents[children[inner]] != np.flatnonzero(inner)).any():
            raise ValueError("a tree whose parents are not those of their children")


class _Ubjson:
    """Reads UBJSON; whatever is no UBJSON is a ValueError."""

    def __init__(self, content: bytes) -> None:
        self._content, self._place = content, 0

    def document(self) -> Any:
        """The one value of the file."""
        try:
            value = self._value(self._take(1), 0)
        except (struct.error, UnicodeDecodeError) as error:
            raise ValueError(f"no UBJSON: {error}") from error
        if self._place != len(self._content):
            raise ValueError("no UBJSON: bytes are left over")
        return value

    def _take(self, n_bytes: int) -> bytes:
        some = self._content[self._place : self._place + n_bytes]
        if n_bytes < 0 or len(some) < n_bytes:
            raise ValueError("no UBJSON: it ends too early")
        self._place += n_bytes
        return some

    def _numbers(self, kind: bytes, count: int) -> Any:
        if kind not in _NUMBERS:
            raise ValueError(f"no UBJSON: type {kind!r}")
        dtype = np.dtype(_NUMBERS[kind])
        return np.frombuffer(self._take(count * dtype.itemsize), dtype)

    def _length(self) -> int:
        kind = self._take(1)
        return int(self._numbers(kind, 1)[0])

    def _text(self) -> str:
        return self._take(self._length()).decode()

    def _value(self, kind: bytes, depth: int) -> Any:
        if depth > _DEEPEST:
            raise ValueError("no UBJSON of ours: nested too deeply")
        if kind in _NUMBERS:
            return self._numbers(kind, 1)[0].item()
        match kind:
            case b"S":
                return self._text()
            case b"C":
                return self._take(1).decode()
            case b"T" | b"F":
                return kind == b"T"
            case b"Z":
                return None
            case b"{":
                return self._object(depth)
            case b"[":
                return self._array(depth)
        raise ValueError(f"no UBJSON: type {kind!r}")

    def _object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self._content[self._place : self._place + 1] != b"}":
            name = self._text()
            if name in found:
                raise ValueError(f"no UBJSON of ours: {name[:40]!r} stands there twice")
            found[name] = self._value(self._take(1), depth + 1)
        self._take(1)
        return found

    def _array(self, depth: int) -> Any:
        mark = self._content[self._place : self._place + 1]
        if mark == b"$":
            self._take(1)
            kind = self._take(1)
            if self._take(1) != b"#":
                raise ValueError("no UBJSON: an array of one type has no length")
            return self._numbers(kind, self._length())
        if mark == b"#":
            self._take(1)
            return [self._value(self._take(1), depth + 1) for _ in range(self._length())]
        found = []
        while self._content[self._place : self._place + 1] != b"]":
            found.append(self._value(self._take(1), depth + 1))
        self._take(1)
        return found
