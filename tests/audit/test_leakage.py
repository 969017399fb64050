"""Leakage: what meets what in folds that somebody else made, and which of it a split has announced."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leukfeat.audit.confirmation import Match
from leukfeat.audit.data_set import manifest_findings
from leukfeat.audit.duplicates import Duplicates, Pair
from leukfeat.audit.findings import Finding
from leukfeat.audit.leakage import (
    as_tested,
    exposure_findings,
    folds_of_predictions,
    inner_findings,
    split_findings,
)
from leukfeat.data.exposure import Seen
from leukfeat.data.folds import Fold
from leukfeat.data.manifest import Manifest
from leukfeat.data.splits import SplitPlan
from leukfeat.errors import UsageError
from leukfeat.evaluation.predictions import Predictions


def manifest_of(rows: Iterable[tuple[str, str] | tuple[str, str, str]], **columns: Any) -> Manifest:
    """Rows of (subject, label[, what the image shows])."""
    rows = [row if len(row) == 3 else (*row, f"image {number}") for number, row in enumerate(rows)]
    sample = tuple(f"{number}.png" for number in range(len(rows)))
    subject, label, shown = zip(*rows, strict=True)
    digests = tuple(hashlib.sha256(what.encode()).hexdigest() for what in shown)
    return Manifest(sample=sample, path=sample, label=label, subject=subject, sha256=digests, **columns)


def fold_of(train: list[int], test: list[int], validation: list[int] | None = None, number: int = 0) -> Fold:
    return Fold(0, number, *(np.array(part, dtype=np.int64) for part in (train, validation or [], test)))


def codes(findings: Iterable[Finding]) -> set[str]:
    return {one.code for one in findings if one.severity == "leak"}


APART = [("a", "ALL"), ("b", "HEM"), ("c", "ALL"), ("d", "HEM"), ("e", "ALL"), ("f", "HEM")]


def test_parts_that_are_apart_give_no_leak() -> None:
    assert codes(split_findings(manifest_of(APART), [fold_of([0, 1], [4, 5], [2, 3])])) == set()


def test_a_sample_on_both_sides_is_a_leak_even_of_a_split_by_image() -> None:
    """No kind of split announces that it tests what it has trained on."""
    manifest = manifest_of([("unknown", "ALL"), ("unknown", "HEM"), ("unknown", "ALL")])
    found = split_findings(manifest, [fold_of([0, 1], [1, 2])], kind="per-image")
    image = next(one for one in found if one.code == "image-across-folds")
    assert image.stops
    assert image.samples == ("1.png",)


def test_identical_images_on_both_sides_are_a_leak() -> None:
    manifest = manifest_of([("unknown", "ALL", "same"), ("unknown", "HEM"), ("unknown", "ALL", "same")])
    found = split_findings(manifest, [fold_of([0, 1], [2])])
    assert codes(found) == {"identical-across-folds"}
    assert next(iter(found)).samples == ("0.png", "2.png")


def test_a_subject_on_both_sides_is_a_leak_however_it_is_spelt() -> None:
    """C-NMC writes h3 and H3 for one person."""
    manifest = manifest_of([("h3", "HEM"), ("a", "ALL"), ("H3", "HEM"), ("b", "ALL")])
    found = split_findings(manifest, [fold_of([0, 1], [2, 3])])
    assert codes(found) == {"subject-across-folds"}
    assert set(found[0].evidence[0]["subjects"]) == {"h3", "H3"}


def test_linked_subjects_on_both_sides_are_a_leak_of_their_own() -> None:
    """Two ids under which the same image stands: the image itself may be on one side only."""
    manifest = manifest_of([("20", "ALL", "same"), ("21", "ALL", "same"), ("21", "ALL"), ("b", "HEM"), ("c", "HEM")])
    assert codes(split_findings(manifest, [fold_of([2, 3], [0, 4])])) == {"linked-across-folds"}


def test_a_subject_that_crosses_is_not_counted_again_as_a_linked_group() -> None:
    manifest = manifest_of(
        [("20", "ALL", "x"), ("21", "ALL", "x"), ("21", "ALL"), ("b", "HEM"), ("21", "ALL"), ("c", "HEM")]
    )
    assert codes(split_findings(manifest, [fold_of([2, 3], [4, 5])])) == {"subject-across-folds"}


def test_an_augmented_copy_in_training_is_a_leak() -> None:
    manifest = manifest_of([("unknown", "ALL"), ("unknown", "HEM"), ("unknown", "ALL")], copy_of=("", "", "0.png"))
    assert codes(split_findings(manifest, [fold_of([1, 2], [0])])) == {"copy-across-folds"}


def test_near_duplicates_on_both_sides_are_a_leak() -> None:
    manifest = manifest_of([("unknown", "ALL"), ("unknown", "HEM"), ("unknown", "ALL"), ("unknown", "HEM")])
    match = Match(correlation=0.9, overlap=0.5, points=9, mirrored=False, angle=0.0, scale=1.0)
    duplicates = Duplicates(manifest, pairs=(Pair(0, 2, match),))
    crossing, apart = [fold_of([0, 1], [2, 3])], [fold_of([0, 2], [1, 3])]
    assert codes(split_findings(manifest, crossing, duplicates=duplicates)) == {"near-duplicate-across-folds"}
    assert codes(split_findings(manifest, apart, duplicates=duplicates)) == set()


@pytest.mark.parametrize("other", ["test", "train"])
def test_a_validation_part_that_meets_the_test_is_worse_than_one_that_meets_training(other: str) -> None:
    """Choosing by test subjects leaks; choosing by training subjects only chooses badly."""
    manifest = manifest_of([*APART, ("a", "ALL"), ("e", "ALL")])
    found = split_findings(manifest, [fold_of([0, 1], [4, 5], [2, 7 if other == "test" else 6])])
    tuning = [one for one in found if one.code == "tuning-leak"]
    assert [one.severity for one in tuning] == ["leak" if other == "test" else "warning"]
    assert tuning[0].evidence[0]["what"] == "subject-across-folds"


def test_what_a_kind_of_split_announces_stops_nothing() -> None:
    manifest = manifest_of([("a", "ALL"), ("b", "HEM"), ("a", "ALL"), ("b", "HEM")])
    folds = [fold_of([0, 1], [2, 3])]
    stops = {
        (kind, protection): any(one.stops for one in split_findings(manifest, folds, kind=kind, protection=protection))
        for kind, protection in [
            ("per-image", "none"),
            ("official", "none"),
            ("fixed-test", "none"),
            ("holdout", "none"),  # by image; a hold-out of whole subjects protects them
            ("holdout", "linked-subject"),
            ("subject", "subject"),
            ("grouped", "linked-subject"),
            ("file", "none"),
        ]
    }
    assert [kind for kind, stopped in stops.items() if not stopped] == [
        ("per-image", "none"),
        ("official", "none"),
        ("fixed-test", "none"),
        ("holdout", "none"),
    ]


def test_a_split_by_subject_announces_links_only() -> None:
    manifest = manifest_of([("20", "ALL", "same"), ("21", "ALL", "same"), ("b", "HEM"), ("c", "HEM")])
    found = split_findings(manifest, [fold_of([0, 2], [1, 3])], kind="subject", protection="subject")
    assert codes(found) == {"identical-across-folds", "linked-across-folds"}
    assert not any(one.stops for one in found)


def test_thresholds_learned_from_tested_subjects_are_a_leak() -> None:
    manifest = manifest_of([*APART, ("e", "ALL")])
    folds = [fold_of([0, 1, 2, 3], [4, 5])]
    clean = predictions_of(manifest, [(0, 0), (1, 0), (2, 0), (3, 0)])
    assert inner_findings(manifest, folds, clean) == ()
    told = inner_findings(manifest, folds, predictions_of(manifest, [(0, 0), (1, 0), (6, 0)]))
    assert codes(told) == {"tuning-leak"}
    assert told[0].evidence[0]["what"] == "subject-across-folds"
    assert set(told[0].samples) == {"6.png", "4.png"}


def test_an_encoder_that_has_seen_test_images_is_a_leak() -> None:
    manifest = manifest_of(APART)
    folds = [fold_of([0, 1, 2, 3], [4, 5])]
    assert exposure_findings(manifest, folds, Seen.of_rows(manifest, [0, 1]), "net") == ()
    found = exposure_findings(manifest, folds, Seen.of_rows(manifest, [1, 4]), "net.safetensors")
    assert found[0].stops
    assert found[0].samples == ("4.png",)
    assert "net.safetensors" in found[0].words


def predictions_of(manifest: Manifest, tested: list[tuple[int, int]]) -> Predictions:
    """Predictions for (row, fold)."""
    rows, fold = zip(*tested, strict=True)
    return Predictions(
        sample=np.array([manifest.sample[row] for row in rows]),
        subject=np.array([manifest.subject[row] for row in rows]),
        group=np.array([manifest.group[row] for row in rows]),
        repeat=np.zeros(len(rows), dtype=np.int64),
        fold=np.array(fold),
        y_true=np.array([manifest.label[row] for row in rows]),
        proba=np.full((len(rows), 2), 0.5),
        classes=("ALL", "HEM"),
    )


def test_predictions_of_another_tool_give_their_folds_away() -> None:
    """Nobody wrote a split down, but whoever is tested in two folds of a repeat was trained on in both."""
    manifest = manifest_of([("a", "ALL"), ("b", "HEM"), ("a", "ALL"), ("c", "HEM")])
    folds = folds_of_predictions(manifest, predictions_of(manifest, [(0, 0), (1, 0), (2, 1), (3, 1)]))
    assert codes(split_findings(manifest, folds)) == {"subject-across-folds"}
    assert [fold.train.tolist() for fold in folds] == [[2, 3], [0, 1]]


def test_what_was_really_tested_counts_and_not_what_the_split_says() -> None:
    """Predictions for a training row of the split: whatever the split promises, this one was seen."""
    manifest = manifest_of(APART)
    folds = [fold_of([0, 1, 2, 3], [4, 5])]
    real = as_tested(manifest, folds, predictions_of(manifest, [(4, 0), (3, 0)]))
    assert codes(split_findings(manifest, folds)) == set()
    assert {"image-across-folds", "subject-across-folds"} <= codes(split_findings(manifest, real))
    with pytest.raises(UsageError, match="fold 7"):
        as_tested(manifest, folds, predictions_of(manifest, [(4, 7)]))


def test_predictions_of_another_data_set_are_refused() -> None:
    manifest = manifest_of(APART)
    others = replace(predictions_of(manifest, [(0, 0)]), sample=np.array(["elsewhere.png"]))
    with pytest.raises(UsageError, match=r"elsewhere\.png.*name the manifest"):
        folds_of_predictions(manifest, others)


def test_a_class_that_no_fold_can_measure_is_a_warning() -> None:
    found = split_findings(manifest_of(APART), [fold_of([0, 1], [2, 4], number=0), fold_of([0, 1], [3, 5], number=1)])
    assert [(one.code, one.severity) for one in found] == [("class-absent", "warning")]
    assert found[0].evidence[0]["classes"] == ["HEM"]


def test_data_that_says_everything_about_the_label_is_told() -> None:
    told = {one.code: one for one in manifest_findings(manifest_of(APART, site=("x", "y") * 3))}
    assert {"one-class-subjects", "site-confounded"} <= set(told)
    mixed = {one.code for one in manifest_findings(manifest_of([("a", "ALL"), ("a", "HEM"), ("b", "ALL")]))}
    assert "mixed-class-subjects" in mixed
    assert "one-class-subjects" not in mixed
    unknown = {one.code for one in manifest_findings(manifest_of([("unknown", "ALL"), ("unknown", "HEM")]))}
    assert unknown == {"subjects-unknown"}


@pytest.mark.real
def test_the_official_folds_of_cnmc_leak_as_published(shared: Path) -> None:
    """94 images and the links of docs cross the official folds; the split announces it, a file with it does not."""
    manifest = Manifest.open(shared / "data" / "cnmc" / "files.tsv")
    plan = SplitPlan.official(manifest)
    found = {one.code: one for one in split_findings(manifest, plan.folds, kind=plan.kind, protection=plan.protection)}
    assert found["identical-across-folds"].words.startswith("94 identical")
    assert found["linked-across-folds"].declared
    told = {one.code: one for one in manifest_findings(manifest)}
    assert len(told["identical-images"].evidence) == 106
    assert len(told["linked-subjects"].evidence) == len(manifest.links)
    grouped = SplitPlan.grouped(manifest, n_folds=5)
    assert codes(split_findings(manifest, grouped.folds, kind="grouped", protection="linked-subject")) == set()


@pytest.mark.parametrize("kind", ["per-image", "official", "fixed-test"])
def test_no_kind_of_split_announces_a_validation_part_that_is_the_test_part(kind: str) -> None:
    """Subjects on both sides may be declared; choosing by the very images that are tested may not."""
    manifest = manifest_of(APART)
    (found,) = (
        one
        for one in split_findings(manifest, [fold_of([0, 1, 2, 3], [4, 5], [4, 5])], kind=kind)
        if one.code == "tuning-leak" and one.severity == "leak"
    )
    assert found.stops
    shared_subject = manifest_of([*APART, ("e", "ALL")])
    (announced,) = (
        one
        for one in split_findings(shared_subject, [fold_of([0, 1, 2, 3], [4, 5], [6])], kind=kind)
        if one.code == "tuning-leak" and one.severity == "leak"
    )
    assert not announced.stops


def test_predictions_about_other_labels_than_the_manifest_are_refused() -> None:
    """A file made for other data of the same names would be audited as if it were these."""
    manifest = manifest_of(APART)
    folds = [fold_of([0, 1, 2, 3], [4, 5])]
    given = predictions_of(manifest, [(0, 0), (1, 0)])
    turned = replace(given, y_true=np.where(given.y_true == "ALL", "HEM", "ALL"))
    with pytest.raises(UsageError, match=r"is HEM there and ALL in .* \(2 such rows\)"):
        inner_findings(manifest, folds, turned)
