"""Laws of combining: what a rule must give whatever the numbers, and what it learns where the answer is known."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import cohen_kappa_score, f1_score, roc_auc_score

from leukfeat.errors import LeukfeatError, PredictionsError, UnknownNameError, UsageError
from leukfeat.evaluation.ensembles import EnsembleRule, FittedRule, combined, stacked
from leukfeat.evaluation.rules import RULES


def _members(n: int = 120, k: int = 3, skill: tuple[float, ...] = (3.0, 1.0), seed: int = 0):
    """Probabilities of members that know the class the better the larger their skill."""
    rng = np.random.default_rng(seed)
    y = rng.integers(k, size=n)
    logits = [rng.normal(size=(n, k)) + s * np.eye(k)[y] for s in skill]
    odds = np.exp(np.stack(logits))
    return odds / odds.sum(axis=2, keepdims=True), y


@st.composite
def _any_probabilities(draw: st.DrawFn):
    """Two members, zeros and ties included."""
    n, k = draw(st.integers(1, 6)), draw(st.integers(2, 4))
    shares = draw(arrays(np.float64, (2, n, k), elements=st.sampled_from([0.0, 0.0, 0.1, 0.5, 1.0])))
    shares[shares.sum(axis=2) == 0] = 1.0
    return shares / shares.sum(axis=2, keepdims=True)


@pytest.mark.parametrize("name", RULES)
@settings(max_examples=40, deadline=None)
@given(proba=_any_probabilities())
def test_every_rule_gives_probabilities(name: str, proba) -> None:
    """Whatever members say, zeros included, rows sum to 1."""
    learning, y = _members(k=proba.shape[2])
    fitted = EnsembleRule(name).fit(learning, y)
    found = fitted.combine(proba)
    assert found.shape == proba.shape[1:]
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1)


@pytest.mark.parametrize("name", sorted(set(RULES) - {"stacking", "vote"}))
def test_members_that_agree_are_not_changed(name: str) -> None:
    """An average of one opinion is that opinion; a vote and a stacked model are no averages."""
    proba, y = _members()
    proba[1] = proba[0]
    np.testing.assert_allclose(EnsembleRule(name).fit(proba, y).combine(proba), proba[0], atol=1e-9)


@pytest.mark.parametrize("name", RULES)
def test_naming_the_classes_in_another_order_changes_nothing(name: str) -> None:
    """The order of classes means nothing anywhere."""
    proba, y = _members()
    order = np.array([2, 0, 1])
    plain = EnsembleRule(name).fit(proba, y).combine(proba)
    turned = EnsembleRule(name).fit(proba[:, :, order], np.argsort(order)[y]).combine(proba[:, :, order])
    np.testing.assert_allclose(turned, plain[:, order], atol=1e-3)


@pytest.mark.parametrize("name", RULES)
def test_a_fitted_rule_survives_json(name: str) -> None:
    """It is kept with the model, to the last bit."""
    proba, y = _members()
    fitted = EnsembleRule(name).fit(proba, y)
    again = FittedRule.from_description(json.loads(json.dumps(fitted.describe(), allow_nan=False)))
    np.testing.assert_array_equal(again.combine(proba), fitted.combine(proba))
    assert again.describe() == fitted.describe()


def test_mean_logit_is_the_logistic_of_the_mean_log_odds() -> None:
    """With two classes: the mean of the networks' logits, as papers average them."""
    p = np.array([0.9, 0.4])
    found = EnsembleRule("mean-logit").fit().combine(np.stack([[[p[0], 1 - p[0]]], [[p[1], 1 - p[1]]]]))
    logit = np.log(p / (1 - p)).mean()
    assert found[0, 0] == pytest.approx(1 / (1 + np.exp(-logit)))


def test_a_vote_counts_heads_and_breaks_ties_by_probability() -> None:
    """Two weak votes beat one sure one; where votes are even, the surer side wins and the share stays one half."""
    rows = [
        [[0.4, 0.6], [0.4, 0.6], [0.99, 0.01]],
        [[0.45, 0.55], [0.9, 0.1]],
        [[0.1, 0.9], [0.6, 0.4]],
    ]
    vote = EnsembleRule("vote").fit()
    three, first, second = (vote.combine(np.array(row)[:, None, :])[0] for row in rows)
    np.testing.assert_allclose(three, [1 / 3, 2 / 3])
    np.testing.assert_allclose([first, second], 0.5, atol=1e-6)
    assert first.argmax() == 0
    assert second.argmax() == 1


def test_a_member_that_knows_nothing_has_no_weight() -> None:
    """Kappa of a constant is 0; of a better member it is larger, and the power sharpens that."""
    proba, y = _members(400, skill=(3.0, 1.5, 0.0))
    proba[2] = 1 / 3
    weights = EnsembleRule("weighted").fit(proba, y).learned["weights"]
    assert weights[2] == 0
    assert weights[0] > weights[1] > 0
    assert sum(weights) == pytest.approx(1)
    assert EnsembleRule("weighted", power=4).fit(proba, y).learned["weights"][0] > weights[0]


def test_weights_are_the_metrics_of_the_members() -> None:
    """As scikit-learn computes them."""
    proba, y = _members()
    predicted = proba.argmax(axis=2)
    wanted = {
        "kappa": [cohen_kappa_score(y, p) for p in predicted],
        "macro_f1": [f1_score(y, p, average="macro") for p in predicted],
        "accuracy": [(y == p).mean() for p in predicted],
        "auroc": [roc_auc_score(y, p, multi_class="ovr") for p in proba],
    }
    for metric, scores in wanted.items():
        learned = EnsembleRule("weighted", metric=metric).fit(proba, y).learned
        assert learned["scores"] == pytest.approx(scores)
        assert learned["weights"] == pytest.approx(np.array(scores) / sum(scores))


def test_a_member_worse_than_chance_has_no_weight_either() -> None:
    """Its kappa is below 0; turned round it would be a good one, but that is for stacking to find out."""
    proba, y = _members(skill=(3.0, 1.0, 3.0))
    proba[2] = proba[2][:, [1, 2, 0]]
    learned = EnsembleRule("weighted", power=2).fit(proba, y).learned
    assert learned["scores"][2] < 0
    assert learned["weights"][2] == 0


def test_rounded_probabilities_are_made_whole() -> None:
    """A member whose rows sum to a little less does not count less."""
    found = EnsembleRule("mean").fit().combine(np.array([[[0.6, 0.3]], [[0.5, 0.5]]]))
    np.testing.assert_allclose(found, [[(2 / 3 + 0.5) / 2, (1 / 3 + 0.5) / 2]])


def test_members_that_are_all_useless_count_the_same() -> None:
    """Weights of 0 for everybody would be no model."""
    proba, y = _members()
    proba[:] = np.eye(3)[(y + 1) % 3]
    assert EnsembleRule("weighted").fit(proba, y).learned["weights"] == [0.5, 0.5]


def test_stacking_learns_that_a_member_is_always_wrong() -> None:
    """No average can: a member that says the opposite is as good as one that is right."""
    proba, y = _members(400, k=2, skill=(3.0, 0.0))
    proba = proba[:, :, ::-1].copy()
    found = EnsembleRule("stacking").fit(proba[:, :200], y[:200]).combine(proba[:, 200:])
    assert (found.argmax(axis=1) == y[200:]).mean() > 0.9
    assert (EnsembleRule("mean").fit().combine(proba).argmax(axis=1) == y).mean() < 0.3


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule.learn])
def test_a_class_without_rows_is_no_obstacle(name: str) -> None:
    """A rare class may be in no inner fold; it still has a column."""
    proba, y = _members(60, k=4)
    present = y != 2
    fitted = EnsembleRule(name).fit(proba[:, present], y[present])
    found = fitted.combine(proba)
    assert found.shape == (60, 4)
    if name == "stacking":
        assert not found[:, 2].any(), "nothing could be learned of it"
        assert found[:, 3].any()
    np.testing.assert_allclose(found.sum(axis=1), 1)
    with pytest.raises(PredictionsError, match="at least two classes"):
        EnsembleRule(name).fit(proba[:, y == 0], y[y == 0])


def test_a_switch_finds_the_confidence_below_which_the_second_is_better() -> None:
    """The first member is right where it is sure and guesses below 0.8; the second always knows a little."""
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=600)
    confidence = rng.uniform(0.5, 1, 600)
    right = np.where(confidence > 0.8, True, rng.random(600) < 0.5)
    said = np.where(right, y, 1 - y)
    first = np.where(np.eye(2)[said] == 1, confidence[:, None], 1 - confidence[:, None])
    second = np.where(np.eye(2)[np.where(rng.random(600) < 0.8, y, 1 - y)] == 1, 0.7, 0.3)
    proba = np.stack([first, second])
    fitted = EnsembleRule("switch").fit(proba, y)
    assert fitted.learned["cut"] == pytest.approx(0.8, abs=0.02)
    found = fitted.combine(proba)
    sure = confidence >= fitted.learned["cut"]
    np.testing.assert_array_equal(found[sure], first[sure])
    np.testing.assert_array_equal(found[~sure], second[~sure])
    assert EnsembleRule("switch").fit(np.stack([second, second]), y).learned["cut"] == 0.0, "of equal cuts the lowest"


def test_shuffled_labels_teach_nothing() -> None:
    """What a rule learns from noise must not look like skill on other rows."""
    skills = []
    for seed in range(10):
        proba, y = _members(300, k=2, skill=(0.0, 0.0, 0.0), seed=seed)
        found = EnsembleRule("stacking").fit(proba[:, :150], y[:150]).combine(proba[:, 150:])
        skills.append(roc_auc_score(y[150:], found[:, 1]))
    assert np.mean(skills) == pytest.approx(0.5, abs=0.05)


# ---------------------------------------------------------------------- what cannot be


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: EnsembleRule("voting"), "did you mean 'vote'"),
        (lambda: EnsembleRule("weighted", metric="cappa"), "did you mean 'kappa'"),
        (lambda: EnsembleRule("vote", metric="kappa"), "rule 'vote' has no option metric; it has none"),
        (lambda: EnsembleRule("weighted", C=1.0), "has no option C; it has metric, power"),
        (lambda: EnsembleRule("weighted", power=0), "power is 0; give a number above 0"),
        (lambda: EnsembleRule("stacking", C=True), "C is True"),
        (lambda: EnsembleRule.of({"metric": "kappa"}), "no name"),
        (lambda: EnsembleRule.of({"name": "vote", "wait": 1}), "no option wait"),
        (lambda: EnsembleRule("stacking").fit(), "give it rows"),
        (lambda: EnsembleRule("switch").check_members(3), "combines 2 members; there are 3"),
        (lambda: EnsembleRule("mean").check_members(1), "combines two or more members; there are 1"),
        (lambda: EnsembleRule("stacking").fit(*(lambda p, y: (p, y[:5]))(*_members())), "does not name a column"),
        (lambda: EnsembleRule("stacking").fit(*_members()).combine(_members(k=4)[0]), "with 2 members and 3 classes"),
        (lambda: EnsembleRule("mean").fit().combine(np.ones((2, 3))), "not .members, rows, classes."),
        (lambda: EnsembleRule("mean").fit().combine(np.full((2, 3, 2), np.nan)), "not finite"),
        (lambda: EnsembleRule("mean").fit().combine(np.zeros((2, 3, 2))), "all 0 in a row"),
        (lambda: FittedRule.from_description({"name": "stacking"}), "missing or damaged"),
        (lambda: FittedRule.from_description({"name": "switch", "learned": {"shape": [2, 2]}}), "missing or damaged"),
    ],
)
def test_what_makes_no_sense_is_refused(make, said: str) -> None:
    """In one line, before any work."""
    with pytest.raises(LeukfeatError, match=said) as caught:
        make()
    assert isinstance(caught.value, UsageError | PredictionsError)


def test_an_unknown_rule_is_an_unknown_name() -> None:
    """So that the command line can say what there is."""
    with pytest.raises(UnknownNameError, match="known: mean, mean-logit, stacking, switch, vote, weighted"):
        EnsembleRule("average")


# ---------------------------------------------------------------------- classes and predictions


def test_columns_are_joined_by_name() -> None:
    """A member that lacks a class gives it probability 0; one with a foreign class cannot take part."""
    first, second = np.array([[0.2, 0.8]]), np.array([[0.5, 0.3, 0.2]])
    found = stacked([(first, ("c", "a")), (second, ("a", "b", "c"))], ("a", "b", "c"))
    np.testing.assert_array_equal(found[:, 0], [[0.8, 0, 0.2], [0.5, 0.3, 0.2]])
    with pytest.raises(PredictionsError, match="predicts class 'c'; the ensemble's: a, b"):
        stacked([(second, ("a", "b", "c"))], ("a", "b"))


def test_predictions_of_the_same_folds_can_be_combined(make) -> None:
    """Rows are joined by sample, columns by class; what would have to learn is refused."""
    y = ["ALL", "HEM", "ALL"]
    first, second = make(y, [0.9, 0.2, 0.6]), make(y, [0.7, 0.4, 0.2]).take(np.array([2, 0, 1]))
    found = combined([first, second.with_classes(("HEM", "ALL"))], EnsembleRule("mean"))
    assert dict(zip(found.sample.tolist(), found.proba[:, 0].tolist(), strict=True)) == pytest.approx(
        {"cell-0": 0.8, "cell-1": 0.3, "cell-2": 0.4}
    )
    with pytest.raises(UsageError, match="name the ensemble in a recipe"):
        combined([first, second], EnsembleRule("stacking"))
    with pytest.raises(PredictionsError, match="not of the same samples"):
        combined([first, make(y[:2], [0.9, 0.2])], EnsembleRule("mean"))
    with pytest.raises(PredictionsError, match="not of the same samples"):
        combined([first, make(y, [0.9, 0.2, 0.1], fold=[0, 1, 0])], EnsembleRule("mean"))
