"""Claim files and the claims of recipes: what they may say, what is refused, and what the papers' files come to."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from leukfeat.audit.claims import Count
from leukfeat.errors import LeukfeatError, RecipeError, UsageError
from leukfeat.experiments.claim_sections import count_of
from leukfeat.experiments.claims import PaperVerdict, audit_claims, load_claims
from leukfeat.experiments.recipe import load_recipe, recipe_from

PAPERS = Path(__file__).resolve().parents[2] / "configs" / "papers"

GOOD = """
claims:
  - name: Table 1
    test: {n: 100, counts: {ALL: 60, HEM: 40}, positive: ALL}
    decimals: 2
    rows:
      ours: {accuracy: 0.90, sensitivity: 0.95}
"""


def claim_file(folder: Path, text: str, name: str = "claims.yaml") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def changed(**lines: str) -> str:
    """The good file with one line replaced."""
    text = GOOD
    for key, line in lines.items():
        old = next(each for each in GOOD.splitlines() if each.strip().startswith(f"{key}:"))
        text = text.replace(old, old[: len(old) - len(old.lstrip())] + line)
    return text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("claims: [", "line 1"),
        ("- a\n- b\n", "a claim file has the key 'claims'; found list"),
        ("name: x\n", "unknown key 'name'"),
        ("claims: []\n", "claims"),
        ("claims:\n  - {rows: {a: {accuracy: '0.9'}}}\n", "claims.0.name"),
        (changed(decimals="digits: 2"), "unknown key 'digits' in claims.0; known: name"),
        (changed(test="test: {m: 100}"), "unknown key 'm' in claims.0.test; known: n"),
        (changed(decimals="decimals: two"), "claims.0.decimals"),
        (changed(decimals="unit: share"), "how many digits of 0.9 are printed"),
        (changed(test="test: {n: 101, counts: {ALL: 60, HEM: 40}, positive: ALL}"), "sum to 100, but n is 101"),
        (changed(test="test: {n: 100, counts: {ALL: 60, HEM: 40}}"), "say which class is positive"),
        (changed(test="test: {n: 100, counts: {ALL: 60, HEM: 40}, positive: all}"), "say which class is positive"),
        (changed(test="test: {counts: {ALL: 60}, positive: ALL}"), "names one class"),
        (changed(test="test: {n: many}"), "no number of images such as 223"),
        (changed(test="test: {n: 30-20}"), "runs backwards"),
        (changed(test="test: {n: -5}"), "no number of images"),
        (changed(test="test: {n: 100, share: 0.1}"), "share and of belong together"),
        (changed(ours="ours: {acuracy: 0.90}"), "did you mean 'accuracy'"),
        (changed(ours="ours: {accuracy: 90.00}"), "say unit: percent"),
        (changed(ours="ours: {accuracy: -0.10}"), "no share from 0 to 1"),
        (changed(ours="ours: {accuracy: good}"), "no number"),
        (changed(ours="ours: {accuracy: [0.9]}"), "no number"),
        (changed(ours="ours: {accuracy: 0.905}"), "more digits than decimals: 2"),
        (changed(ours="ours: {recall: {all: 0.90}}"), "class 'all' is not known"),
        (changed(ours="ours: {accuracy: {1: 0.90}}"), "class '1' is not known"),
        (changed(ours="ours: {errors: {all: 5}}"), "class 'all' is not known"),
        (changed(ours="ours: {errors: few}"), "no number of images"),
        (changed(ours="ours: {errors: }"), "no number of images"),
        (changed(ours="ours: {confusion: 7}"), "confusion is {true class: {answer: images}}; found 7"),
        (changed(ours="ours: {confusion: {ALL: 7}}"), "found 7"),
        (changed(ours="ours: "), "claims.0.rows.ours"),
        (GOOD + "    columns: {rate: []}\n", "columns"),
        (GOOD.replace("rows:", "rows: &a") + "    sums: {s: {parts: [], total: 3}}\n", "sums"),
        (changed(ours="ours: {errors: {ALL: 61}}"), "61 errors, but 60 images of ALL were tested"),
        (changed(ours="ours: {errors: 101}"), "101 errors, but 100 images of all classes"),
        (changed(ours="ours: {confusion: {ALL: {ALL: 50, HEM: 11}}}"), "has 61 images of ALL, but 60 were tested"),
        (changed(ours="ours: {confusion: {ALL: {ALL: 50, HEM: 9}}}"), "has 59 images of ALL, but 60 were tested"),
        (GOOD.replace("0.90,", "0.90, accuracy: 0.91,"), "'accuracy' stands twice"),
        (GOOD + "    summaries: {mean: {of: f1, mean: 0.9}}\n", "row 'ours' has no f1"),
        (GOOD + "    summaries: {mean: {over: [theirs], mean: 0.9}}\n", "row 'theirs' is not known"),
        (GOOD + "    summaries: {mean: {mean: 0.9}}\n", "two values or more"),
        (GOOD + "    columns: {rate: spezificity}\n", "did you mean 'specificity'"),
        (GOOD + "    tolerance: 2\n", "tolerance"),
    ],
)
def test_a_mistake_is_told_in_one_line_with_its_file(text: str, words: str, tmp_path: Path) -> None:
    file = claim_file(tmp_path, text)
    with pytest.raises(RecipeError) as caught:
        load_claims([file])
    message = str(caught.value)
    assert str(file) in message
    assert words in message
    assert "\n" not in message


def test_a_missing_file_and_a_recipe_without_claims_are_told(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"none\.yaml"):
        load_claims([tmp_path / "none.yaml"])
    bare = claim_file(tmp_path, "data: {path: cells}\n", "recipe.yaml")
    with pytest.raises(UsageError, match="no claims; write them under the key claims"):
        load_claims([bare])


def test_a_recipe_that_points_to_nothing_names_the_missing_file(tmp_path: Path) -> None:
    recipe = claim_file(tmp_path, "data: {path: cells}\nclaims_file: gone.yaml\n", "recipe.yaml")
    with pytest.raises(RecipeError, match=r"gone\.yaml"):
        load_claims([recipe])


@pytest.mark.parametrize(
    ("value", "count"),
    [(223, Count(223, 223)), ("1990-2000", Count(1990, 2000)), ("1,990 – 2,000", Count(1990, 2000))],
)
def test_numbers_of_images_are_numbers_or_ranges(value: int | str, count: Count) -> None:
    assert count_of(value) == count


@pytest.mark.parametrize("value", [True, 2.5, "2.5", None, "-3", "a-b"])
def test_other_things_are_no_numbers_of_images(value: object) -> None:
    with pytest.raises(UsageError):
        count_of(value)


def test_the_positive_class_comes_first(tmp_path: Path) -> None:
    """TP counts the class that the file calls positive, however the classes are ordered."""
    file = claim_file(tmp_path, changed(test="test: {counts: {HEM: 40, ALL: 60}, positive: ALL}"))
    [[claim]] = [paper.claims for paper in load_claims([file])]
    assert claim.test.classes == ("ALL", "HEM")
    assert claim.test.counts == (Count(60, 60), Count(40, 40))


def test_claims_of_a_recipe_survive_its_writing(tmp_path: Path) -> None:
    """The resolved recipe of a run still holds the claims, ranges and digits among them."""
    content = yaml.safe_load(changed(test="test: {n: 90-100, counts: {ALL: 60, HEM: }, positive: ALL}"))
    recipe = recipe_from({"data": {"path": "cells"}, **content}, "here")
    again = load_recipe(recipe.save(tmp_path / "recipe.yaml"))
    assert again.claims == recipe.claims
    assert again.claims[0].claim() == recipe.claims[0].claim()


def test_a_recipe_has_its_claims_in_one_place() -> None:
    content = yaml.safe_load(GOOD)
    with pytest.raises(RecipeError, match="either claims or claims_file"):
        recipe_from({"data": {"path": "cells"}, "claims_file": "a.yaml", **content}, "here")


def test_a_mistake_in_the_claims_of_a_recipe_names_its_place() -> None:
    content = yaml.safe_load(changed(ours="ours: {acuracy: 0.90}"))
    with pytest.raises(LeukfeatError, match=r"here: claims\.0.*acuracy.*did you mean 'accuracy'"):
        recipe_from({"data": {"path": "cells"}, **content}, "here")


def test_a_claim_that_two_files_carry_is_judged_once(tmp_path: Path) -> None:
    """Two recipes of a paper share its table; another claim of the same paper is judged beside it."""
    paper = "paper: {title: A Paper (We 2024)}\n"
    files = [
        claim_file(tmp_path, paper + GOOD, "a.yaml"),
        claim_file(tmp_path, paper + GOOD, "b.yaml"),
        claim_file(tmp_path, paper + GOOD.replace("Table 1", "Table 2"), "c.yaml"),
        claim_file(tmp_path, GOOD, "d.yaml"),
    ]
    first, second = load_claims(files)
    assert (first.paper, len(first.files)) == ("We 2024", 3)
    assert [claim.name for claim in first.claims] == ["Table 1", "Table 2"]
    assert (second.paper, len(second.claims)) == ("d", 1)


# --- the papers' own --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def papers() -> dict[str, PaperVerdict]:
    return {each.paper: each for each in audit_claims(sorted(PAPERS.glob("*.yaml")))}


def statuses(paper: PaperVerdict, kind: str) -> list[str]:
    return [each.status for verdict in paper.verdicts for each in verdict.judgements if each.kind == kind]


def test_every_recipe_of_a_paper_carries_claims(papers: dict[str, PaperVerdict]) -> None:
    files = {Path(file).stem for paper in papers.values() for file in paper.files}
    assert files == {file.stem for file in PAPERS.glob("*.yaml")}


def test_the_twelve_rows_of_ullah(papers: dict[str, PaperVerdict]) -> None:
    found = statuses(papers["Ullah et al. 2021"], "row")
    assert [found.count(status) for status in ("attainable", "only if", "impossible")] == [1, 3, 8]
    assert len(papers["Ullah et al. 2021"].files) == 4


def test_saeeds_part_is_balanced_and_augmented(papers: dict[str, PaperVerdict]) -> None:
    [verdict] = papers["Saeed et al. 2022"].verdicts
    found = {judgement.name: judgement for judgement in verdict.judgements}
    assert found["rows together"].facts["positives"] == [1990, 2000]
    assert found["test part"].facts["rows_that_would_fit"] == []


def test_sajons_rows_are_sound_and_its_part_is_no_fifth(papers: dict[str, PaperVerdict]) -> None:
    [verdict] = papers["Sajon et al. 2024"].verdicts
    right = [judgement.facts["right"] for judgement in verdict.judgements if judgement.kind == "row"]
    assert right == [[654] * 2, [653] * 2, [651] * 2, [650] * 2, [647] * 2]
    assert statuses(papers["Sajon et al. 2024"], "split") == ["impossible"]


def test_claims_agree_with_what_a_recipe_reports(papers: dict[str, PaperVerdict]) -> None:
    """The accuracy under ``reported`` is among the figures that are judged (one that is computed is not printed)."""
    for paper in papers.values():
        accuracies = {
            round(figure.printed.value, 4)
            for verdict in paper.verdicts
            for row in verdict.claim.rows
            for figure in row.figures
            if figure.column in ("accuracy", "weighted_f1") and not figure.of
        }
        means = {
            round(summary.mean.value, 4)
            for verdict in paper.verdicts
            for summary in verdict.claim.summaries
            if summary.mean
        }
        for file in paper.files:
            reported = load_recipe(file).reported
            told = {value for name, value in reported.items() if name in ("accuracy", "weighted_f1", "accuracy_best")}
            assert told <= accuracies | means or Path(file).stem == "sajon-custom", file
