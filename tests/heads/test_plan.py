"""What tells one study from another."""

from __future__ import annotations

import numpy as np

from leukfeat.heads.plan import differences, identify
from leukfeat.heads.space import Choice, Number
from leukfeat.heads.table import Table

SPACE = (
    Number("depth", 2, 8, default=4, whole=True),
    Number("rate", 0.01, 0.3, default=0.1, log=True),
    Choice("kind", ("a", "b"), "a"),
)
SETTINGS = {"head": "tree", "metric": "auroc", "random seed": 3}


def _table(**changes: object) -> Table:
    given = {
        "X": np.arange(12.0).reshape(6, 2),
        "y": np.array([0, 0, 0, 1, 1, 1]),
        "groups": np.arange(6),
        "classes": ("all", "hem"),
    }
    return Table(**{**given, **changes})  # type: ignore[arg-type]


def _pairs(*validations: list[int]) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(np.setdiff1d(np.arange(6), rows), np.array(rows)) for rows in validations]


def _identity(table: Table | None = None, pairs=None, space=SPACE, fixed=None, settings=SETTINGS) -> dict[str, str]:
    return identify(table or _table(), pairs or _pairs([0, 3], [1, 4]), space, fixed or {}, settings)


def test_equal_things_have_equal_identities_whatever_their_memory_is_like() -> None:
    same = _table(X=np.asfortranarray(np.arange(12.0).reshape(6, 2)))
    assert _identity(same) == _identity()
    assert differences(_identity(same), _identity()) == ""


def test_every_difference_is_named() -> None:
    here = _identity()
    moved = _table().X + 1e-12
    cases = {
        "metric: auroc there, mcc here": _identity(settings={**SETTINGS, "metric": "mcc"}),
        "random seed: 3 there, 4 here": _identity(settings={**SETTINGS, "random seed": 4}),
        "content of the features differs": _identity(_table(X=moved)),
        "content of the labels differs": _identity(_table(y=np.array([0, 0, 1, 0, 1, 1]))),
        "content of the groups differs": _identity(_table(groups=np.arange(6)[::-1].copy())),
        "content of the inner folds differs": _identity(pairs=_pairs([0, 3], [2, 4])),
        "classes: all, hem there, all, other here": _identity(_table(classes=("all", "other"))),
        "parameter depth: 2 to 8, first 4 there, 3 throughout here": _identity(space=SPACE[1:], fixed={"depth": 3}),
        "parameter rate: 0.01 to 0.3, logarithmic, first 0.1 there, none here": _identity(space=(SPACE[0], SPACE[2])),
        "parameter kind: one of a, b, first a there, one of a, first a here": _identity(
            space=(*SPACE[:2], SPACE[2].among(["a"]))
        ),
    }
    for told, other in cases.items():
        assert differences(here, other) == told
    folds = _identity(pairs=_pairs([0, 3], [1, 4], [2, 5]))
    assert differences(here, folds) == "inner folds: 2 there, 3 here; content of the inner folds differs"


def test_a_long_list_of_differences_stays_one_line() -> None:
    there = {f"thing {number}": "1" for number in range(9)}
    told = differences(there, dict.fromkeys(there, "2"))
    assert told.endswith("thing 3: 1 there, 2 here; and 5 more")
