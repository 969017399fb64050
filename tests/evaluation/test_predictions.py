"""Predictions survive the way to disk to the last bit, and nothing malformed comes in."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leukfeat.errors import PredictionsError
from leukfeat.evaluation.predictions import Predictions

GOOD = "sample,y_true,proba_ALL,proba_HEM\na,ALL,0.9,0.1\nb,HEM,0.2,0.8\n"


def _written(tmp_path, text):
    file = tmp_path / "foreign.csv"
    file.write_text(text, encoding="utf-8", newline="")
    return file


def test_round_trip_is_exact(tmp_path, make):
    rng = np.random.default_rng(0)
    names = ["Zelle ä/1,2.bmp", 'a "quoted"\nname', "細胞.png", "=cmd()", " padded "]
    given = make(
        ["ALL", "HEM", "ALL", "HEM", "ALL"],
        rng.random(5),
        sample=names,
        subject=["S1", "H1", "Ü", "H2", "S\u2028"],
        repeat=[0, 0, 0, 1, 1],
        fold=[0, 1, 2, 0, 1],
    )
    assert Predictions.load(given.save(tmp_path / "p.csv"), positive="ALL").digest == given.digest


name = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    samples=st.lists(name, min_size=1, max_size=5, unique=True),
    classes=st.lists(name, min_size=2, max_size=3, unique=True),
)
def test_round_trip_is_exact_for_any_name(tmp_path, samples, classes):
    n, k = len(samples), len(classes)
    rng = np.random.default_rng(n)
    given = Predictions(
        sample=samples,
        subject=samples,
        group=samples,
        repeat=np.arange(n),
        fold=np.zeros(n),
        y_true=[classes[row % k] for row in range(n)],
        proba=rng.dirichlet(np.ones(k), n),
        classes=tuple(classes),
    )
    assert Predictions.load(given.save(tmp_path / "p.csv")).digest == given.digest


def test_digest_tells_names_apart_that_join_alike(make):
    one = make(["ALL", "HEM"], [0.1, 0.2], subject=["a\x1fb", "c"])
    other = make(["ALL", "HEM"], [0.1, 0.2], subject=["a", "b\x1fc"])
    assert one.digest != other.digest


def test_the_least_another_tool_must_give(tmp_path):
    found = Predictions.load(_written(tmp_path, "\ufeff" + GOOD))
    assert not found.subjects_known
    assert found.group.tolist() == ["a", "b"]
    assert (found.repeat.tolist(), found.fold.tolist()) == ([0, 0], [0, 0])
    assert found.y_pred.tolist() == ["ALL", "HEM"]


def test_other_columns_and_blank_lines_are_left_alone(tmp_path):
    header = "id,sample,comment,y_true,proba_HEM,proba_ALL,subject,fold"
    text = f'{header}\n7,a,"x, y",ALL,.1,.9,S1,3.0\n\n8,b,,HEM,8e-1,0.2,H1,1\n\n'
    found = Predictions.load(_written(tmp_path, text))
    assert found.classes == ("HEM", "ALL")
    assert found.group.tolist() == ["S1", "H1"]
    assert found.fold.tolist() == [3, 1]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds no rows"),
        ("sample,y_true,proba_a,proba_b\n", "holds no rows"),
        ("sample,proba_a,proba_b\nx,1,0\n", "needs sample, y_true"),
        ("sample,y_true,proba_a\nx,a,1\n", "at least two proba_<class> columns"),
        (GOOD.replace("0.2", "high"), "row 3: proba_ALL is 'high', not a number"),
        (GOOD.replace("0.2", ""), "row 3: proba_ALL is '', not a number"),
        (GOOD.replace("0.2", "nan"), r"row 3 \(sample b\).*not finite"),
        (GOOD.replace("0.2,0.8", "1.2,-0.2"), "row 3.*outside"),
        (GOOD.replace("0.8", "0.7"), "row 3.*not summing to 1"),
        (GOOD.replace("b,HEM", "a,HEM"), "rows 2, 3: sample 'a' stands 2 times in repeat 0"),
        (GOOD.replace("b,HEM", "b,CLL"), "true label 'CLL' has no probability column"),
        (GOOD.replace("b,HEM", ",HEM"), "row 3: sample is empty"),
        (GOOD.replace("0.2,0.8", "0.2"), "row 3: 3 values for 4 columns"),
        (GOOD.replace("0.2,0.8", "0.2,0.8,1"), "row 3: 5 values for 4 columns"),
        (GOOD.replace("proba_HEM", "proba_ALL"), "column 'proba_ALL' stands there twice"),
        ("sample,fold,y_true,proba_a,proba_b\nx,1.5,a,1,0\n", "row 2: fold is '1.5', not a whole number"),
        ("sample,repeat,y_true,proba_a,proba_b\nx,1e300,a,1,0\n", "row 2: repeat is '1e300', not a whole number"),
        ("sample,repeat,y_true,proba_a,proba_b\nx,nan,a,1,0\n", "row 2: repeat is 'nan', not a whole number"),
    ],
)
def test_malformed_files_are_refused_with_file_and_row(tmp_path, text, told):
    file = _written(tmp_path, text)
    with pytest.raises(PredictionsError, match=told) as refused:
        Predictions.load(file)
    assert str(refused.value).startswith(str(file))
    assert "\n" not in str(refused.value)


def test_what_is_no_text_file_is_refused(tmp_path):
    (tmp_path / "image.csv").write_bytes(b"\xff\xd8\xff\xe0" * 20)
    for name in ("image.csv", "none.csv", "."):
        with pytest.raises(PredictionsError):
            Predictions.load(tmp_path / name)


def test_a_positive_class_must_be_a_class(tmp_path):
    with pytest.raises(PredictionsError, match="positive class 'blast'"):
        Predictions.load(_written(tmp_path, GOOD), positive="blast")


cell = st.one_of(
    st.sampled_from(["a", "ALL", "0", "1", "0.5", "1e999", "nan", "-1", "", "unknown", '"']), st.text(max_size=4)
)


@st.composite
def near_csv(draw):
    """A file that is nearly right, or anything at all."""
    if draw(st.booleans()):
        return draw(st.text(max_size=60))
    header = draw(st.permutations(["sample", "y_true", "proba_a", "proba_ALL", "fold", "repeat", "subject", "group"]))
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(header[: draw(st.integers(4, 8))])
    for _ in range(draw(st.integers(0, 3))):
        writer.writerow(draw(st.lists(cell, min_size=4, max_size=8)))
    return stream.getvalue()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=near_csv())
def test_any_text_is_predictions_or_a_predictions_error(tmp_path, text):
    file = tmp_path / "any.csv"
    file.write_bytes(text.encode("utf-8", errors="surrogatepass"))
    try:
        found = Predictions.load(file)
    except PredictionsError:
        return
    assert np.isfinite(found.proba).all()
    assert set(found.y_true.tolist()) <= set(found.classes)


def test_groups_and_subjects_on_both_sides_are_counted(make):
    y, p = ["ALL"] * 4 + ["HEM"], [0.5] * 5
    given = make(y, p, subject=["1", "1", "2", "3", "4"], group=["1", "1", "2+3", "2+3", "4"], fold=[0, 1, 0, 1, 0])
    assert (given.divided_subjects, given.divided_groups) == (1, 2)
    # another repeat divides anew: a subject in fold 0 of one and fold 1 of the other is whole in both
    apart = make(
        ["ALL", "ALL"], [0.5, 0.5], sample=["a", "a"], subject=["1", "1"], group=["1", "1"], repeat=[0, 1], fold=[0, 1]
    )
    assert (apart.divided_subjects, apart.divided_groups) == (0, 0)


def test_pieces_with_other_classes_cannot_be_put_together(make):
    with pytest.raises(PredictionsError, match="different classes"):
        Predictions.concatenate([make(["ALL"], [1.0]), make(["ALL"], [1.0], classes=("ALL", "x"))])
