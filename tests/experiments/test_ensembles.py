"""An ensemble is fitted as honestly as its members: nothing is learned from rows they were trained on, or tested on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from leukfeat.data.exposure import Seen
from leukfeat.data.manifest import Manifest
from leukfeat.data.splits import Fold, SplitPlan
from leukfeat.errors import HeadError, LeakageError, UsageError
from leukfeat.evaluation.crossval import cross_validate
from leukfeat.evaluation.ensembles import EnsembleRule
from leukfeat.evaluation.metrics import score
from leukfeat.experiments import ensembles
from leukfeat.experiments.candidates import HeadOnFeatures
from leukfeat.experiments.ensembles import Ensemble
from leukfeat.experiments.forwarding import Forwarding
from leukfeat.experiments.kept import Kept
from leukfeat.features.table import Features
from leukfeat.heads.tuning import TunedHead

LEARNING = ["weighted", "stacking", "switch"]


def _manifest(n_subjects: int = 12, n_cells: int = 4) -> Manifest:
    """Rows without images: subjects alternate between the classes."""
    rows = [(f"{'AH'[s % 2]}{s}", c) for s in range(n_subjects) for c in range(n_cells)]
    names = tuple(f"{subject}_{cell}" for subject, cell in rows)
    return Manifest(
        sample=names,
        path=names,
        label=tuple("ALL" if subject.startswith("A") else "HEM" for subject, _ in rows),
        subject=tuple(subject for subject, _ in rows),
        sha256=tuple(f"{number:064x}" for number in range(1, len(rows) + 1)),
        positive="ALL",
    )


def _features(manifest: Manifest, seed: int, seen: Seen | None = None) -> Features:
    """Vectors with a weak class signal and strong subject effects."""
    rng = np.random.default_rng(seed)
    effect = {subject: rng.normal(scale=2, size=6) for subject in sorted(set(manifest.subject))}
    X = np.array([effect[subject] for subject in manifest.subject]) + rng.normal(size=(len(manifest), 6))
    X[:, 0] += np.array([label == "ALL" for label in manifest.label])
    return Features(X.astype(np.float32), manifest.sample, seen or Seen(), {})


def _heads(manifest: Manifest, **of_second: Any) -> tuple[HeadOnFeatures, HeadOnFeatures]:
    features = _features(manifest, 0), replace(_features(manifest, 1), **of_second)
    return tuple(  # type: ignore[return-value]
        HeadOnFeatures((), TunedHead(head, n_trials=0, inner_folds=2), features=each)
        for head, each in zip(("logistic", "tree"), features, strict=True)
    )


@dataclass(frozen=True)
class _Fitted:
    candidate: _Oracle
    classes: tuple[str, ...]
    train: frozenset[int]

    facts: Mapping[str, Any] = field(default_factory=lambda: {"trials": []})
    seen: Seen = field(default_factory=Seen)

    @property
    def kept(self) -> Kept:
        return Kept(self.classes)

    def predict_proba(self, manifest: Manifest, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Perfect on the rows it was trained on, of the given quality elsewhere."""
        rng = np.random.default_rng(len(rows))
        truth = np.array([self.classes.index(manifest.label[row]) for row in rows])
        known = np.array([int(row) in self.train for row in rows]) | (rng.random(len(rows)) < self.candidate.quality)
        said = np.where(known, truth, rng.integers(len(self.classes), size=len(rows)))
        return np.where(np.eye(len(self.classes))[said] == 1, 0.9, 0.1 / (len(self.classes) - 1))


@dataclass(frozen=True)
class _Oracle:
    """A candidate that knows its training rows by heart; what it is asked is written down."""

    quality: float
    name: str = "oracle"
    unreadable: tuple[int, ...] = ()
    place: tuple[Any, ...] = ()
    folds_at_once: bool = True
    forwarding: Forwarding = field(default_factory=Forwarding)
    asked: list[Fold] = field(default_factory=list, compare=False)
    prepared: list[Fold] = field(default_factory=list, compare=False)

    def available(self, manifest: Manifest) -> NDArray[np.bool_]:
        return ~np.isin(np.arange(len(manifest)), self.unreadable)

    def describe(self) -> dict[str, Any]:
        return {"quality": self.quality}

    def identity(self, manifest: Manifest) -> str:
        return f"{self.quality}"

    def in_folder(self, folder: Path, prefix: str, storage: str | None) -> _Oracle:
        return replace(self, place=(folder, prefix, storage))

    def prepare(self, manifest: Manifest, folds: Iterable[Fold]) -> None:
        self.prepared.extend(folds)

    def fit(self, manifest: Manifest, fold: Fold) -> _Fitted:
        self.asked.append(fold)
        learned = np.concatenate([fold.train, fold.validation])
        classes = tuple(name for name in manifest.classes if name in {manifest.label[row] for row in learned})
        return _Fitted(self, classes, frozenset(learned.tolist()))


# ---------------------------------------------------------------------- leaks


@pytest.mark.parametrize("rule", LEARNING)
@pytest.mark.parametrize("fractions", [(60, 0, 40), (50, 25, 25)])
def test_a_rule_learns_from_rows_that_members_were_not_trained_on(rule: str, fractions: tuple[float, ...]) -> None:
    """Whole groups, all of the training and validation part once, and none of the test part."""
    manifest = _manifest(24)
    (fold,) = SplitPlan.holdout(manifest, fractions).folds
    member = _Oracle(0.5)
    Ensemble((member, _Oracle(0.9)), EnsembleRule(rule)).fit(manifest, fold)
    *inner, outer = member.asked
    assert outer is fold
    assert len(inner) == 3
    for part in inner:
        assert not {manifest.group[row] for row in part.train} & {manifest.group[row] for row in part.test}
        assert not len(part.validation)
    learned = np.sort(np.concatenate([part.test for part in inner]))
    np.testing.assert_array_equal(learned, np.sort(np.concatenate([fold.train, fold.validation])))
    assert len({(part.repeat, part.number) for part in member.asked}) == 4, "or their studies would be one"


def test_a_member_is_weighed_by_what_it_says_of_new_rows() -> None:
    """Both know the training rows by heart; only on others can they be told apart."""
    manifest = _manifest(40)
    (fold,) = SplitPlan.holdout(manifest, (60, 0, 40)).folds
    fitted = Ensemble((_Oracle(0.0), _Oracle(1.0)), EnsembleRule("weighted")).fit(manifest, fold)
    scores = fitted.rule.learned["scores"]
    assert abs(scores[0]) < 0.4
    assert scores[1] == 1


@pytest.mark.parametrize("rule", [*LEARNING, "vote"])
def test_labels_of_the_test_part_change_no_prediction(rule: str) -> None:
    """If they did, something would have been fitted on them."""
    manifest = _manifest()
    fold = SplitPlan.grouped(manifest, 3).folds[0]
    swapped = {"ALL": "HEM", "HEM": "ALL"}
    label = [swapped[name] if row in set(fold.test) else name for row, name in enumerate(manifest.label)]
    other = replace(manifest, label=tuple(label))
    ensemble = Ensemble(_heads(manifest), EnsembleRule(rule))
    plain = ensemble.fit(manifest, fold).predict_proba(manifest, fold.test)
    np.testing.assert_array_equal(ensemble.fit(other, fold).predict_proba(other, fold.test), plain)


@pytest.mark.parametrize("rule", [*LEARNING, "mean"])
def test_an_ensemble_of_which_one_member_saw_a_test_row_is_refused(rule: str) -> None:
    """One is enough. A rule that learns also refuses features of an encoder that was trained on what it learns from."""
    manifest = _manifest()
    plan = SplitPlan.grouped(manifest, 3)
    of_test = Seen.of_rows(manifest, plan.folds[0].test[:1])
    with pytest.raises(LeakageError, match="took part in training"):
        cross_validate(Ensemble(_heads(manifest, seen=of_test), EnsembleRule(rule)), manifest, plan)
    own = replace(plan, folds=plan.folds[:1])
    of_train = Ensemble(_heads(manifest, seen=Seen.of_rows(manifest, own.folds[0].train)), EnsembleRule(rule))
    if rule in LEARNING:
        with pytest.raises(LeakageError, match="took part in training"):
            cross_validate(of_train, manifest, own)
    else:
        assert len(cross_validate(of_train, manifest, own).predictions) == len(own.folds[0].test)


@pytest.mark.parametrize("rule", LEARNING)
def test_a_rule_that_learns_predicts_the_rows_it_learned_from_by_rules_that_did_not(rule: str) -> None:
    """Each inner fold by a rule learned on the others, from what members say that were not trained on it."""
    manifest = _manifest(24)
    fold = SplitPlan.grouped(manifest, 3).folds[0]
    fitted = Ensemble(_heads(manifest), EnsembleRule(rule)).fit(manifest, fold)
    rows, proba = fitted.inner
    np.testing.assert_array_equal(np.sort(rows), fold.train)
    assert proba.sum(axis=1) == pytest.approx(np.ones(len(rows)))
    rng = np.random.default_rng(0)
    y, part_of = np.tile([0, 1], 60), np.repeat([0, 1, 2], 40)
    members = rng.dirichlet([1, 1], size=(2, 120))
    members[0, :, 0] = np.clip(0.5 + 0.2 * (1 - 2 * y) + rng.normal(scale=0.3, size=120), 0.01, 0.99)
    members[0, :, 1] = 1 - members[0, :, 0]
    turned = np.where(part_of == 1, 1 - y, y)
    plain, other = (ensembles._crossed(EnsembleRule(rule), members, labels, part_of) for labels in (y, turned))
    np.testing.assert_array_equal(plain[part_of == 1], other[part_of == 1])
    assert (plain[part_of != 1] != other[part_of != 1]).any(), "the labels do teach the rules of the other folds"


def test_a_rule_that_learns_nothing_combines_the_inner_predictions_of_its_members() -> None:
    manifest = _manifest()
    plan, heads = SplitPlan.grouped(manifest, 3), _heads(manifest)
    alone = [cross_validate(head, manifest, plan).inner for head in heads]
    found = cross_validate(Ensemble(heads, EnsembleRule("mean")), manifest, plan).inner
    assert [one.sample.tolist() for one in alone] == [found.sample.tolist()] * 2
    np.testing.assert_allclose(found.proba, np.mean([one.proba for one in alone], axis=0))


def test_without_inner_predictions_of_a_member_there_are_none() -> None:
    manifest = _manifest()
    plan = SplitPlan.grouped(manifest, 3)
    head, _ = _heads(manifest)
    assert cross_validate(Ensemble((head, _Oracle(0.9)), EnsembleRule("mean")), manifest, plan).inner is None


def test_a_rule_does_not_learn_from_validation_rows_of_test_subjects() -> None:
    """Training keeps away from the subjects of the test part, so their other cells teach the rule nothing either."""
    manifest = _manifest(24)
    official = tuple("prelim" if int(name[1:]) % 3 == 0 else "fold_0" for name in manifest.subject)
    manifest = replace(manifest, official=official)
    plan = SplitPlan.fixed_test(manifest, "prelim", validation=0.5, validation_by="image")
    (fold,) = plan.folds
    member = _Oracle(0.5)
    fitted = Ensemble((member, _Oracle(0.9)), EnsembleRule("weighted")).fit(manifest, fold)
    np.testing.assert_array_equal(np.sort(fitted.inner[0]), np.sort(fold.train))
    assert len(cross_validate(Ensemble(_heads(manifest), EnsembleRule("stacking")), manifest, plan).inner) == 64


@pytest.mark.slow
@pytest.mark.parametrize("rule", LEARNING)
def test_permuted_labels_give_chance(rule: str) -> None:
    """Through members, rule and evaluation: subjects differ strongly, but not with their (shuffled) class."""
    areas = []
    for seed in range(8):
        manifest = _manifest(24, 3)
        rng = np.random.default_rng(seed)
        subjects = sorted(set(manifest.subject))
        shuffled = dict(zip(subjects, rng.permutation(["ALL", "HEM"] * 12).tolist(), strict=True))
        random = replace(manifest, label=tuple(shuffled[name] for name in manifest.subject))
        members = tuple(
            HeadOnFeatures((), TunedHead(head, n_trials=0, inner_folds=2), features=_features(manifest, 50 + seed))
            for head in ("logistic", "tree")
        )
        run = cross_validate(Ensemble(members, EnsembleRule(rule), seed=seed), random, SplitPlan.grouped(random, 3))
        areas.append(score(run.predictions, ["auroc"])["auroc"].value)
    assert np.mean(areas) == pytest.approx(0.5, abs=0.12)


# ---------------------------------------------------------------------- what it is


def test_a_rule_that_learns_nothing_costs_no_inner_fit() -> None:
    """Members are fitted once, on the fold itself."""
    manifest = _manifest()
    member, fold = _Oracle(0.5), SplitPlan.grouped(manifest, 3).folds[1]
    fitted = Ensemble((member, _Oracle(0.9)), EnsembleRule("mean")).fit(manifest, fold)
    assert member.asked == [fold]
    assert fitted.facts["inner_fits"] == 0


def test_the_mean_of_two_heads_is_the_mean_of_their_probabilities() -> None:
    """Through the one loop, with names and facts."""
    manifest = _manifest()
    plan, heads = SplitPlan.grouped(manifest, 3), _heads(manifest)
    ensemble = Ensemble(heads, EnsembleRule("mean"))
    alone = [cross_validate(head, manifest, plan).predictions.proba for head in heads]
    run = cross_validate(ensemble, manifest, plan)
    np.testing.assert_allclose(run.predictions.proba, np.mean(alone, axis=0))
    assert run.name == "mean(given features → logistic, given features → tree)"
    assert [member["name"] for member in run.folds[0]["members"]] == [head.name for head in heads]
    assert run.folds[0]["rule"] == {"name": "mean", "learned": {}}
    json.dumps(run.folds)
    json.dumps(run.candidate)


def test_members_may_lack_a_class_and_rows() -> None:
    """Classes are joined by name; a row counts only where every member can use it."""

    @dataclass(frozen=True)
    class Narrow(_Oracle):
        def fit(self, manifest: Manifest, fold: Fold) -> _Fitted:
            few = fold.train[[manifest.label[row] != "b" for row in fold.train]]
            return super().fit(manifest, replace(fold, train=few))

    whole = _manifest()
    manifest = replace(whole, label=tuple("abc"[int(name[1:]) % 3] for name in whole.subject), positive=None)
    fold = SplitPlan.grouped(manifest, 2).folds[0]
    known = fold.test[[manifest.label[row] != "b" for row in fold.test]]
    members = Narrow(1.0, unreadable=(1,)), _Oracle(1.0, unreadable=(2,))
    fitted = Ensemble(members, EnsembleRule("mean")).fit(manifest, fold)
    assert fitted.classes == ("a", "b", "c")
    found = fitted.predict_proba(manifest, known)
    truth = ["abc".index(manifest.label[row]) for row in known]
    np.testing.assert_allclose(found[np.arange(len(known)), truth], 0.9)
    np.testing.assert_allclose(found[:, 1], 0.05 / 2)
    ensemble = Ensemble(members, EnsembleRule("mean"))
    np.testing.assert_array_equal(np.flatnonzero(~ensemble.available(manifest)), [1, 2])


def test_identity_changes_with_everything_a_fit_depends_on() -> None:
    """A finished run is found by it."""
    manifest = _manifest()
    a, b = _Oracle(0.1), _Oracle(0.2)
    ensembles = [
        Ensemble((a, b), EnsembleRule("mean")),
        Ensemble((b, a), EnsembleRule("mean")),
        Ensemble((a, a), EnsembleRule("mean")),
        Ensemble((a, b), EnsembleRule("vote")),
        Ensemble((a, b), EnsembleRule("weighted")),
        Ensemble((a, b), EnsembleRule("weighted", power=2)),
        Ensemble((a, b), EnsembleRule("weighted"), inner_folds=4),
        Ensemble((a, b), EnsembleRule("weighted"), seed=1),
    ]
    assert len({ensemble.identity(manifest) for ensemble in ensembles}) == len(ensembles)
    same = Ensemble((a, b), EnsembleRule("mean"), inner_folds=5, seed=3)
    assert same.identity(manifest) == ensembles[0].identity(manifest), "inner folds mean nothing to a mean"


def test_members_keep_their_studies_apart(tmp_path: Path) -> None:
    """Each member and each inner fold has a study of its own, in a folder or in a shared storage."""
    manifest = _manifest()
    heads = tuple(replace(head, head=TunedHead("logistic", n_trials=1, inner_folds=2)) for head in _heads(manifest))
    ensemble = Ensemble(heads, EnsembleRule("stacking"), inner_folds=2)
    fold = SplitPlan.grouped(manifest, 3).folds[0]
    placed = ensemble.in_folder(tmp_path, "run", None)
    first = placed.fit(manifest, fold).predict_proba(manifest, fold.test)
    journals = sorted(file.relative_to(tmp_path).parts[0] for file in tmp_path.rglob("*.journal"))
    assert journals == ["member-0"] * 3 + ["member-1"] * 3
    np.testing.assert_array_equal(placed.fit(manifest, fold).predict_proba(manifest, fold.test), first)
    shared = ensemble.in_folder(tmp_path / "other", "run", str(tmp_path / "shared.journal"))
    np.testing.assert_array_equal(shared.fit(manifest, fold).predict_proba(manifest, fold.test), first)


def test_prepare_tells_members_of_every_fold_they_will_be_fitted_on() -> None:
    """An encoder is trained once, in the process that has the accelerator."""
    manifest = _manifest()
    member, plan = _Oracle(0.5), SplitPlan.grouped(manifest, 3)
    ensemble = Ensemble((member, _Oracle(0.5, folds_at_once=False)), EnsembleRule("stacking"))
    ensemble.prepare(manifest, plan.folds)
    ensemble.fit(manifest, plan.folds[2])
    prepared = [(each.number, each.train.tolist()) for each in member.prepared]
    assert len(prepared) == 12
    assert all((each.number, each.train.tolist()) in prepared for each in member.asked)
    assert not ensemble.folds_at_once


def test_the_model_to_keep_is_fitted_on_all_rows() -> None:
    """With the members and the rule that a bundle needs."""
    manifest = _manifest()
    member = _Oracle(0.5, unreadable=(0,))
    fitted = Ensemble((member, _Oracle(0.9)), EnsembleRule("weighted")).fit_all(manifest)
    assert len(member.asked[-1].train) == len(manifest) - 1
    assert len(fitted.kept.members) == 2
    assert fitted.kept.rule is fitted.rule
    assert fitted.kept.classes == manifest.classes


def test_what_cannot_be_an_ensemble_is_refused() -> None:
    """Before any member is fitted."""
    with pytest.raises(UsageError, match="combines two or more members; there are 1"):
        Ensemble((_Oracle(0.5),), EnsembleRule("mean"))
    with pytest.raises(UsageError, match="combines 2 members; there are 3"):
        Ensemble((_Oracle(0.5),) * 3, EnsembleRule("switch"))
    with pytest.raises(UsageError, match="inner_folds is 1"):
        Ensemble((_Oracle(0.5),) * 2, EnsembleRule("mean"), inner_folds=1)
    manifest, member = _manifest(4), _Oracle(0.5)
    fold = SplitPlan.grouped(manifest, 2).folds[0]
    with pytest.raises(HeadError, match="class 'ALL' has 1 group"):
        Ensemble((member, _Oracle(0.9)), EnsembleRule("stacking")).fit(manifest, fold)
    assert not member.asked
