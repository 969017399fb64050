"""Does what was trained on meet what was tested? Folds against a manifest, whoever made them.

Nothing is taken from the promises of a :class:`~leukfeat.data.splits.SplitPlan`: samples, digests, subjects, linked
groups, copies and near-duplicates of every part are compared anew, so that a split file, the ``split.csv`` of a run or
the predictions of another tool are checked just the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leukfeat.audit.duplicates import Duplicates
from leukfeat.audit.findings import Finding, Severity
from leukfeat.data.exposure import Seen
from leukfeat.data.folds import Fold
from leukfeat.data.manifest import Manifest
from leukfeat.data.words import UNKNOWN
from leukfeat.errors import LeakageError, UsageError
from leukfeat.evaluation.predictions import Predictions

SHOWN = 20  # names in the evidence of one fold

_UNITS: Mapping[str, str] = MappingProxyType(
    {
        "image-across-folds": "sample(s)",
        "identical-across-folds": "identical image(s)",
        "copy-across-folds": "original(s), or augmented copies of them,",
        "subject-across-folds": "subject(s)",
        "linked-across-folds": "linked group(s)",
        "near-duplicate-across-folds": "group(s) of near-duplicates",
    }
)
"""What meets, under each code: the ways in which two parts of a fold may share something."""

_BY_IMAGE = frozenset(_UNITS) - {"image-across-folds"} | {"tuning-leak"}
_DECLARED: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "per-image": _BY_IMAGE,
        "official": _BY_IMAGE,
        "fixed-test": _BY_IMAGE,
        "subject": frozenset({"identical-across-folds", "near-duplicate-across-folds", "linked-across-folds"}),
    }
)

Rows = NDArray[np.int64]
Owners = Mapping[str, Sequence[str]]
Meeting = Mapping[str, frozenset[str]]


def declared_by(kind: str, protection: str) -> frozenset[str]:
    """Codes of the leaks that a split announces: they are reported, and stop nothing.

    Parameters
    ----------
    kind, protection : str
        As in :class:`~leukfeat.data.splits.SplitPlan`. A hold-out that protects nobody was asked for by image.
    """
    return _BY_IMAGE if (kind, protection) == ("holdout", "none") else _DECLARED.get(kind, frozenset())


def split_findings(
    manifest: Manifest,
    folds: Sequence[Fold],
    *,
    kind: str = "file",
    protection: str = "none",
    duplicates: Duplicates | None = None,
) -> tuple[Finding, ...]:
    """What meets what in the folds of a split.

    Parameters
    ----------
    manifest : Manifest
        The data set.
    folds : sequence of Fold
        Rows trained on, chosen on and tested.
    kind, protection : str
        What the split calls itself; decides only which leaks count as declared.
    duplicates : Duplicates or None
        Near-duplicates, where they were searched for.

    Returns
    -------
    tuple of Finding
        One a code at most, with the folds as evidence; nothing where the parts are apart.
    """
    owners, declared = _owners(manifest, duplicates), declared_by(kind, protection)
    meetings = [(fold, _meeting(manifest, owners, fold.train, fold.test)) for fold in folds]
    found: list[Finding] = []
    for code, unit in _UNITS.items():
        cases = [
            _case(manifest, fold, owners[code], met[code], fold.train, fold.test) for fold, met in meetings if met[code]
        ]
        if cases:
            everything = frozenset().union(*(met[code] for _, met in meetings))
            words = f"{len(everything):,} {unit} in training and test, in {len(cases)} of {len(folds)} fold(s)"
            found.append(Finding.of(code, words, cases, declared=code in declared))
    found += _tuning(manifest, folds, owners, declared="tuning-leak" in declared)
    found += _absent(manifest, folds)
    return tuple(found)


def inner_findings(
    manifest: Manifest, folds: Sequence[Fold], inner: Predictions, *, kind: str = "file", protection: str = "none"
) -> tuple[Finding, ...]:
    """Whether anything was learned from inner predictions of what was tested: thresholds, temperatures, rules.

    Parameters
    ----------
    manifest, folds, kind, protection
        As in :func:`split_findings`.
    inner : Predictions
        Inner predictions, with the repeat and number of the outer fold that each row trains.

    Raises
    ------
    UsageError
        A sample is not in the manifest.
    """
    owners = _owners(manifest, None)
    number = _row_numbers(manifest, inner)
    learned = []
    for fold in folds:
        rows = number[(inner.repeat == fold.repeat) & (inner.fold == fold.number)]
        # where training itself meets the test, that is what has to be told, and it is told
        trained = _meeting(manifest, owners, fold.train, fold.test)
        met = _meeting(manifest, owners, rows, fold.test)
        code = next((code for code in _UNITS if met[code] - trained[code]), None)
        if code is not None:
            told = met[code] - trained[code]
            learned.append({"what": code, **_case(manifest, fold, owners[code], told, rows, fold.test)})
    if not learned:
        return ()
    words = f"thresholds are learned from what is tested, in {len(learned)} of {len(folds)} fold(s)"
    declared = "tuning-leak" in declared_by(kind, protection) and _of_other_samples(learned)
    return (Finding.of("tuning-leak", words, learned, declared=declared),)


def exposure_findings(manifest: Manifest, folds: Sequence[Fold], seen: Seen, name: str) -> tuple[Finding, ...]:
    """Whether an encoder was trained on what it is tested on, as its own record says.

    Parameters
    ----------
    manifest, folds
        As in :func:`split_findings`.
    seen : Seen
        What the encoder was trained on.
    name : str
        The encoder, for people.
    """
    cases = []
    for fold in folds:
        try:
            seen.refuse(manifest, fold.test)
        except LeakageError:
            images = [manifest.sample[row] for row in fold.test if manifest.sha256[row] in seen.images]
            cases.append({**_place(fold), "count": len(images), "samples": images[:SHOWN]})
    if not cases:
        return ()
    words = f"{name} was trained on images or subjects that are tested, in {len(cases)} of {len(folds)} fold(s)"
    return (Finding.of("finetune-leak", words, cases),)


def folds_of_predictions(manifest: Manifest, predictions: Predictions) -> tuple[Fold, ...]:
    """The folds that predictions give away: a fold tests its own rows, and was trained on the others of its repeat.

    Parameters
    ----------
    manifest : Manifest
        The data set.
    predictions : Predictions
        Of any tool. With a single fold nobody knows what was trained on, and the training part is empty.

    Raises
    ------
    UsageError
        A sample is not in the manifest.
    """
    number = _row_numbers(manifest, predictions)
    places = sorted(set(zip(predictions.repeat.tolist(), predictions.fold.tolist(), strict=True)))
    folds = []
    for repeat, fold in places:
        within = predictions.repeat == repeat
        tested = within & (predictions.fold == fold)
        others = np.setdiff1d(number[within & ~tested], number[tested])
        folds.append(Fold(repeat, fold, others, others[:0], np.unique(number[tested])))
    return tuple(folds)


def as_tested(manifest: Manifest, folds: Sequence[Fold], predictions: Predictions) -> tuple[Fold, ...]:
    """The folds with the test parts that predictions were really made for.

    Raises
    ------
    UsageError
        A sample is not in the manifest, or predictions are for a fold that the split does not have.
    """
    number = _row_numbers(manifest, predictions)
    known = {(fold.repeat, fold.number) for fold in folds}
    places = set(zip(predictions.repeat.tolist(), predictions.fold.tolist(), strict=True))
    if places - known:
        repeat, fold = min(places - known)
        raise UsageError(f"predictions are for repeat {repeat} fold {fold}, which the split does not have")
    return tuple(
        replace(fold, test=np.unique(number[(predictions.repeat == fold.repeat) & (predictions.fold == fold.number)]))
        for fold in folds
    )


# ---------------------------------------------------------------------- who meets whom


def _owners(manifest: Manifest, duplicates: Duplicates | None) -> Owners:
    """By code, what each row belongs to; an empty string meets nothing."""
    n = len(manifest)
    near = [""] * n
    for number, rows in enumerate(duplicates.near_groups if duplicates is not None else ()):
        for row in rows:
            near[row] = str(number)
    copies = any(manifest.copy_of)
    return {
        "image-across-folds": manifest.sample,
        "identical-across-folds": manifest.sha256,
        "copy-across-folds": [
            (original or name) if copies else ""
            for name, original in zip(manifest.sample, manifest.copy_of, strict=True)
        ],
        "subject-across-folds": ["" if name == UNKNOWN else name.casefold() for name in manifest.subject],
        "linked-across-folds": manifest.binding_group,
        "near-duplicate-across-folds": near,
    }


def _meeting(manifest: Manifest, owners: Owners, first: Rows, second: Rows) -> Meeting:
    """By code, what stands in both parts; a linked group or a near-duplicate only where no plainer code tells of it."""
    met = {code: _shared(owners[code], first, second) for code in _UNITS}
    subject, linked = owners["subject-across-folds"], owners["linked-across-folds"]
    same = met["subject-across-folds"]
    met["linked-across-folds"] = _shared(
        linked, [row for row in first if subject[row] not in same], [row for row in second if subject[row] not in same]
    )
    near = owners["near-duplicate-across-folds"]
    digests: dict[str, set[str]] = {}
    for row in (*first.tolist(), *second.tolist()):
        digests.setdefault(near[row], set()).add(manifest.sha256[row])
    met["near-duplicate-across-folds"] = frozenset(
        group for group in met["near-duplicate-across-folds"] if len(digests[group]) > 1
    )
    return met


def _shared(owner: Sequence[str], first: Iterable[int], second: Iterable[int]) -> frozenset[str]:
    return frozenset({owner[row] for row in first} & {owner[row] for row in second}) - {""}


def _case(
    manifest: Manifest, fold: Fold, owner: Sequence[str], met: frozenset[str], first: Rows, second: Rows
) -> Mapping[str, Any]:
    """The evidence of one fold: how many rows of the second part are met, and who meets whom in a few groups."""
    groups: dict[str, tuple[list[int], list[int]]] = {name: ([], []) for name in sorted(met)}
    for side, rows in enumerate((first, second)):
        for row in rows.tolist():
            if owner[row] in groups:
                groups[owner[row]][side].append(row)
    count = sum(len(tested) for _, tested in groups.values())
    shown = [row for here, there in groups.values() for row in (here[0], there[0])][:SHOWN]
    facts: dict[str, Any] = {**_place(fold), "count": count, "samples": [manifest.sample[row] for row in shown]}
    subjects = sorted({manifest.subject[row] for here, there in groups.values() for row in (*here, *there)} - {UNKNOWN})
    if subjects:
        facts["subjects"] = subjects[:SHOWN]
    return facts


def _of_other_samples(cases: Iterable[Mapping[str, Any]]) -> bool:
    """Whether no sample stands on both sides itself, which no kind of split declares."""
    return all(case["what"] != "image-across-folds" for case in cases)


def _tuning(manifest: Manifest, folds: Sequence[Fold], owners: Owners, *, declared: bool) -> Iterator[Finding]:
    """Validation parts that meet the test, or what they are to judge."""
    cases: dict[str, list[Mapping[str, Any]]] = {"test": [], "training": []}
    for fold in folds:
        for part, rows in (("test", fold.test), ("training", fold.train)):
            met = _meeting(manifest, owners, fold.validation, rows)
            code = next((code for code in _UNITS if met[code]), None)
            if code is not None:
                told = _case(manifest, fold, owners[code], met[code], fold.validation, rows)
                cases[part].append({"what": code, **told})
    for part, found in cases.items():
        if found:
            words = f"validation and {part} share images or subjects, in {len(found)} of {len(folds)} fold(s)"
            # what is judged by its own subjects is judged too well, but the test is not told of them
            severity: Severity = "leak" if part == "test" else "warning"
            yield Finding.of(
                "tuning-leak", words, found, declared=declared and _of_other_samples(found), severity=severity
            )


def _absent(manifest: Manifest, folds: Sequence[Fold]) -> Iterator[Finding]:
    """Folds that cannot measure a class."""
    used = {manifest.label[row] for fold in folds for row in fold.test}
    cases = []
    for fold in folds:
        lacking = sorted(used - {manifest.label[row] for row in fold.test})
        if lacking:
            cases.append({**_place(fold), "classes": lacking})
    if cases:
        yield Finding.of("class-absent", f"a class is absent from the test part of {len(cases)} fold(s)", cases)


def _place(fold: Fold) -> dict[str, Any]:
    return {"repeat": fold.repeat, "fold": fold.number}


def _row_numbers(manifest: Manifest, predictions: Predictions) -> Rows:
    row_of = {sample: row for row, sample in enumerate(manifest.sample)}
    unknown = [sample for sample in predictions.sample.tolist() if sample not in row_of]
    if unknown:
        raise UsageError(
            f"predictions: sample {unknown[0]!r} is not in {manifest.dataset} ({len(unknown)} such rows); name the"
            " manifest that they were made for"
        )
    rows = np.array([row_of[sample] for sample in predictions.sample.tolist()], dtype=np.int64)
    differing = np.flatnonzero(np.asarray(manifest.label)[rows] != predictions.y_true)
    if len(differing):
        row = int(differing[0])
        raise UsageError(
            f"predictions: {predictions.sample[row]} is {predictions.y_true[row]} there and {manifest.label[rows[row]]}"
            f" in {manifest.dataset} ({len(differing)} such rows); name the manifest that they were made for"
        )
    return rows
