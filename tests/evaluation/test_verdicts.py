"""Subject verdicts: rule and cut come from inner subjects, shares have intervals that few subjects deserve."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest, trim_mean

from leukfeat.errors import PredictionsError, UnknownNameError, UsageError
from leukfeat.evaluation.inner import InnerPredictions, OuterFold
from leukfeat.evaluation.metrics import score
from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.proportions import clopper_pearson, shares
from leukfeat.evaluation.subjects import by_subject
from leukfeat.evaluation.verdict_rules import VERDICT_RULES, Cells, SubjectCells, choose_rule
from leukfeat.evaluation.verdicts import verdicts


def said_of(rule: str, setting: float, p: list[float]) -> float:
    """Of one subject, who is not the only one: the scores of the others must not matter."""
    others = [0.01, 0.99, 0.5]
    cells = Cells.of(np.array([others[0], *p, *others[1:]]), np.array([0, *[1] * len(p), 2, 2]))
    first, found, last = VERDICT_RULES[rule].function(cells, setting)
    assert 0 <= first <= 1
    assert 0 <= last <= 1
    return float(found)


def test_rules_by_hand() -> None:
    p = np.array([0.2, 0.9, 0.5, 0.8, 0.6])
    said = {
        name: [said_of(name, setting, p.tolist()) for setting in rule.settings] for name, rule in VERDICT_RULES.items()
    }
    assert said["mean"] == pytest.approx([0.6])
    logits = np.log(p / (1 - p))
    assert said["mean-logit"] == pytest.approx([1 / (1 + np.exp(-logits.mean()))])
    assert said["fraction"] == pytest.approx([1, 1, 0.8, 0.8, 0.8, 0.6, 0.4, 0.4, 0.2])
    assert said["trimmed-mean"] == pytest.approx([trim_mean(p, 0.1), trim_mean(p, 0.2)])
    assert said["top-k"] == pytest.approx([0.9, 2.3 / 3, 0.6, 0.6])


def test_one_cell_is_what_it_is_and_certainty_stays_finite() -> None:
    for name, rule in VERDICT_RULES.items():
        for setting in rule.settings:
            for p in (0.0, 1.0):
                assert said_of(name, setting, [p]) == pytest.approx(p, abs=1e-12), name
    assert said_of("mean-logit", 0, [0.0, 1.0]) == pytest.approx(0.5)


def test_the_mean_rule_is_the_subject_level_of_every_table(study) -> None:
    predictions, _ = study
    cells = SubjectCells.of(predictions)
    assert cells.scores("mean", 0) == pytest.approx(by_subject(predictions).proba[:, 0], abs=1e-12)
    assert cells.subjects.sample.tolist() == by_subject(predictions).sample.tolist()


@pytest.mark.parametrize("rules", [None, ["mean"], ["fraction"]])
def test_labels_of_the_test_part_change_no_rule_and_no_verdict(study, rules) -> None:
    predictions, inner = study
    turned = replace(predictions, y_true=np.where(predictions.y_true == "ALL", "HEM", "ALL"))
    plain, other = (verdicts(each, inner, rules) for each in (predictions, turned))
    assert plain.chosen == other.chosen
    assert [one.called for one in plain.rows] == [one.called for one in other.rows]
    assert plain.accuracy.right + other.accuracy.right == 20


def test_a_cut_that_half_of_the_probability_would_miss_is_found(study) -> None:
    """A model that is right about the order and wrong about the level: every subject is below one half."""
    predictions, inner = study
    low = [replace(each, proba=np.column_stack([each.proba[:, 0] / 4, 1 - each.proba[:, 0] / 4])) for each in study]
    assert score(by_subject(low[0]), ["sensitivity"])["sensitivity"].value == 0
    found = verdicts(*low, ["mean"])
    assert found.accuracy.right == verdicts(predictions, inner, ["mean"]).accuracy.right >= 18
    assert all(one.cut < 0.25 for one in found.chosen)


def test_the_rule_that_finds_few_bad_cells_is_chosen_where_few_are_bad() -> None:
    """Three of forty cells of a patient are blasts; the mean drowns them, the highest cells show them."""
    rng = np.random.default_rng(0)
    predictions, inner = _rare(rng)
    found = verdicts(predictions, inner)
    assert {one.rule for one in found.chosen} <= {"top-k", "fraction"}
    assert found.accuracy.right > verdicts(predictions, inner, ["mean"]).accuracy.right + 3


def _rare(rng: np.random.Generator) -> tuple[Predictions, InnerPredictions]:
    subject = np.repeat(np.arange(24), 40)
    y = subject % 2
    p = rng.uniform(0.1, 0.5, size=len(y)) + rng.normal(scale=0.05, size=24)[subject].clip(-0.09, 0.09)
    p[(np.arange(len(y)) % 40 < 3) & (y == 1)] = 0.95
    who = np.array([f"S{n}" for n in subject])
    columns = {
        "sample": np.array([f"c{n}" for n in range(len(y))]),
        "subject": who,
        "group": who,
        "repeat": np.zeros(len(y)),
        "y_true": np.where(y, "ALL", "HEM"),
        "proba": np.column_stack([p, 1 - p]),
        "classes": ("ALL", "HEM"),
        "positive": "ALL",
    }
    fold = subject // 2 % 3
    inner = [InnerPredictions(**columns, fold=np.full(len(y), k)).take(fold != k) for k in range(3)]
    return Predictions(**columns, fold=fold), InnerPredictions.concatenate(inner)


def test_the_cut_is_in_the_widest_gap_of_the_best(make) -> None:
    """Scores 0.1, 0.2 | 0.6, 0.8: every cut between the classes is right, and the gap is between 0.2 and 0.6."""
    names = ["a", "b", "c", "d"]
    inner = make(["HEM", "HEM", "ALL", "ALL"], [0.1, 0.2, 0.6, 0.8], sample=names, subject=names, group=names)
    chosen = choose_rule(OuterFold(0, 0, np.arange(4), inner), ["mean"])
    assert (chosen.cut, chosen.balanced_accuracy, chosen.subjects) == (pytest.approx(0.4), 1.0, 4)
    # all alike: one call for all, and no more than chance is claimed
    flat = make(["HEM", "ALL"], [0.3, 0.3], sample=names[:2], subject=names[:2], group=names[:2])
    assert choose_rule(OuterFold(0, 0, np.arange(2), flat), ["mean"]).balanced_accuracy == 0.5


def test_of_equals_the_simplest_rule_is_taken(make) -> None:
    """Subjects with one cell look the same to nearly every rule."""
    names = ["a", "b", "c", "d"]
    inner = make(["HEM", "HEM", "ALL", "ALL"], [0.1, 0.2, 0.6, 0.8], sample=names, subject=names, group=names)
    assert choose_rule(OuterFold(0, 0, np.arange(4), inner), list(VERDICT_RULES)).rule == "mean"


def test_the_table_has_every_subject_once_a_repeat(study_of) -> None:
    predictions, inner = study_of(repeats=2)
    found = verdicts(predictions, inner)
    assert sorted((one.repeat, one.subject) for one in found.rows) == [
        (repeat, f"S{n:02d}") for repeat in (0, 1) for n in range(20)
    ]
    for one in found.rows:
        (chosen,) = [c for c in found.chosen if (c.repeat, c.fold) == (one.repeat, one.fold)]
        assert (one.cells, one.cut, one.rule) == (20, chosen.cut, chosen.title)
        assert one.called == ("ALL" if one.score >= one.cut else "HEM")
        assert one.right == (one.called == one.true_class)
    assert found.accuracy.subjects == 20, "counted once, whatever the number of repeats"
    assert found.accuracy.right == sum(one.right for one in found.rows) / 2


def test_shares_agree_with_the_metrics_of_the_decisions(study) -> None:
    found = verdicts(*study)
    scores = score(found.decisions, ["accuracy", "sensitivity", "specificity"])
    for name, value in scores.items():
        assert getattr(found, name).score.value == pytest.approx(value.value), name
    assert (
        found.decisions.group.tolist()
        == by_subject(study[0]).take(np.argsort(by_subject(study[0]).fold, kind="stable")).group.tolist()
    )
    assert ((found.scores.proba >= 0) & (found.scores.proba <= 1)).all()


def test_28_of_28_leaves_room_for_doubt() -> None:
    interval = clopper_pearson(28, 28)
    assert (round(interval.low, 3), interval.high) == (0.877, 1.0)


@pytest.mark.parametrize(("right", "n"), [(0, 5), (1, 5), (17, 28), (26, 28), (28, 28)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_clopper_pearson_is_that_of_scipy(right: int, n: int, level: float) -> None:
    theirs = binomtest(right, n).proportion_ci(level, method="exact")
    ours = clopper_pearson(right, n, level)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_shares_are_of_subjects_only(study) -> None:
    with pytest.raises(PredictionsError, match="decisions about subjects"):
        shares(study[0])
    nobody = shares(by_subject(study[0].take(study[0].y_true == "ALL")))["specificity"]
    assert (str(nobody), nobody.score.defined) == ("–", False)


def test_linked_subjects_are_counted_alone_and_said(study) -> None:
    """Verdicts are about subjects; linked ones make an interval as wide as one person would, and the words say so."""
    linked = [replace(each, group=np.where(np.isin(each.subject, ["S00", "S10"]), "L", each.group)) for each in study]
    found = verdicts(*linked)
    assert found.accuracy.subjects == 20
    assert any("20 subjects are 19 linked groups" in words for words in found.words)
    assert len(set(found.decisions.group.tolist())) == 19, "intervals over resampled groups see the link"
    assert len(verdicts(*study).words) == 1
    effective = 20**2 / (18 * 1**2 + 2**2)
    told = found.accuracy
    exact = clopper_pearson(told.right * effective / 20, effective)
    assert (told.interval.low, told.interval.high) == (exact.low, exact.high)
    apart = clopper_pearson(told.right, 20)
    assert told.interval.low < apart.low or told.interval.high > apart.high


def test_ids_that_are_all_linked_in_pairs_count_as_half_as_many_subjects(study) -> None:
    """Two ids of one person are told right or wrong together: 20 of them have the interval of 10 subjects."""
    perfect = replace(study[0], proba=np.column_stack([study[0].y_true == name for name in study[0].classes]) * 1.0)
    number = {who: k for k, who in enumerate(np.unique(perfect.subject).tolist())}
    pairs = np.array([f"P{number[who] // 2}" for who in perfect.subject.tolist()])
    found = shares(by_subject(replace(perfect, group=pairs)))["accuracy"]
    assert (found.right, found.subjects) == (20, 20)
    assert found.interval.low == pytest.approx(clopper_pearson(10, 10).low)


def test_why_there_are_no_verdicts_is_said(study, make) -> None:
    predictions, inner = study
    found = verdicts(predictions, None)
    assert (found.rows, found.decisions) == ((), None)
    assert "no inner predictions" in found.reason
    assert not found.accuracy.score.defined
    unknown = make(["ALL", "HEM"], [0.7, 0.2])
    assert verdicts(unknown, inner).words == ("subject verdicts: none, because subjects unknown",)
    with pytest.raises(UnknownNameError, match="did you mean 'top-k'"):
        verdicts(predictions, inner, ["topk"])
    with pytest.raises(UsageError, match="no verdict rule given"):
        verdicts(predictions, inner, [])


def test_subjects_with_the_same_mean_are_level(make) -> None:
    """A sum of three tenths is not three times a tenth; which subject comes first must not hang on the last bit."""
    names = ["a", "a", "a", "b", "c"]
    cells = make(["ALL"] * 5, [0.1, 0.2, 0.3, 0.2, 0.6 / 3], subject=names, group=names)
    assert len(set(SubjectCells.of(cells).scores("mean", 0).tolist())) == 1
