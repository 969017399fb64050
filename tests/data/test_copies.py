"""Copies made before splitting: as many as asked for, the same each time, and betrayed by every split they leak in."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from leukfeat.data.copies import RECORD, copies_of
from leukfeat.data.folds import Fold
from leukfeat.data.images import read_image
from leukfeat.data.manifest import Manifest
from leukfeat.data.splits import SplitPlan
from leukfeat.data.synthetic import synthesize
from leukfeat.data.words import COPIES_LEAK, IMAGE_LEVEL
from leukfeat.errors import ManifestError, UsageError

MakeManifest = Callable[..., Manifest]


def _turned(image: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
    """A copy that can be told from its original and from every other."""
    other = np.rot90(image, number % 4).copy()
    other[0, 0] = (number % 256, number // 256, 200)
    return other


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """36 images, 24 of class HEM."""
    folder = tmp_path_factory.mktemp("cells")
    return synthesize(folder, n_subjects=12, n_cells=3, size=32, positive_fraction=1 / 3)


def test_every_class_gets_as_many_images_as_asked_for(cells: Manifest, tmp_path: Path) -> None:
    """Originals included and never fewer; each original is copied as often as the others, to within one."""
    whole = copies_of(cells, 30, tmp_path / "copies", _turned)
    assert Counter(whole.label) == {"ALL": 30, "HEM": 30}
    times = Counter(name for name in whole.copy_of if name)
    assert set(times.values()) <= {1, 2}
    assert sum(times[name] for name, label in zip(cells.sample, cells.label, strict=True) if label == "ALL") == 18
    few = copies_of(cells, 20, tmp_path / "few", _turned)
    assert Counter(few.label) == {"ALL": 20, "HEM": 24}
    assert few.sample[: len(cells)] == cells.sample


def test_a_copy_has_everything_of_its_original_but_the_image(cells: Manifest, tmp_path: Path) -> None:
    """The pixels are those that the function made of that original."""
    whole = copies_of(replace(cells, official=("train",) * len(cells)), 30, tmp_path, _turned)
    row_of = {name: row for row, name in enumerate(whole.sample)}
    copies = [row for row, original in enumerate(whole.copy_of) if original]
    for number, row in enumerate(copies):
        original = row_of[whole.copy_of[row]]
        for column in (whole.label, whole.subject, whole.official, whole.group):
            assert column[row] == column[original]
        made = _turned(read_image(whole.file(original)), number)
        np.testing.assert_array_equal(read_image(whole.file(row)), made)
    assert len({whole.sha256[row] for row in copies}) == len(copies)


def test_what_is_written_is_read_again(cells: Manifest, tmp_path: Path) -> None:
    """A run on the folder is a run on the same data."""
    whole = copies_of(cells, 30, tmp_path / "copies", _turned)
    again = Manifest.open(tmp_path / "copies")
    assert again.digest == whole.digest
    assert again.copy_of == whole.copy_of
    assert all(again.file(row).is_file() for row in range(len(again)))


def test_a_stopped_call_goes_on_and_a_finished_one_makes_nothing(cells: Manifest, tmp_path: Path) -> None:
    """Copies that are there are kept; the same arguments give the same data wherever they lie."""
    made: list[int] = []

    def counted(image: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
        made.append(number)
        return _turned(image, number)

    whole = copies_of(cells, 30, tmp_path / "a", counted)
    assert len(made) == 24
    copies = [whole.file(row) for row, original in enumerate(whole.copy_of) if original]
    for file in copies[:5]:
        file.unlink()
    assert copies_of(cells, 30, tmp_path / "a", counted).digest == whole.digest
    assert len(made) == 29
    assert copies_of(cells, 30, tmp_path / "b", _turned).digest == whole.digest
    assert copies_of(cells, 30, tmp_path / "c", _turned, seed=1).copy_of != whole.copy_of


def test_a_folder_of_other_copies_is_refused(cells: Manifest, tmp_path: Path) -> None:
    """They would be taken for those that were asked for."""
    copies_of(cells, 25, tmp_path / "copies", _turned, described="turns")
    with pytest.raises(ManifestError, match="made with another augmented"):
        copies_of(cells, 25, tmp_path / "copies", _turned, described="flips")
    with pytest.raises(ManifestError, match="made with another per_class, seed"):
        copies_of(cells, 26, tmp_path / "copies", _turned, seed=3, described="turns")
    with pytest.raises(ManifestError, match=f"is not empty and has no {RECORD}"):
        copies_of(cells, 25, cells.root, _turned)
    (tmp_path / "copies" / RECORD).write_text("{")
    with pytest.raises(ManifestError, match="cannot be read"):
        copies_of(cells, 25, tmp_path / "copies", _turned, described="turns")
    (tmp_path / "copies" / RECORD).write_text(json.dumps(["else"]))
    with pytest.raises(ManifestError, match="made with another data, per_class"):
        copies_of(cells, 25, tmp_path / "copies", _turned, described="turns")


def test_impossible_requests_are_refused(cells: Manifest, tmp_path: Path) -> None:
    """Nothing is written for them."""
    with pytest.raises(UsageError, match="per_class is 0"):
        copies_of(cells, 0, tmp_path / "none", _turned)
    blind = replace(cells, sha256=("",) * len(cells))
    with pytest.raises(ManifestError, match="class 'ALL' has no readable image"):
        copies_of(blind, 30, tmp_path / "blind", _turned)
    whole = copies_of(cells, 30, tmp_path / "copies", _turned)
    with pytest.raises(ManifestError, match="holds augmented copies already"):
        copies_of(whole, 40, tmp_path / "more", _turned)


# ---------------------------------------------------------------------- the column


@pytest.mark.parametrize(
    ("copy_of", "said"),
    [
        (("00000.png", "", "", ""), "row 2 .00000.png.: copy_of '00000.png' is the row itself"),
        (("", "00000.png", "00001.png", ""), "row 4 .00002.png.: copy_of '00001.png' is a copy itself"),
        (("", "00003.png", "", ""), "has another label or subject"),
        (("", "00002.png", "", ""), "has another label or subject"),
    ],
)
def test_a_copy_that_is_none_is_refused(make_manifest: MakeManifest, copy_of: tuple[str, ...], said: str) -> None:
    """A wrong original would let a copy cross unseen."""
    rows = [("1", "a"), ("1", "a"), ("2", "a"), ("3", "b")]
    with pytest.raises(ManifestError, match=said):
        make_manifest(rows, copy_of=copy_of)


def _field_of_copies(make_manifest: MakeManifest, subject: str | None = None) -> Manifest:
    """Ten originals, each followed by two copies."""
    rows = [(subject or f"S{row // 6}", "ab"[row // 3 % 2] if subject else "ab"[row // 6 % 2]) for row in range(30)]
    copy_of = tuple("" if row % 3 == 0 else f"{row - row % 3:05d}.png" for row in range(30))
    return make_manifest(rows, copy_of=copy_of)


def test_a_copy_is_never_in_another_group_than_its_original(make_manifest: MakeManifest, tmp_path: Path) -> None:
    """Even where nobody knows the subjects, and where the original itself was not taken along."""
    manifest = _field_of_copies(make_manifest, "unknown")
    assert len(set(manifest.group)) == 10
    for same in (manifest, Manifest.load(manifest.save(tmp_path / "cells.csv"))):
        assert same.copy_of == manifest.copy_of
        assert same.group == manifest.group
        assert not same.groups_known, "a copy is no declared group: subjects are as unknown as before"
        siblings = same.take([1, 2, 4])
        assert siblings.group[0] == siblings.group[1] != siblings.group[2]


def test_the_digest_of_data_without_copies_is_what_it_was(make_manifest: MakeManifest) -> None:
    """Stored features and runs are found by it; with copies it is another."""
    plain = make_manifest([("1", "a"), ("1", "a"), ("2", "b")])
    assert plain.digest == "74a4c5618e659c151d4bb0bc91f61c1b3807d4584a728fe8ee25da5dd8a272a4"
    copied = replace(plain, copy_of=("", "00000.png", ""))
    assert copied.digest != plain.digest


# ---------------------------------------------------------------------- what a split says


def test_a_split_by_image_says_how_many_test_images_have_a_copy_in_training(make_manifest: MakeManifest) -> None:
    """Counted here the plainest way; it is the first thing that is said."""
    manifest = _field_of_copies(make_manifest, "unknown")
    original = [name or sample for name, sample in zip(manifest.copy_of, manifest.sample, strict=True)]
    plans = [SplitPlan.holdout(manifest, (60, 20, 20), seed=seed, per_image=True) for seed in range(5)]
    for plan in plans:
        (fold,) = plan.folds
        learned = {original[row] for row in (*fold.train, *fold.validation)}
        leaking = sum(original[row] in learned for row in fold.test)
        assert leaking, "a case without a leak would test nothing"
        assert plan.notes[0] == (
            f"{COPIES_LEAK}: {leaking} of {len(fold.test)} test images have a copy of themselves in training (leaking)"
        )
        assert IMAGE_LEVEL in plan.notes
        assert any("20 of 30 labelled images are augmented copies" in note for note in plan.notes)
    assert any("augmented copies of other images: 20" in line for line in manifest.describe())


def test_whole_subjects_keep_copies_and_originals_together(make_manifest: MakeManifest) -> None:
    """So there is nothing to confess but that images are copies."""
    plan = SplitPlan.grouped(_field_of_copies(make_manifest), 2)
    assert not any(COPIES_LEAK in note for note in plan.notes)
    assert any("augmented copies" in note for note in plan.notes)


def test_whoever_makes_the_folds_the_plan_says_that_copies_cross(make_manifest: MakeManifest, tmp_path: Path) -> None:
    """Two copies without their original, folds from a file, and a plan made of another plan."""
    manifest = _field_of_copies(make_manifest, "unknown")
    rows = [np.array(part, dtype=np.int64) for part in ([1, 4], [], [2, 9])]
    plan = SplitPlan(manifest, (Fold(0, 0, *rows),), "file", "none")
    assert plan.notes == (f"{COPIES_LEAK}: 1 of 2 test images have a copy of themselves in training (leaking)",)
    assert SplitPlan.from_file(manifest, plan.save(tmp_path / "split.csv")).notes[0] == plan.notes[0]
    assert replace(plan, kind="other").notes == plan.notes
    rows = [np.array(part, dtype=np.int64) for part in ([1, 4], [2], [6])]
    chosen = SplitPlan(manifest, (Fold(0, 0, *rows),), "file", "none")
    assert chosen.notes == (f"{COPIES_LEAK}: 1 of 1 validation images have a copy of themselves in training (leaking)",)


def test_an_identical_image_is_a_copy_too(make_manifest: MakeManifest) -> None:
    """C-NMC holds one image under two ids: a copy of the one is a copy of the other."""
    manifest = make_manifest(
        [("1", "a", "x"), ("1", "a"), ("2", "a", "x"), ("3", "b")], copy_of=("", "00000.png", "", "")
    )
    rows = [np.array(part, dtype=np.int64) for part in ([1, 3], [], [2])]
    plan = SplitPlan(manifest, (Fold(0, 0, *rows),), "file", "none")
    assert plan.notes[0].startswith(f"{COPIES_LEAK}: 1 of 1 test images")
