"""Laws of splits: nobody is on both sides, and what a plan promises is checked when it is made."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score

from leukfeat.data.manifest import Manifest
from leukfeat.data.splits import Fold, SplitPlan
from leukfeat.data.words import IMAGE_LEVEL, SUBJECTS_UNKNOWN
from leukfeat.errors import SplitError, UsageError

MakeManifest = Callable[..., Manifest]


@pytest.fixture
def manifest(make_manifest: MakeManifest) -> Manifest:
    """Ten subjects a class with one to ten cells; subjects 0 and 2 (class a), 1 and 3 (class b) share an image."""
    rows = []
    for subject in range(20):
        label = "ab"[subject % 2]
        shown = {0: "x", 2: "x", 1: "y", 3: "y"}.get(subject, "")
        rows += [(f"S{subject}", label, shown)] + [(f"S{subject}", label)] * (subject // 2)
    return make_manifest([*rows, ("", "")])


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """Subjects with one class each, and images that are the same for some of them."""
    samples, labels, subjects, digests = [], [], [], []
    for subject in range(draw(st.integers(6, 14))):
        label = "ab"[subject % 2]
        for _ in range(draw(st.integers(1, 4))):
            # few images of a class: many links
            image = draw(st.integers(0, 60))
            samples.append(f"{len(samples)}.png")
            labels.append(label)
            subjects.append(f"S{subject}")
            digests.append(f"{label}{image}")
    return Manifest(tuple(samples), tuple(samples), tuple(labels), tuple(subjects), tuple(digests))


@given(manifest=manifests(), n_folds=st.integers(2, 3), seed=st.integers(0, 10**6), n_repeats=st.integers(1, 2))
def test_no_linked_subject_is_on_both_sides(manifest: Manifest, n_folds: int, seed: int, n_repeats: int) -> None:
    """Neither an id nor an image nor a chain of shared images crosses, and every sample is tested once a repeat."""
    rows = list(zip(manifest.group, manifest.label, strict=True))
    fewest = min(len({group for group, label in rows if label == name}) for name in manifest.classes)
    if fewest < n_folds:
        with pytest.raises(SplitError, match=f"has only {fewest}"):
            SplitPlan.grouped(manifest, n_folds, n_repeats, seed)
        return
    plan = SplitPlan.grouped(manifest, n_folds, n_repeats, seed)
    for fold in plan.folds:
        for column in (manifest.subject, manifest.sha256, manifest.group):
            assert not {column[row] for row in fold.train} & {column[row] for row in fold.test}
        assert set(np.asarray(manifest.label)[fold.train]) == {"a", "b"}
    for repeat in range(n_repeats):
        tested = np.concatenate([fold.test for fold in plan.folds if fold.repeat == repeat])
        np.testing.assert_array_equal(np.sort(tested), manifest.labelled)


def test_unlabelled_rows_are_in_no_part(manifest: Manifest) -> None:
    """They can neither train nor be scored."""
    for plan in (SplitPlan.grouped(manifest), SplitPlan.per_image(manifest), SplitPlan.holdout(manifest)):
        used = {row for fold in plan.folds for part in (fold.train, fold.validation, fold.test) for row in part}
        assert used == set(manifest.labelled)


def test_the_same_seed_gives_the_same_plan_and_repeats_differ(manifest: Manifest) -> None:
    """A split is shared between runs by its digest."""
    first = SplitPlan.grouped(manifest, 3, 2, seed=5)
    assert first.digest == SplitPlan.grouped(manifest, 3, 2, seed=5).digest
    assert first.digest != SplitPlan.grouped(manifest, 3, 2, seed=6).digest
    repeats = [[fold.test.tolist() for fold in first.folds if fold.repeat == repeat] for repeat in (0, 1)]
    assert repeats[0] != repeats[1]


def test_per_image_splits_say_so(manifest: Manifest) -> None:
    """Reproductions of a paper must carry the words wherever they go."""
    plan = SplitPlan.per_image(manifest, 5)
    assert plan.protection == "none"
    assert IMAGE_LEVEL in plan.notes
    assert IMAGE_LEVEL in SplitPlan.holdout(manifest, per_image=True).notes
    assert IMAGE_LEVEL not in SplitPlan.grouped(manifest).notes
    assert "nothing keeps subjects apart" in plan.describe()[0]


@pytest.mark.parametrize("shares", [(60, 20, 20), (0.8, 0, 0.2)])
def test_holdout_keeps_linked_subjects_whole(manifest: Manifest, shares: tuple[float, ...]) -> None:
    """Shares are met as far as whole subjects allow, and validation may be empty."""
    plan = SplitPlan.holdout(manifest, shares, n_repeats=3, seed=1)
    for fold in plan.folds:
        sides = [{manifest.group[row] for row in part} for part in (fold.train, fold.validation, fold.test)]
        assert not sides[0] & sides[1] | sides[0] & sides[2] | sides[1] & sides[2]
        found = np.array([len(fold.train), len(fold.validation), len(fold.test)])
        np.testing.assert_allclose(found / found.sum(), np.array(shares) / sum(shares), atol=0.12)
    assert len({fold.test.tobytes() for fold in plan.folds}) == 3


# ---------------------------------------------------------------------- what cannot be made


@pytest.mark.parametrize("fractions", [(60, 20), (0, 50, 50), (80, 20, 0), (80, -20, 40), (float("nan"), 1, 1)])
def test_fractions_that_make_no_sense_are_refused(manifest: Manifest, fractions: tuple[float, ...]) -> None:
    """The message shows how it is done."""
    with pytest.raises(UsageError, match="such as 60/20/20"):
        SplitPlan.holdout(manifest, fractions)


def test_impossible_requests_say_what_is_possible(manifest: Manifest, make_manifest: MakeManifest) -> None:
    """Ten subjects of a class, of which two are linked: nine folds and no more."""
    with pytest.raises(SplitError, match="has only 9 linked subjects; at most 9 folds are possible"):
        SplitPlan.grouped(manifest, 10)
    with pytest.raises(UsageError, match="--folds 1"):
        SplitPlan.grouped(manifest, 1)
    with pytest.raises(UsageError, match="--repeats 0"):
        SplitPlan.holdout(manifest, n_repeats=0)
    with pytest.raises(SplitError, match="only one class"):
        SplitPlan.grouped(make_manifest([("1", "a"), ("2", "a")]), 2)
    with pytest.raises(SplitError, match="class 'b' has only 1 subject; folds need at least 2"):
        SplitPlan.grouped(make_manifest([("1", "a"), ("2", "a"), ("3", "b"), ("3", "b")]), 2)
    with pytest.raises(SplitError, match="3 parts asked for, but class 'a' has only 2 subjects"):
        SplitPlan.holdout(make_manifest([("1", "a"), ("2", "a"), ("3", "b"), ("4", "b")]))
    with pytest.raises(SplitError, match="class 'b' has only 1 image"):
        SplitPlan.per_image(make_manifest([("1", "a"), ("2", "a"), ("3", "b")]), 2)


def test_unknown_subjects_are_never_grouped(make_manifest: MakeManifest) -> None:
    """A grouped split would promise what nobody can keep; groups the user declares are another matter."""
    rows = [("unknown", "a")] * 6 + [("unknown", "b")] * 6
    with pytest.raises(SplitError, match="needs subjects, and they are unknown"):
        SplitPlan.grouped(make_manifest(rows), 2)
    with pytest.raises(SplitError, match="needs subjects"):
        SplitPlan.holdout(make_manifest(rows))
    assert SUBJECTS_UNKNOWN in SplitPlan.per_image(make_manifest(rows), 2).notes
    fields = make_manifest(rows, declared_group=tuple(f"field {row // 2}" for row in range(12)))
    plan = SplitPlan.grouped(fields, 2)
    assert SUBJECTS_UNKNOWN in plan.notes
    assert "declared groups are never divided" in plan.describe()[0]


def _fold(train: list[int], test: list[int], validation: list[int] | None = None) -> Fold:
    return Fold(0, 0, np.array(train), np.array(validation or [], dtype=int), np.array(test, dtype=int))


@pytest.mark.parametrize(
    ("fold", "protection", "said"),
    [
        (_fold([0, 1, 2], [2, 3]), "none", "a sample stands in two parts"),
        (_fold([0, 2], [1], [1]), "none", "a sample stands in two parts"),
        (_fold([0, 1], [2]), "none", "class 'b' is absent from the training part"),
        (_fold([0, 2], []), "none", "the test part is empty"),
        (_fold([0, 2], [4]), "none", "00004.png has no label"),
        (_fold([0, 2], [1, 3]), "linked-subject", r"1 linked-subject group.*'1\+5'"),
        (_fold([0, 2], [1, 3]), "subject", ""),
    ],
)
def test_a_plan_that_breaks_its_promise_cannot_be_made(
    make_manifest: MakeManifest, fold: Fold, protection: str, said: str
) -> None:
    """Checked at construction, whoever made the folds."""
    manifest = make_manifest([("1", "a", "x"), ("5", "a", "x"), ("2", "b"), ("3", "b"), ("", "")])
    if not said:
        assert SplitPlan(manifest, (fold,), "file", protection).folds  # type: ignore[arg-type]
        return
    with pytest.raises(SplitError, match=said):
        SplitPlan(manifest, (fold,), "file", protection)  # type: ignore[arg-type]


# ---------------------------------------------------------------------- splits that come from outside


def test_official_folds_report_the_links_that_cross(make_manifest: MakeManifest) -> None:
    """The literature used these folds, so they are printed and not refused."""
    rows = [("20", "a", "x", "fold_0"), ("21", "a", "x", "fold_1"), ("7", "b", "", "fold_0"), ("8", "b", "", "fold_1")]
    plan = SplitPlan.official(make_manifest([*rows, ("9", "b", "", "prelim"), ("", "", "", "final")]))
    assert plan.protection == "subject"
    assert any("1 linked group(s) stand on both sides; links that cross: 20=21 (1)" in note for note in plan.notes)
    assert any("not used: prelim" in note for note in plan.notes)
    assert [fold.test.tolist() for fold in plan.folds] == [[0, 2], [1, 3]]


def test_official_train_and_test_parts(make_manifest: MakeManifest) -> None:
    """Validation where there is one; several test parts are tested together, or one by one."""
    parts = ["train", "val", "testA", "testB"]
    manifest = make_manifest([(f"{part}{label}", label, "", part) for part in parts for label in "ab"])
    (fold,) = SplitPlan.official(manifest).folds
    assert [part.tolist() for part in (fold.train, fold.validation, fold.test)] == [[0, 1], [2, 3], [4, 5, 6, 7]]
    (fold,) = SplitPlan.fixed_test(manifest, "testB").folds
    assert [part.tolist() for part in (fold.train, fold.test)] == [[0, 1, 2, 3], [6, 7]]


def test_official_parts_that_are_no_split_are_refused(make_manifest: MakeManifest) -> None:
    """The message says which parts there are."""
    manifest = make_manifest([("1", "a", "", "prelim"), ("2", "b", "", "prelim"), ("", "", "", "final")])
    with pytest.raises(SplitError, match="no official split; parts found: prelim"):
        SplitPlan.official(manifest)
    with pytest.raises(SplitError, match="no labelled images in official part 'final'; parts: prelim"):
        SplitPlan.fixed_test(manifest, "final")


@pytest.mark.parametrize("kind", ["grouped", "repeated", "holdout", "per-image"])
def test_a_written_split_is_read_as_it_was(manifest: Manifest, tmp_path: Path, kind: str) -> None:
    """So a split can be shared between runs and people; its protection is found out anew."""
    plan = {
        "grouped": lambda: SplitPlan.grouped(manifest, 12 - 3),
        "repeated": lambda: SplitPlan.grouped(manifest, 3, 12),
        "holdout": lambda: SplitPlan.holdout(manifest),
        "per-image": lambda: SplitPlan.per_image(manifest),
    }[kind]()
    again = SplitPlan.from_file(manifest, plan.save(tmp_path / "split.csv"))
    assert again.digest == plan.digest
    assert again.protection == plan.protection
    assert [(fold.repeat, fold.number) for fold in again.folds] == [(fold.repeat, fold.number) for fold in plan.folds]


def test_the_order_of_rows_does_not_matter_to_a_split(manifest: Manifest, tmp_path: Path) -> None:
    """Two manifests of the same samples share a split file and its digest."""
    plan = SplitPlan.grouped(manifest, 3)
    turned = manifest.take(range(len(manifest) - 1, -1, -1))
    assert SplitPlan.from_file(turned, plan.save(tmp_path / "split.csv")).digest == plan.digest


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sample,fold_0\n00000.png,train\nx.png,test\n", "row 3: sample 'x.png' is not in"),
        ("sample,fold_0\n00000.png,learn\n", "row 2 column fold_0: 'learn' is not train, val, test or empty"),
        ("sample,fold_0\n00000.png,train\n00000.png,train\n", "row 3: sample '00000.png' is listed twice"),
        ("sample,part\n00000.png,train\n", "needs the columns sample and fold_0"),
        ("name,fold_0\n00000.png,train\n", "needs the columns sample and fold_0"),
        ("sample,fold_a\n00000.png,train\n", "column 'fold_a' is neither fold_N nor repeat_R_fold_N"),
        ("sample,fold_0\n", "holds no rows"),
        ("", "holds no rows"),
    ],
)
def test_a_bad_split_file_is_refused(manifest: Manifest, tmp_path: Path, text: str, said: str) -> None:
    """A word misread would move a subject to the other side."""
    (tmp_path / "split.csv").write_text(text)
    with pytest.raises(SplitError, match=said):
        SplitPlan.from_file(manifest, tmp_path / "split.csv")
    with pytest.raises(SplitError, match="no such file"):
        SplitPlan.from_file(manifest, tmp_path / "none.csv")


def test_a_split_file_without_protection_says_image_level(manifest: Manifest, tmp_path: Path) -> None:
    """Where it came from does not matter, only who stands on both sides."""
    rows = [row for row in manifest.labelled if manifest.subject[row] in ("S18", "S19")]
    lines = [f"{manifest.sample[row]},{'test' if number % 3 == 0 else 'train'}" for number, row in enumerate(rows)]
    (tmp_path / "split.csv").write_text("\n".join(["sample,fold_0", *lines]))
    assert IMAGE_LEVEL in SplitPlan.from_file(manifest, tmp_path / "split.csv").notes


def test_a_plan_is_a_scikit_learn_splitter(manifest: Manifest) -> None:
    """It can be given to any function that takes ``cv``; validation rows are training rows there."""
    plan = SplitPlan.holdout(manifest, n_repeats=2)
    assert plan.get_n_splits() == len(list(plan.split())) == 2
    for fold, (train, test) in zip(plan.folds, plan.split(), strict=True):
        assert set(train) == {*fold.train, *fold.validation}
        np.testing.assert_array_equal(test, fold.test)


# ---------------------------------------------------------------------- one test part for all


@pytest.mark.parametrize("n_folds", [3, 5])
@pytest.mark.parametrize("seed", range(3))
def test_a_reserved_test_part_is_the_same_for_all_and_nobody_crosses(
    manifest: Manifest, n_folds: int, seed: int
) -> None:
    """Every other fold is the validation part once; training, validation and test are all there is."""
    plan = SplitPlan.reserved(manifest, n_folds, seed)
    assert plan.kind == "reserved"
    assert plan.protection == "linked-subject"
    assert [fold.repeat for fold in plan.folds] == list(range(n_folds - 1))
    assert len({fold.test.tobytes() for fold in plan.folds}) == 1
    for fold in plan.folds:
        assert sorted([*fold.train, *fold.validation, *fold.test]) == manifest.labelled.tolist()
    validated = np.concatenate([fold.validation for fold in plan.folds])
    assert sorted([*validated, *plan.folds[0].test]) == manifest.labelled.tolist()
    assert any("is used for all" in note for note in plan.notes)


def test_training_on_one_fold_alone_leaves_the_others_out(manifest: Manifest) -> None:
    """The literal reading: disjoint training parts, a share of each one's subjects for validation."""
    plan = SplitPlan.reserved(manifest, 3, train="one", validation=0.4)
    used = [np.concatenate([fold.train, fold.validation]) for fold in plan.folds]
    assert not np.intersect1d(*used).size
    for fold in plan.folds:
        assert len(fold.validation)
        assert not {manifest.group[row] for row in fold.train} & {manifest.group[row] for row in fold.validation}
    rest = SplitPlan.reserved(manifest, 3)
    assert [sorted(rows) for rows in used] == [sorted(fold.validation) for fold in rest.folds], "the same folds"
    none = SplitPlan.reserved(manifest, 3, train="one", validation=0)
    assert [len(fold.validation) for fold in none.folds] == [0, 0]


def test_a_share_of_subjects_counts_subjects_and_not_their_images(skewed: Manifest) -> None:
    """A fold of few subjects must not be left with its two largest to train on."""
    for fold in SplitPlan.reserved(skewed, 3, train="one", validation=0.2).folds:
        train, validation = ({skewed.group[row] for row in part} for part in (fold.train, fold.validation))
        assert len(validation) / len(train | validation) == pytest.approx(0.2, abs=0.05)


def test_a_reserved_plan_can_be_written_and_read(manifest: Manifest, tmp_path: Path) -> None:
    plan = SplitPlan.reserved(manifest, 4)
    assert SplitPlan.from_file(manifest, plan.save(tmp_path / "split.csv")).digest == plan.digest


def test_impossible_reserved_plans_are_refused(manifest: Manifest, make_manifest: MakeManifest) -> None:
    """Each message says what is needed."""
    with pytest.raises(UsageError, match="at least 3 are needed, of which one is reserved"):
        SplitPlan.reserved(manifest, 2)
    with pytest.raises(UsageError, match="at least 2 are needed"):
        SplitPlan.reserved(manifest, 1, train="one")
    with pytest.raises(UsageError, match="'all' is neither 'rest'"):
        SplitPlan.reserved(manifest, 3, train="all")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="validation: 1 is no share"):
        SplitPlan.reserved(manifest, 3, train="one", validation=1)
    with pytest.raises(SplitError, match="2 parts asked for, but class 'a' has only 1 linked subject"):
        SplitPlan.reserved(manifest, 9, train="one")
    with pytest.raises(SplitError, match="a reserved split needs subjects"):
        SplitPlan.reserved(make_manifest([("unknown", "a"), ("unknown", "b")] * 6), 3)


# ---------------------------------------------------------------------- a test part that is divided


@pytest.fixture
def with_prelim(make_manifest: MakeManifest) -> Manifest:
    """Eight training subjects, and eight others with four images each in the part prelim."""
    rows = [(f"{part}{who}", "ab"[who % 2], "", part) for part in ("fold_0", "prelim") for who in range(8)] * 4
    return make_manifest(rows)


def test_a_share_of_the_test_part_validates_whole_subjects(with_prelim: Manifest) -> None:
    """Nobody crosses, so the plan still protects linked subjects."""
    plan = SplitPlan.fixed_test(with_prelim, "prelim", validation=0.5)
    (fold,) = plan.folds
    assert {with_prelim.official[row] for row in (*fold.validation, *fold.test)} == {"prelim"}
    assert (len(fold.train), len(fold.validation), len(fold.test)) == (32, 16, 16)
    assert plan.protection == "linked-subject"
    assert IMAGE_LEVEL not in plan.notes
    assert any("tested on 16 of 32 images of the official part prelim" in note for note in plan.notes)
    other = SplitPlan.fixed_test(with_prelim, "prelim", validation=0.5, seed=1)
    assert other.digest != plan.digest
    assert SplitPlan.fixed_test(with_prelim, "prelim", validation=0.5).digest == plan.digest


def test_a_test_part_divided_by_image_says_exactly_what_crosses(with_prelim: Manifest, tmp_path: Path) -> None:
    """Training meets nobody, but whatever is refitted on the validation part has met test subjects."""
    plan = SplitPlan.fixed_test(with_prelim, "prelim", validation=0.5, validation_by="image")
    (fold,) = plan.folds
    shared = {with_prelim.subject[row] for row in fold.validation} & {with_prelim.subject[row] for row in fold.test}
    assert shared
    assert plan.protection == "none"
    assert IMAGE_LEVEL in plan.notes
    said = f"validation and test share {len(shared)} linked group(s), training and test none"
    assert any(note.startswith(said) for note in plan.notes)
    assert not any("stand on both sides" in note for note in plan.notes)
    read = SplitPlan.from_file(with_prelim, plan.save(tmp_path / "split.csv"))
    assert any(note.startswith(said) for note in read.notes), "whoever made the folds"


def test_dividing_a_test_part_needs_a_share_and_known_subjects(
    with_prelim: Manifest, make_manifest: MakeManifest
) -> None:
    """By image it can be done without subjects, with the words that go with that."""
    with pytest.raises(UsageError, match=r"validation: 1\.5 is no share"):
        SplitPlan.fixed_test(with_prelim, "prelim", validation=1.5)
    with pytest.raises(UsageError, match="'cell' is neither 'subject' nor 'image'"):
        SplitPlan.fixed_test(with_prelim, "prelim", validation=0.5, validation_by="cell")  # type: ignore[arg-type]
    unknown = make_manifest([("unknown", "ab"[row % 2], "", ("train", "prelim")[row // 8]) for row in range(16)])
    with pytest.raises(SplitError, match="cannot be divided by subject"):
        SplitPlan.fixed_test(unknown, "prelim", validation=0.5)
    plan = SplitPlan.fixed_test(unknown, "prelim", validation=0.5, validation_by="image")
    assert {IMAGE_LEVEL, SUBJECTS_UNKNOWN} <= set(plan.notes)


# ---------------------------------------------------------------------- many seeds


@pytest.fixture(scope="module")
def skewed() -> Manifest:
    """47 and 26 subjects with 5 to 60 cells, of which some share an image: 44 and 22 groups, as skewed as C-NMC."""
    rng = np.random.default_rng(0)
    rows: list[tuple[str, str, str]] = []  # label, subject, digest
    linked = {"a": [(0, 1), (1, 2), (3, 4)], "b": [(0, 1), (2, 3), (4, 5), (6, 7)]}
    for label, n_subjects in (("a", 47), ("b", 26)):
        for subject in range(n_subjects):
            n_cells = min(60, 5 + int(rng.lognormal(2.5, 0.8)))
            shown = [f"{label} shared by {pair}" for pair in linked[label] if subject in pair]
            shown += [f"{label} {subject} {cell}" for cell in range(n_cells - len(shown))]
            rows += [(label, f"{label}{subject}", digest) for digest in shown]
    sample = tuple(f"{number}.png" for number in range(len(rows)))
    label_of, subject_of, digest_of = zip(*rows, strict=True)
    return Manifest(sample, sample, label_of, subject_of, digest_of)


def _partitions(manifest: Manifest, n_folds: int, seeds: range) -> Iterator[tuple[SplitPlan, NDArray[np.int64]]]:
    """The plan of every seed, with the fold of each group."""
    first = np.unique(np.asarray(manifest.group)[manifest.labelled], return_index=True)[1]
    for seed in seeds:
        plan = SplitPlan.grouped(manifest, n_folds, seed=seed)
        fold_of = np.full(len(manifest), -1)
        for fold in plan.folds:
            fold_of[fold.test] = fold.number
        yield plan, fold_of[manifest.labelled][first]


def test_seeds_give_really_different_folds_and_all_are_balanced(skewed: Manifest) -> None:
    """scikit-learn's StratifiedGroupKFold puts the largest groups first and hardly looks at the seed."""
    assert [len({g for g, y in zip(skewed.group, skewed.label, strict=True) if y == k}) for k in "ab"] == [44, 22]
    label = np.asarray(skewed.label)
    folds = []
    for plan, fold_of in _partitions(skewed, 5, range(20)):
        folds.append(fold_of)
        for fold in plan.folds:
            assert abs((label[fold.test] == "a").mean() - (label == "a").mean()) < 0.08
            assert abs(len(fold.test) / len(skewed) - 0.2) < 0.05
    assert np.mean([adjusted_rand_score(a, b) for a, b in itertools.combinations(folds, 2)]) < 0.5
    assert len({fold_of.tobytes() for fold_of in folds}) == 20


def test_no_linked_group_is_on_both_sides_over_200_seeds(skewed: Manifest) -> None:
    """Checked by ids, images and groups, not by the constructor's own word."""
    columns = [np.unique(column, return_inverse=True)[1] for column in (skewed.subject, skewed.sha256, skewed.group)]
    for seed in range(200):
        for fold in SplitPlan.grouped(skewed, 3, seed=seed).folds:
            for column in columns:
                learned = np.zeros(len(column), bool)  # which values of the column stand in training
                learned[column[fold.train]] = True
                assert not learned[column[fold.test]].any()


# ---------------------------------------------------------------------- the real list


@pytest.fixture(scope="module")
def cnmc(request: pytest.FixtureRequest) -> list[Manifest]:
    return []


@pytest.fixture
def full(shared: Path, cnmc: list[Manifest]) -> Manifest:
    """All 15,114 images of C-NMC by name and checksum, read once."""
    if not cnmc:
        cnmc.append(Manifest.open(shared / "data/cnmc/files.tsv", dataset="cnmc"))
    return cnmc[0]


@pytest.mark.real
def test_different_seeds_give_really_different_folds(full: Manifest) -> None:
    """scikit-learn's StratifiedGroupKFold gives 16 partitions in 200 seeds; and balance must not be the price."""
    label = np.asarray(full.label)
    folds = []
    for plan, fold_of in _partitions(full, 5, range(20)):
        folds.append(fold_of)
        for fold in plan.folds:
            assert abs((label[fold.test] == "ALL").mean() - 7272 / 10661) < 0.08
            assert abs(len(fold.test) / 10661 - 0.2) < 0.05
    pairs = [adjusted_rand_score(a, b) for a, b in itertools.combinations(folds, 2)]
    assert np.mean(pairs) < 0.5
    assert len({fold.tobytes() for fold in folds}) == 20


@pytest.mark.real
@pytest.mark.slow
def test_no_linked_group_of_c_nmc_is_on_both_sides_over_200_seeds(full: Manifest) -> None:
    """Checked by ids, images and groups, not by the constructor's own word."""
    columns = [np.unique(column, return_inverse=True)[1] for column in (full.subject, full.sha256, full.group)]
    for seed in range(200):
        for fold in SplitPlan.grouped(full, 3, seed=seed).folds:
            for column in columns:
                learned = np.zeros(len(column), bool)  # which values of the column stand in training
                learned[column[fold.train]] = True
                assert not learned[column[fold.test]].any()


@pytest.mark.real
def test_the_official_folds_of_c_nmc_leak(full: Manifest) -> None:
    """94 images stand in two folds that are called patient-disjoint."""
    plan = SplitPlan.official(full)
    assert len(plan.folds) == 3
    assert plan.protection == "subject"
    told = "\n".join(plan.describe())
    for link in ("20=21 (71)", "51=78 (11)", "51=75 (10)", "H10=H3 (1)"):
        assert link in told


def test_taking_rows_or_saving_does_not_make_groups_known(make_manifest: MakeManifest, tmp_path: Path) -> None:
    """Otherwise each image of unknown subjects would come back as a declared group of its own."""
    unknown = make_manifest([("unknown", "ab"[row % 2]) for row in range(12)])
    for again in (unknown.take(range(12)), Manifest.load(unknown.save(tmp_path / "cells.csv"))):
        with pytest.raises(SplitError, match="needs subjects"):
            SplitPlan.grouped(again, 2)


def test_a_few_declared_groups_do_not_vouch_for_the_rest(make_manifest: MakeManifest, tmp_path: Path) -> None:
    unknown = make_manifest([("unknown", "ab"[row % 2]) for row in range(12)])
    some = replace(unknown, declared_group=("field 1",) * 2 + ("",) * 10)
    for manifest in (some, Manifest.load(some.save(tmp_path / "cells.csv"))):
        with pytest.raises(SplitError, match="needs subjects"):
            SplitPlan.grouped(manifest, 2)
    every = replace(unknown, declared_group=tuple(f"field {row // 2}" for row in range(12)))
    mixed = replace(every, label=tuple("ab"[row // 2 % 2] for row in range(12)))
    assert SplitPlan.grouped(mixed, 2).protection == "linked-subject"


def test_a_link_through_a_row_that_was_not_taken_still_binds(make_manifest: MakeManifest) -> None:
    whole = make_manifest(
        [("20", "a", "x"), ("21", "a", "x"), ("21", "a", "z"), ("20", "a", "q"), ("7", "b"), ("8", "b")]
    )
    part = whole.take([2, 3, 4, 5])
    assert part.group[0] == part.group[1]


def test_ids_that_differ_only_by_case_are_one_group(make_manifest: MakeManifest) -> None:
    """C-NMC writes h3 and H3 for one child."""
    manifest = make_manifest([("h3", "a"), ("H3", "a"), ("4", "b")])
    assert manifest.group[0] == manifest.group[1] != manifest.group[2]
    assert any("H3/h3" in line for line in manifest.describe())


def test_a_sample_is_tested_once_a_repeat(make_manifest: MakeManifest) -> None:
    manifest = make_manifest([("1", "a"), ("2", "b"), ("3", "a"), ("4", "b")])
    rows = [np.array(part, dtype=np.int64) for part in ([0, 1], [], [2, 3])]
    with pytest.raises(SplitError, match="tested in another fold"):
        SplitPlan(manifest, (Fold(0, 0, *rows), Fold(0, 1, *rows)), "file", "none")
    assert SplitPlan(manifest, (Fold(0, 0, *rows), Fold(1, 0, *rows)), "file", "none")


def test_two_names_of_one_fold_are_refused(make_manifest: MakeManifest, tmp_path: Path) -> None:
    manifest = make_manifest([("1", "a"), ("2", "b"), ("3", "a"), ("4", "b")])
    lines = ["sample,fold_0,fold_00", *(f"{sample},train,test" for sample in manifest.sample)]
    (tmp_path / "split.csv").write_text("\n".join(lines))
    with pytest.raises(SplitError, match="mean the same fold"):
        SplitPlan.from_file(manifest, tmp_path / "split.csv")


def test_images_without_a_checksum_are_said_to_be_unchecked(make_manifest: MakeManifest) -> None:
    manifest = make_manifest([("1", "a"), ("2", "b"), ("3", "a"), ("4", "b")])
    blind = replace(manifest, sha256=("",) * 4)
    assert any("4 labelled images have no checksum" in note for note in SplitPlan.grouped(blind, 2).notes)
    assert not any("checksum" in note for note in SplitPlan.grouped(manifest, 2).notes)


def test_a_split_by_subject_keeps_ids_whole_and_says_which_links_cross(make_manifest: MakeManifest) -> None:
    """It measures what links do, so it may divide them, and must not promise that it does not."""
    shown = {0: "x", 2: "x"}
    manifest = make_manifest([(f"S{k}", "ab"[k % 2], shown.get(k, "")) for k in range(12)])
    plans = [SplitPlan.by_subject(manifest, 2, seed=seed) for seed in range(12)]
    subject = np.asarray(manifest.subject)
    for plan in plans:
        assert not any(np.intersect1d(subject[fold.train], subject[fold.test]).size for fold in plan.folds)
        crosses = any("stand on both sides" in note for note in plan.notes)
        assert plan.protection == ("subject" if crosses else "linked-subject")
    assert {plan.protection for plan in plans} == {"subject", "linked-subject"}
    crossing = next(plan for plan in plans if plan.protection == "subject")
    assert any("links that cross: " in note for note in crossing.notes)


def test_a_split_by_subject_is_the_grouped_one_where_nothing_links(make_manifest: MakeManifest) -> None:
    """So that the two can be held against each other: they differ in links and in nothing else."""
    plain = make_manifest([(f"S{k}", "ab"[k % 2]) for k in range(12) for _ in range(3)])
    assert SplitPlan.by_subject(plain, 3, 2, 5).digest == SplitPlan.grouped(plain, 3, 2, 5).digest


def test_a_split_by_subject_needs_subjects(make_manifest: MakeManifest) -> None:
    with pytest.raises(SplitError, match="a split by subject needs subjects, and they are unknown"):
        SplitPlan.by_subject(make_manifest([("unknown", "ab"[k % 2]) for k in range(8)]), 2)
    spelt = make_manifest([("h1", "a"), ("H1", "a"), ("h2", "a"), ("c1", "b"), ("C2", "b")])
    for seed in range(5):
        plan = SplitPlan.by_subject(spelt, 2, seed=seed)
        assert plan.protection == "linked-subject", "upper and lower case are one subject"
