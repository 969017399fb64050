"""The main path on real cells: what a user gets from one command, and what must be said beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from leukfeat.cli import main
from leukfeat.evaluation.runs import Run, find_runs
from leukfeat.heads.catalog import HEADS

pytestmark = [pytest.mark.real, pytest.mark.slow]

WEIGHTS = "weights/mobilenetv2_100.same_pad.safetensors"
DOUBTS = (
    "image-level: optimistic",
    "subjects unknown: images of one patient may be on both sides",
    "40 groups of identical images",
    "what these weights were trained on is unknown",
)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One working directory for the module, so that features are computed once."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("real")
        patch.chdir(folder)
        patch.setenv("XDG_CACHE_HOME", str(folder / "user-cache"))
        patch.delenv("LEUKFEAT_CACHE", raising=False)
        yield folder


def _leukfeat(*arguments: str | Path, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    assert not caught.value.code, said.err
    return said.out


def test_taleqani_image_level_reaches_what_a_careful_hand_reaches(
    shared: Path, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By hand: logistic 0.983, tuned SVM 0.981; and no output hides that this is by image, of unknown patients."""
    data = [shared / "data" / "taleqani", "--weights", shared / WEIGHTS, "--subjects", "unknown"]
    (report,) = json.loads(_leukfeat("extract", *data, "--json", capsys=capsys))
    assert (report["samples"], report["images"], report["failed"]) == (3256, 3216, [])
    (again,) = json.loads(_leukfeat("extract", *data, "--json", capsys=capsys))
    assert (again["computed"], again["hits"]) == (0, 3216)

    fit = [*data, "--split", "per-image", "--folds", "5", "--trials", "2"]
    out = _leukfeat("fit-head", *fit, "--head", "svm", "--head", "logistic", capsys=capsys)
    assert all(words in out for words in DOUBTS), out
    accuracy = {
        str(run.candidate["head"]["head"]): float((run.predictions.y_pred == run.predictions.y_true).mean())
        for run in (Run.load(folder) for folder in find_runs(workplace / "runs"))
    }
    assert accuracy["svm"] >= 0.978
    assert accuracy["logistic"] >= 0.975

    _leukfeat("compare", capsys=capsys)
    for name in ("report.html", "report.md"):
        text = (workplace / "report" / name).read_text(encoding="utf-8")
        assert all(words in text for words in DOUBTS), name


def test_every_head_gets_through_a_grouped_run_on_cnmc(
    shared: Path, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """165 genuine cells of 29 subjects, 13 of them healthy: small and unbalanced, as first samples are."""
    heads = [word for name in HEADS for word in ("--head", name)]
    data = [shared / "data" / "cnmc" / "C-NMC_Leukemia", "--weights", shared / WEIGHTS, "--out", "cnmc"]
    out = _leukfeat("fit-head", *data, *heads, "--folds", "3", "--trials", "2", capsys=capsys)
    runs = [Run.load(folder) for folder in find_runs(workplace / "cnmc")]
    assert len(runs) == len(HEADS)
    for run in runs:
        assert len(run.predictions) == 165
        assert run.predictions.positive == "ALL"
        assert run.predictions.divided_groups == 0, "no linked subject group is tested in two folds"
        assert run.split["protection"] == "linked-subject"
    assert "By subject" in out
