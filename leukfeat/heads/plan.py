"""How to search, and for which rows and settings: what tells one study from another, in words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leukfeat.heads.space import Dimension, Number
from leukfeat.heads.storage import Storage
from leukfeat.heads.table import Splits, Table

_SCHEMA = 4  # of what trials mean; a stored study of another is not continued
_CONTENT = "content of "  # begins the name of what only a digest tells
_MOST_TOLD = 4  # differences


@dataclass(frozen=True)
class StudyPlan:
    """How to search.

    Parameters
    ----------
    name : str or None
        Name of the study in its storage; None derives one from ``identity``.
    identity : mapping of str to str
        Everything that decides what trials find (see :func:`identify`); a stored study with another is refused.
    n_folds : int
        Inner folds; nothing is pruned after the last.
    n_trials : int
        Finished (completed or pruned) trials there shall be in all.
    timeout : float or None
        Begin no further trial after so many seconds.
    seed : int
        Seeds the sampler, together with the slot of a trial.
    greater_is_better : bool
        Which way the metric goes.
    storage : str, path, Storage or None
        None (memory), a file (Optuna journal), or a database URL.
    """

    name: str | None
    identity: Mapping[str, str]
    n_folds: int
    n_trials: int
    timeout: float | None
    seed: int
    greater_is_better: bool
    storage: Any

    @cached_property
    def digest(self) -> str:
        """sha256 of the identity."""
        return hashlib.sha256(json.dumps(dict(self.identity), sort_keys=True).encode()).hexdigest()

    @property
    def study_name(self) -> str:
        """The name given, or the head's and the beginning of the digest."""
        return self.name or f"{self.identity['head']}-{self.digest[:12]}"

    @property
    def alone(self) -> bool:
        """Whether nobody else can be working on the study."""
        return self.storage is None or Storage.at(self.storage).alone


def identify(
    table: Table, pairs: Splits, space: Sequence[Dimension], fixed: Mapping[str, Any], settings: Mapping[str, Any]
) -> dict[str, str]:
    """Everything that decides what trials find, each in words or, where there are too many numbers, as a digest.

    Parameters
    ----------
    table : Table
        The rows.
    pairs : sequence of (training rows, validation rows)
        Inner folds.
    space : sequence of Number or Choice
        What is searched.
    fixed : mapping
        Parameters that are given.
    settings : mapping
        What else there is, by the name that a message may give it; ``head`` among it.

    Returns
    -------
    dict of str to str
    """
    searched = {f"parameter {dimension.name}": _as_words(dimension) for dimension in space}
    given = {f"parameter {name}": f"{value} throughout" for name, value in fixed.items()}
    return {
        **{name: str(value) for name, value in settings.items()},
        "rows": str(len(table.y)),
        "features": str(table.X.shape[1]),
        "type of features": str(table.X.dtype),
        "classes": ", ".join(table.classes),
        "groups": str(len(np.unique(table.groups))),
        "inner folds": str(len(pairs)),
        **searched,
        **given,
        f"{_CONTENT}the features": _digest([table.X]),
        f"{_CONTENT}the labels": _digest([table.y]),
        f"{_CONTENT}the groups": _digest([table.groups]),
        f"{_CONTENT}the inner folds": _digest(part for pair in pairs for part in pair),
        "kind of trials": str(_SCHEMA),
    }


def differences(there: Mapping[str, str], here: Mapping[str, str]) -> str:
    """What differs between two identities, in words; numbers and names before digests, and only the first few.

    Examples
    --------
    >>> differences({"rows": "80", "metric": "auroc"}, {"rows": "96", "metric": "auroc"})
    'rows: 80 there, 96 here'
    """
    told = []
    for name in {**here, **there}:
        before, now = there.get(name, "none"), here.get(name, "none")
        if before != now:
            content = name.startswith(_CONTENT)
            told.append(f"{name} differs" if content else f"{name}: {before} there, {now} here")
    more = f"; and {len(told) - _MOST_TOLD} more" if len(told) > _MOST_TOLD else ""
    return "; ".join(told[:_MOST_TOLD]) + more


def _as_words(dimension: Dimension) -> str:
    if isinstance(dimension, Number):
        scale = ", logarithmic" if dimension.log else ""
        return f"{dimension.low:g} to {dimension.high:g}{scale}, first {dimension.default:g}"
    return f"one of {', '.join(dimension.values)}, first {dimension.default}"


def _digest(arrays: Iterable[NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
