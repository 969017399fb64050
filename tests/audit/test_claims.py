"""Published figures against every confusion matrix there is; the papers' known rows among them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from leukfeat.audit import matrices
from leukfeat.audit.arithmetic import judge_split, judge_sum, judge_summary
from leukfeat.audit.claims import Claim, Count, Figure, Row, Split, Sum, Summary, TestPart
from leukfeat.audit.classwise import search_classes
from leukfeat.audit.judgement import Judgement
from leukfeat.audit.matrices import Constraint, Rectangles, every, search
from leukfeat.audit.measures import MEASURES, RATIOS
from leukfeat.audit.printed import Printed
from leukfeat.audit.shares import positive_share
from leukfeat.audit.spread import ends_of, sd_range
from leukfeat.audit.verdict import judge
from leukfeat.errors import UsageError

HEADS = ("accuracy", "sensitivity", "specificity", "precision", "f1")
FOLD_7 = TestPart(("ALL", "HEM"), (Count(223, 223), Count(213, 213)))
ECA = [
    (0.931, 0.906, 0.957, 0.957, 0.930),
    (0.901, 0.912, 0.891, 0.882, 0.891),
    (0.919, 0.963, 0.885, 0.868, 0.913),
    (0.899, 0.896, 0.901, 0.901, 0.898),
    (0.894, 0.903, 0.886, 0.877, 0.889),
    (0.924, 0.959, 0.895, 0.882, 0.918),
]
PLAIN = [
    (0.862, 0.873, 0.852, 0.840, 0.856),
    (0.837, 0.831, 0.842, 0.825, 0.832),
    (0.841, 0.839, 0.843, 0.835, 0.836),
    (0.823, 0.820, 0.825, 0.816, 0.817),
    (0.818, 0.813, 0.824, 0.816, 0.814),
    (0.855, 0.871, 0.841, 0.826, 0.847),
]


def printed(value: float, decimals: int = 3) -> Printed:
    return Printed.of(value, decimals=decimals)


def row(name: str, **figures: str) -> Row:
    """A row whose figures are texts, in per cent."""
    return Row(name, tuple(Figure(column, Printed.of(text, percent=True)) for column, text in figures.items()))


def table(rows: list[tuple[float, ...]], name: str) -> tuple[Row, ...]:
    return tuple(
        Row(f"{name} {k}", tuple(Figure(head, printed(value)) for head, value in zip(HEADS, values, strict=True)))
        for k, values in enumerate(rows, 1)
    )


def by_name(claim: Claim, tolerance: float | None = None) -> dict[str, Judgement]:
    return {judgement.name: judgement for judgement in judge(claim, tolerance).judgements}


# --- the search -------------------------------------------------------------------------------------------------------

small = st.integers(1, 25)


@given(st.sampled_from(sorted(MEASURES)), small, small)
def test_no_measure_falls_when_a_wrong_answer_becomes_right(measure: str, positives: int, negatives: int) -> None:
    """The law that lets the search bisect; a measure without it must not enter the table."""
    tp, tn = np.meshgrid(np.arange(positives + 1), np.arange(negatives + 1), indexing="ij")
    values = MEASURES[measure](tp, positives - tp, negatives - tn, tn)
    assert (np.diff(values, axis=0) >= -1e-12).all()
    assert (np.diff(values, axis=1) >= -1e-12).all()


@pytest.mark.parametrize(
    ("measure", "oracle"),
    [
        ("accuracy", metrics.accuracy_score),
        ("sensitivity", metrics.recall_score),
        ("specificity", lambda y, p: metrics.recall_score(y, p, pos_label=0)),
        ("precision", metrics.precision_score),
        ("npv", lambda y, p: metrics.precision_score(y, p, pos_label=0)),
        ("f1", metrics.f1_score),
        ("balanced_accuracy", metrics.balanced_accuracy_score),
        ("macro_precision", lambda y, p: metrics.precision_score(y, p, average="macro")),
        ("macro_f1", lambda y, p: metrics.f1_score(y, p, average="macro")),
        ("weighted_precision", lambda y, p: metrics.precision_score(y, p, average="weighted")),
        ("weighted_f1", lambda y, p: metrics.f1_score(y, p, average="weighted")),
        ("mcc", metrics.matthews_corrcoef),
        ("kappa", metrics.cohen_kappa_score),
    ],
)
def test_measures_are_those_of_scikit_learn(measure: str, oracle) -> None:  # type: ignore[no-untyped-def]
    tp, fn, fp, tn = 31, 9, 4, 17
    truth = np.repeat([1, 1, 0, 0], [tp, fn, fp, tn])
    answer = np.repeat([1, 0, 1, 0], [tp, fn, fp, tn])
    value = MEASURES[measure](*(np.array([cell]) for cell in (tp, fn, fp, tn)))
    assert value == pytest.approx([oracle(truth, answer)])


@given(
    st.integers(2, 24),
    st.lists(st.tuples(st.sampled_from(sorted(MEASURES)), st.integers(0, 100), st.booleans()), min_size=1, max_size=4),
    st.sampled_from([0.0, 0.01, 0.04]),
)
@settings(max_examples=60, deadline=None)
def test_the_search_finds_what_looking_at_every_matrix_finds(
    n: int, figures: list[tuple[str, int, bool]], tolerance: float
) -> None:
    """Every number of positives is open, so rectangles of all shapes are narrowed."""
    constraints = [Constraint(name, printed(value / 100, 2), swapped) for name, value, swapped in figures]
    positives = np.arange(n + 1)
    rectangles = Rectangles.whole(positives, n - positives)
    fast, slow = search(rectangles, constraints, tolerance), every(rectangles, constraints, tolerance)
    np.testing.assert_array_equal(fast.fits, slow.fits)
    assert fast.n_matrices == slow.n_matrices
    assert sorted(map(tuple, fast.cells)) == sorted(map(tuple, slow.cells))


@given(small, small, st.data())
@settings(max_examples=40, deadline=None)
def test_figures_computed_from_a_matrix_are_attainable(positives: int, negatives: int, data: st.DataObject) -> None:
    """Whatever is printed honestly is never called impossible."""
    tp, tn = data.draw(st.integers(0, positives)), data.draw(st.integers(0, negatives))
    decimals = data.draw(st.integers(1, 4))
    cells = [np.array([cell]) for cell in (tp, positives - tp, negatives - tn, tn)]
    figures = tuple(
        Figure(name, Printed.of(f"{MEASURES[name](*cells)[0]:.{decimals}f}")) for name in ("accuracy", "f1", "npv")
    )
    test = TestPart(("a", "b"), (Count(positives, positives), Count(negatives, negatives)))
    [judgement] = judge(Claim("t", test, (Row("r", figures),))).judgements
    assert (judgement.status, judgement.needs) == ("attainable", 0.0)


def test_mlscorecheck_agrees() -> None:
    """An independent search for one test part with known counts."""
    oracle = pytest.importorskip("mlscorecheck.check.binary").check_1_testset_no_kfold
    short = ("acc", "sens", "spec", "ppv", "f1")
    for values in (*ECA, *PLAIN):
        for tolerance in (0.001, 0.009):
            constraints = [Constraint(head, printed(value)) for head, value in zip(HEADS, values, strict=True)]
            found = search(Rectangles.whole(np.array([223]), np.array([213])), constraints, tolerance)
            told = oracle(
                {"p": 223, "n": 213}, dict(zip(short, values, strict=True)), tolerance, numerical_tolerance=1e-9
            )
            assert (found.n_matrices == 0) == told["inconsistency"]
            assert found.n_matrices == told["n_valid_tptn_pairs"]


def test_twenty_thousand_images_are_searched_exactly() -> None:
    """Only the share of positives that made the figures comes back, and the matrix itself among the fits."""
    positives = np.arange(20_001)
    cells = [np.array([cell]) for cell in (9_871, 130, 52, 9_947)]
    constraints = [Constraint(name, Printed.of(f"{MEASURES[name](*cells)[0]:.6f}")) for name in HEADS]
    found = search(Rectangles.whole(positives, 20_000 - positives), constraints)
    assert found.complete
    assert found.fits[10_001]
    assert found.fits.sum() < 5
    assert (9_871, 130, 52, 9_947) in set(map(tuple, found.cells.tolist()))


def test_too_many_possibilities_are_thinned_and_said_to_be() -> None:
    positives = np.arange(301)
    constraints = [Constraint("accuracy", Printed.of("0.80"))]
    found = search(Rectangles.whole(positives, 300 - positives), constraints, limit=1000)
    assert not found.complete
    assert found.n_matrices
    assert search(Rectangles.whole(positives, 300 - positives), constraints).complete


# --- what is printed --------------------------------------------------------------------------------------------------


def test_digits_say_between_which_values_a_figure_lies() -> None:
    assert Printed.of("99.60", percent=True).band() == pytest.approx((0.99595, 0.99605))
    assert Printed.of("99.6", percent=True).band() == pytest.approx((0.9955, 0.9965)), "a lost zero widens the band"
    assert Printed.of(0.93, decimals=3).band() == pytest.approx((0.9295, 0.9305))
    assert Printed.of("0.930", rounding="truncated").band() == pytest.approx((0.930, 0.931))
    assert Printed.of("0.930", rounding="either").band() == pytest.approx((0.9295, 0.931))
    assert Printed.of("0.93").band(tolerance=0.001) == pytest.approx((0.925, 0.935)), "tolerance never narrows"


@pytest.mark.parametrize(
    ("text", "decimals", "words"),
    [("high", None, "no number"), (0.93, None, "say decimals"), (0.9312, 3, "more digits"), ("nan", None, "no number")],
)
def test_a_figure_of_unknown_precision_is_refused(text: str | float, decimals: int | None, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Printed.of(text, decimals=decimals)


# --- Saeed et al. -----------------------------------------------------------------------------------------------------

V2S = row("V2S", accuracy="99.73", precision="99.85", sensitivity="99.60", specificity="99.85", f1="99.72")
B3 = row("B3", accuracy="99.25", precision="99.00", sensitivity="99.50", specificity="99.00", f1="99.25")


def with_errors(of: Row, all_: int, hem: int) -> Row:
    return Row(of.name, of.figures, errors={"ALL": Count(all_, all_), "HEM": Count(hem, hem)})


def saeed(n: int) -> Claim:
    return Claim(
        "Table 1",
        TestPart(("ALL", "HEM"), (None, None), Count(n, n)),
        (with_errors(V2S, 8, 3), with_errors(B3, 10, 20)),
        split=Split(0.1, (7272, 3389), augmented=40_000),
    )


def test_saeeds_test_part_was_balanced() -> None:
    found = by_name(saeed(4000))
    assert found["V2S"].facts["positives"] == [1976, 2002]
    assert found["B3"].facts["positives"] == [1990, 2000]
    assert found["rows together"].facts["positives"] == [1990, 2000], "an unbalanced tenth has 2,728 ALL"


def test_saeeds_test_part_cannot_be_a_tenth_of_the_images() -> None:
    part = by_name(saeed(4000))["test part"]
    assert part.status == "only if"
    assert "10 % of the 40,000 after augmentation" in part.words
    assert part.facts["rows_that_would_fit"] == [], "neither 1,066 nor 1,067 images give these figures"
    assert {by_name(saeed(1066))[name].status for name in ("V2S", "B3")} == {"impossible"}


def test_saeeds_figures_alone_tell_the_errors() -> None:
    """Without the confusion matrix of Figure 10 the five figures leave the same errors."""
    claim = Claim("Table 1", TestPart(("ALL", "HEM"), (None, None), Count(4000, 4000)), (V2S,))
    nearest = by_name(claim)["V2S"].facts["nearest"]
    assert (nearest["fn"], nearest["fp"]) == (8, 3)


# --- Ullah et al. -----------------------------------------------------------------------------------------------------

ULLAH = Claim("Tables 5 and 6", FOLD_7, (*table(ECA, "ECA"), *table(PLAIN, "plain")))


@pytest.fixture(scope="module")
def ullah() -> dict[str, Judgement]:
    return by_name(ULLAH, 0.001)


def test_one_of_ullahs_rows_is_attainable_as_labelled(ullah: dict[str, Judgement]) -> None:
    attainable = [name for name, judgement in ullah.items() if judgement.status == "attainable"]
    assert attainable == ["ECA 1"]
    first = ullah["ECA 1"]
    assert first.facts["nearest"] == {"tp": 202, "fn": 21, "fp": 9, "tn": 204}
    assert first.facts["matrices"] == 1
    assert first.needs == pytest.approx(404 / 434 - 0.930), "its F1 is 0.9309, printed 0.930"
    assert first.allowed == 0.001


def test_none_of_ullahs_rows_is_attainable_by_rounding() -> None:
    rows = by_name(Claim("Tables 5 and 6", FOLD_7, ULLAH.rows[:1]), 0.0)
    assert {judgement.status for judgement in rows.values()} == {"impossible"}
    strict = [
        search(
            Rectangles.whole(np.array([223]), np.array([213])),
            [Constraint(figure.column, figure.printed) for figure in each.figures],
        ).n_matrices
        for each in ULLAH.rows
    ]
    assert strict == [0] * 12


def test_three_of_ullahs_rows_fit_with_classes_and_columns_exchanged(ullah: dict[str, Judgement]) -> None:
    fitting = [name for name, judgement in ullah.items() if judgement.status == "only if"]
    assert fitting == ["ECA 3", "plain 1", "plain 5"]
    words = "positive is HEM and sensitivity, specificity and precision hold PPV, NPV and recall"
    for name in fitting:
        assert ullah[name].facts["readings"][0]["if"] == words
        assert ullah[name].facts["readings"][0]["needs"] <= 0.001
    second = ullah["plain 5"].facts["readings"][1]
    assert second["if"] == "positive is HEM", "needs little more than the tolerance"
    assert second["needs"] == pytest.approx(0.00111, abs=1e-5)


def test_what_is_impossible_says_what_it_would_need(ullah: dict[str, Judgement]) -> None:
    second = ullah["ECA 2"]
    assert second.status == "impossible"
    assert second.needs == pytest.approx(0.00837, abs=1e-5)
    assert "as labelled it needs a tolerance of 0.0084" in second.words
    assert by_name(Claim("t", FOLD_7, ULLAH.rows[1:2]), second.needs)["ECA 2"].status == "attainable"
    assert by_name(Claim("t", FOLD_7, ULLAH.rows[1:2]), second.needs - 1e-6)["ECA 2"].status != "attainable"


def test_ullahs_standard_deviation_is_neither_of_the_two() -> None:
    values = tuple(printed(values[0]) for values in ECA)
    found = judge_summary(Summary("ECA", "accuracy", values, printed(0.911), printed(0.013)), 436)
    assert found.facts["mean"]["as_printed"] == pytest.approx(0.9113, abs=5e-5)
    assert found.facts["sd_ddof1"]["as_printed"] == pytest.approx(0.0153, abs=5e-5)
    assert found.facts["sd_ddof0"]["as_printed"] == pytest.approx(0.0139, abs=5e-5)
    assert found.status == "only if", "0.0139 is 0.013 where digits are cut off"


# --- Somu, Sajon, Prellberg -------------------------------------------------------------------------------------------


def somu(**known: Count) -> Claim:
    classes = {"ALL": ("0.86", "0.91", "0.89"), "HEM": ("0.82", "0.72", "0.77")}
    figures = [Figure("accuracy", Printed.of("0.85"))]
    for name, texts in classes.items():
        for column, text in zip(("precision", "recall", "f1"), texts, strict=True):
            figures.append(Figure(column, Printed.of(text), name))
    answers = {("ALL", "ALL"): Count(556, 556), ("ALL", "HEM"): Count(52, 52)}
    if "tn" in known:
        answers["HEM", "HEM"] = known["tn"]
    test = TestPart(("ALL", "HEM"), (Count(608, 608), Count(325, 326)), Count(933, 934))
    return Claim("Table 2", test, (Row("B0", tuple(figures), answers),))


def test_somus_table_implies_its_weighted_f1() -> None:
    found = by_name(somu())["B0"]
    assert found.status == "attainable"
    assert found.facts["averages_as_printed"]["weighted_f1"] == pytest.approx([0.848, 0.848], abs=5e-4)
    assert 234 - 2 <= found.facts["nearest"]["tn"] <= 234 + 2
    low, high = found.facts["implied"]["weighted_f1"]
    assert low <= 0.8445 <= high


def test_somus_confusion_matrix_has_about_234_right_healthy_cells() -> None:
    assert by_name(somu(tn=Count(232, 236)))["B0"].status == "attainable"
    assert by_name(somu(tn=Count(240, 250)))["B0"].status != "attainable"


def test_weighted_f1_of_prellbergs_matrix() -> None:
    value = MEASURES["weighted_f1"](*(np.array([cell]) for cell in (1142, 77, 112, 536)))
    assert value == pytest.approx([0.8981], abs=5e-5)


SAJON = TestPart(("Benign", "Early", "Pre", "Pro"), tuple(Count(n, n) for n in (102, 197, 194, 162)))


def sajon(accuracy: str, recalls: tuple[str, ...]) -> Claim:
    figures = (
        Figure("accuracy", Printed.of(accuracy, percent=True)),
        *(Figure("recall", Printed.of(text), name) for name, text in zip(SAJON.classes, recalls, strict=True)),
    )
    return Claim("Table 2", SAJON, (Row("r", figures),), split=Split(0.2, (504, 985, 963, 804)))


@pytest.mark.parametrize(
    ("accuracy", "recalls", "right"),
    [
        ("99.85", ("0.990", "1.000", "1.000", "1.000"), 654),
        ("99.69", ("0.990", "1.000", "0.995", "1.000"), 653),
        ("99.39", ("0.990", "1.000", "0.990", "0.994"), 651),
        ("99.24", ("0.990", "0.990", "0.995", "0.994"), 650),
    ],
)
def test_sajons_accuracies_are_numbers_of_655_images(accuracy: str, recalls: tuple[str, ...], right: int) -> None:
    found = by_name(sajon(accuracy, recalls))["r"]
    assert (found.status, found.facts["right"]) == ("attainable", [right, right])


def test_sajons_accuracy_and_recalls_check_each_other() -> None:
    found = by_name(sajon("99.85", ("0.961", "1.000", "1.000", "1.000")))["r"]
    assert found.status == "impossible", "four images missed in one class, one in all"
    assert found.needs == pytest.approx(abs(97 / 102 - 0.961), abs=0.03)


def test_sajons_test_part_is_no_fifth() -> None:
    found = by_name(sajon("99.85", ("0.990", "1.000", "1.000", "1.000")))["test part"]
    assert found.status == "impossible"
    assert found.facts["expected"] == [651, 652]
    assert "Benign 102 for 100.8" in found.words


# --- several classes --------------------------------------------------------------------------------------------------


def every_outcome(supports: tuple[int, ...]) -> set[tuple[tuple[int, ...], tuple[int, ...]]]:
    """TP and FP of every confusion matrix there is, by writing all of them down."""
    k = len(supports)
    rows = [[cells for cells in itertools.product(range(n + 1), repeat=k) if sum(cells) == n] for n in supports]
    found = set()
    for matrix in itertools.product(*rows):
        table_ = np.array(matrix)
        found.add((tuple(np.diag(table_).tolist()), tuple((table_.sum(axis=0) - np.diag(table_)).tolist())))
    return found


def test_outcomes_are_those_of_some_matrix() -> None:
    """Diagonals and column sums that are called possible are those of all matrices that can be written down."""
    supports = (2, 3, 2)
    found = search_classes(supports, [], {})
    assert found.complete
    assert {
        (tuple(tp), tuple(fp)) for tp, fp in zip(found.tp.tolist(), found.fp.tolist(), strict=True)
    } == every_outcome(supports)


@pytest.mark.parametrize("average", ["macro", "weighted"])
def test_averages_over_classes_are_those_of_scikit_learn(average: str) -> None:
    truth = np.repeat([0, 1, 2], [4, 5, 3])
    answer = np.array([0, 0, 1, 0, 1, 1, 1, 2, 1, 2, 2, 0])
    figures = []
    for column, oracle in (
        ("precision", metrics.precision_score),
        ("sensitivity", metrics.recall_score),
        ("f1", metrics.f1_score),
    ):
        text = f"{oracle(truth, answer, average=average):.6f}"
        figures.append((Figure(f"{average}_{column}", Printed.of(text)), f"{average}_{column}", None))
    found = search_classes((4, 5, 3), figures, {})
    assert [3, 4, 2] in found.tp.tolist()


def test_classes_of_unknown_size_are_not_judged() -> None:
    test = TestPart(("a", "b", "c"), (Count(5, 5), None, None))
    [found] = judge(Claim("t", test, (Row("r", (Figure("accuracy", Printed.of("0.9")),)),))).judgements
    assert found.status == "undetermined"


# --- when n is not told -----------------------------------------------------------------------------------------------


def test_figures_tell_the_share_of_positives() -> None:
    """Kassani et al.: 96.17 lies 70 % of the way from 98.58 to 95.17."""
    shares = positive_share(
        [
            Constraint(name, Printed.of(text, percent=True))
            for name, text in (("accuracy", "96.17"), ("sensitivity", "95.17"), ("specificity", "98.58"))
        ]
    )
    assert shares is not None
    exact = (98.58 - 96.17) / (98.58 - 95.17)
    assert shares[0] < exact < shares[1]
    assert shares == pytest.approx((exact, exact), abs=0.004)


@given(st.integers(1, 40), st.integers(1, 40), st.data())
@settings(max_examples=30, deadline=None)
def test_the_true_share_of_positives_is_never_excluded(positives: int, negatives: int, data: st.DataObject) -> None:
    tp, tn = data.draw(st.integers(1, positives)), data.draw(st.integers(1, negatives))
    cells = [np.array([cell]) for cell in (tp, positives - tp, negatives - tn, tn)]
    swapped = data.draw(st.booleans())
    turned = [cells[3], cells[2], cells[1], cells[0]] if swapped else cells
    constraints = [Constraint(name, Printed.of(f"{MEASURES[name](*turned)[0]:.3f}"), swapped) for name in RATIOS]
    shares = positive_share(constraints)
    assert shares is not None
    assert shares[0] - 1e-7 <= positives / (positives + negatives) <= shares[1] + 1e-7


def test_figures_that_no_size_allows() -> None:
    claim = Claim("t", TestPart(), (row("r", accuracy="90.0", sensitivity="80.0", specificity="85.0"),))
    assert by_name(claim)["r"].status == "impossible", "accuracy lies between sensitivity and specificity"


def test_an_accuracy_alone_tells_nothing() -> None:
    assert by_name(Claim("t", TestPart(), (row("r", accuracy="96.58"),)))["r"].status == "undetermined"


# --- means, sums, splits ----------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 20), min_size=2, max_size=6), st.sampled_from([0, 1]))
@settings(max_examples=40, deadline=None)
def test_the_range_of_a_standard_deviation_holds_all_others(values: list[int], ddof: int) -> None:
    """Its ends are the smallest and the largest over a grid of what the values may have been."""
    ends = ends_of([Printed.of(f"{value / 10:.1f}") for value in values])
    low, high = sd_range(ends, ddof)
    drawn = np.random.default_rng(0).uniform(*ends, size=(200, len(values)))
    corners = np.array(list(itertools.product(*zip(*ends, strict=True))))
    for tried in (drawn, corners):
        sds = tried.std(axis=1, ddof=ddof)
        assert low - 1e-9 <= sds.min()
        assert sds.max() <= high + 1e-9
    assert high == pytest.approx(corners.std(axis=1, ddof=ddof).max())
    equal = np.ptp(values) <= 1
    assert (low < 1e-9) == equal, "values that round to neighbours may all be the same"


def test_a_mean_of_other_values_is_impossible() -> None:
    values = tuple(Printed.of(text) for text in ("0.80", "0.90"))
    assert judge_summary(Summary("s", "accuracy", values, Printed.of("0.85"))).status == "attainable"
    assert judge_summary(Summary("s", "accuracy", values, Printed.of("0.87"))).status == "impossible"


def test_a_stated_ddof_counts() -> None:
    values = tuple(Printed.of(text) for text in ("0.800", "0.900", "0.850"))
    sample, population = Printed.of("0.050"), Printed.of("0.041")
    assert judge_summary(Summary("s", "f1", values, sd=sample, ddof=1)).status == "attainable"
    assert judge_summary(Summary("s", "f1", values, sd=population, ddof=1)).status == "impossible"
    assert judge_summary(Summary("s", "f1", values, sd=population)).status == "attainable"


def test_sums_of_counts_are_exact_and_sums_of_figures_are_rounded() -> None:
    def summed(parts: list[str], total: str) -> str:
        return judge_sum(Sum("s", tuple(Printed.of(part) for part in parts), Printed.of(total))).status

    assert summed(["7272", "3389"], "10661") == "attainable"
    assert summed(["47", "26"], "76") == "impossible"
    assert summed(["47", "26"], "74") == "impossible", "a count has no rounding"
    assert summed(["99.25", "0.48"], "99.73") == "attainable"
    assert summed(["99.25", "0.70"], "99.73") == "impossible"


@pytest.mark.parametrize(("n", "status"), [(1066, "attainable"), (1067, "attainable"), (1068, "impossible")])
def test_a_share_may_be_rounded_up_or_down(n: int, status: str) -> None:
    claim = Claim("t", TestPart(n=Count(n, n)))
    assert judge_split(claim, Split(0.1, (10_661,))).status == status


# --- rows together, and open labels -----------------------------------------------------------------------------------


def test_rows_that_are_true_alone_may_not_be_so_together() -> None:
    """One row wants half of the images positive, the other a quarter."""
    rows = (row("half", precision="50.00", sensitivity="100.00", specificity="0.00"),
            row("quarter", precision="25.00", sensitivity="100.00", specificity="0.00"))  # fmt: skip
    found = by_name(Claim("t", TestPart(n=Count(400, 400)), rows))
    assert found["half"].status == found["quarter"].status == "attainable"
    assert found["rows together"].status == "impossible"
    assert "half and quarter" in found["rows together"].words


def test_an_open_positive_class_is_tried_both_ways() -> None:
    sure = TestPart(("ALL", "HEM"), (Count(60, 60), Count(40, 40)))
    open_ = TestPart(sure.classes, sure.counts, either=True)
    of_hem = row("r", sensitivity="97.5", specificity="90.0")  # 39 of 40, 54 of 60
    assert by_name(Claim("t", sure, (of_hem,)))["r"].status == "only if"
    assert by_name(Claim("t", open_, (of_hem,)))["r"].status == "attainable"


def test_rows_together_count_every_open_meaning() -> None:
    """The first row fits 30 or 70 positives, the second 70 or 30 and prefers the other class."""
    test = TestPart(("ALL", "HEM"), (None, None), Count(100, 100), either=True)
    first = row("first", accuracy="60.000", sensitivity="100.000", precision="42.857")
    second = row("second", accuracy="70.000", sensitivity="100.000", precision="70.000")
    found = by_name(Claim("t", test, (first, second)))
    assert found["first"].facts["positives"] == [30, 70]
    assert found["second"].facts["positives"] == [30, 70]
    assert found["rows together"].status == "attainable"


def test_what_was_not_looked_at_is_not_called_impossible(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows whose possibilities were thinned cannot exclude each other."""
    monkeypatch.setattr(matrices, "LIMIT", 5000)
    test = TestPart(("ALL", "HEM"), (None, None), Count(1500, 1500))
    rows = (row("a", accuracy="70.0"), row("b", accuracy="71.0"))
    found = by_name(Claim("t", test, rows))
    assert {each.status for each in found.values()} == {"attainable"}
    assert "more may fit" in found["a"].words
    assert "rows together" not in found


def test_open_columns_are_tried_in_every_meaning() -> None:
    test = TestPart(("ALL", "HEM"), (Count(60, 60), Count(40, 40)))
    figures = row("r", sensitivity="90.0", rate="93.1")  # 54 of 60; 54 of 54 + 4
    for meanings, status in ((("specificity", "precision"), "attainable"), (("specificity",), "only if")):
        assert by_name(Claim("t", test, (figures,), columns={"rate": meanings}))["r"].status == status


def test_a_number_of_all_errors_counts_without_tolerance() -> None:
    test = TestPart(("ALL", "HEM"), (Count(60, 60), Count(40, 40)))
    found = {}
    for errors in (7, 9):
        counted = Row("r", row("r", accuracy="93").figures, errors={"": Count(errors, errors)})
        found[errors] = by_name(Claim("t", test, (counted,)), 0.019)["r"].status
    assert found == {7: "attainable", 9: "impossible"}


def test_figures_of_scores_are_left_out_and_said_to_be() -> None:
    test = TestPart(("ALL", "HEM"), (Count(60, 60), Count(40, 40)))
    found = by_name(Claim("t", test, (row("r", accuracy="90.0", auroc="12.0"),)))["r"]
    assert found.status == "attainable"
    assert "auroc not judged" in found.words
    assert by_name(Claim("t", test, (row("r", auroc="12.0"),)))["r"].status == "undetermined"


def test_counts_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match="sum to 436, but n is 437"):
        TestPart(("ALL", "HEM"), (Count(223, 223), Count(213, 213)), Count(437, 437))
    with pytest.raises(UsageError, match="backwards"):
        Count(5, 3)
    with pytest.raises(UsageError, match="no number of images"):
        Count(-1, 3)
    with pytest.raises(UsageError, match="say n more closely"):
        TestPart(n=Count(1, 10_000)).pairs()


def test_every_judgement_states_the_difference_it_allowed() -> None:
    half_digit = judge(Claim("t", FOLD_7, (row("r", accuracy="90.1"),))).judgements[0]
    assert half_digit.allowed == pytest.approx(0.0005)
    wider = judge(Claim("t", FOLD_7, (row("r", accuracy="90.1"),)), 0.002).judgements[0]
    assert wider.allowed == 0.002
    assert not math.isnan(wider.needs or 0.0)
