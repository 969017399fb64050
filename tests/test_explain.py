"""``leukfeat explain``: what it writes, what it says, and its exit status."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from leukfeat.backbones.finetune import ClassifierSpec
from leukfeat.backbones.network_files import load_network, save_network, with_classifier
from leukfeat.backbones.resolution import resolve
from leukfeat.backbones.spec import BackboneSpec, Preprocess
from leukfeat.cli.explain import explain
from leukfeat.data.exposure import Seen
from leukfeat.data.synthetic import synthesize
from leukfeat.errors import LeukfeatError, MissingImagesError, RunError, UnknownNameError, UsageError
from leukfeat.experiments.bundle import save_bundle
from leukfeat.experiments.kept import Kept
from leukfeat.heads.tuning import TunedHead
from leukfeat.reports.folders import RunFolder

app = typer.Typer()
app.command()(explain)
CLASSES = ("ALL", "HEM")


def command(*arguments: Path | str | int) -> tuple[int, str, BaseException | None]:
    """Exit status, what was printed, and the error that the command line would print in one line."""
    result = CliRunner().invoke(app, [str(argument) for argument in (*arguments, "--device", "cpu")])
    error = result.exception if isinstance(result.exception, LeukfeatError) else None
    if error is None and isinstance(result.exception, Exception):
        raise result.exception
    return result.exit_code, result.output, error


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generated cells, and models that have learned nothing: two networks, a transformer, a head without a network."""
    place = tmp_path_factory.mktemp("study")
    cells = synthesize(place / "cells", n_subjects=4, n_cells=3, seed=1, size=40)
    for name, architecture, size, attention in (
        ("plain", "test_efficientnet", 32, None),
        ("cbam", "test_efficientnet", 32, "cbam"),
        ("vit", "test_vit", 160, None),
    ):
        spec = BackboneSpec(architecture, "random", preprocess=Preprocess(size), attention=attention)
        resolution = resolve(spec)
        network = with_classifier(load_network(spec, resolution).network, (size, size), 2, ClassifierSpec(), seed=1)
        file = save_network(
            network, place / f"{name}.safetensors", resolution=resolution, seen=Seen(), classes=CLASSES,
            classifier=ClassifierSpec(),
        )  # fmt: skip
        save_bundle(place / name, Kept(CLASSES, network=file), {}, cells.take(range(6)))
    X = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
    head = TunedHead("logistic", n_trials=0).fit(X, np.array(cells.label))
    save_bundle(place / "features", Kept(CLASSES, head=head), {}, cells)
    return place


@pytest.fixture
def here(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return study


def rows_of(file: str) -> list[dict[str, Any]]:
    with Path(file).open() as stream:
        return list(csv.DictReader(stream))


def test_sheets_a_table_and_a_line_are_written(here: Path) -> None:
    status, said, _ = command(here / "plain", here / "cells" / "cells.csv", "--count", 3, "-o", "out")
    assert status == 0
    assert "of the map inside the cell (the cell is" in said
    assert "3 images drawn by chance" in said
    assert "wrote out/random.png" in said
    assert Path("out/worst.png").is_file()
    assert {row["network"] for row in rows_of("out/explanations.csv")} == {"test_efficientnet"}


def test_baseline_and_attention_stand_side_by_side(here: Path) -> None:
    told = command(
        here / "plain", here / "cells" / "cells.csv", "--against", here / "cbam", "--count", 1, "--maps", "--sanity",
        "--class", "HEM", "--layer", "blocks.1", "-o", "out", "--json",
    )  # fmt: skip
    assert told[0] == 0, told[2]
    facts = json.loads(told[1])
    assert [one["name"] for one in facts["networks"]] == ["test_efficientnet", "against test_efficientnet + cbam"]
    assert facts["layer"] == "blocks.1"
    assert {row["explained"] for row in rows_of("out/explanations.csv")} == {"HEM"}
    assert all(Path(file).is_file() for file in facts["written"])
    assert Path("out/maps/2-attention-weights.png") in map(Path, facts["written"])


def test_images_without_labels_have_no_worst(here: Path) -> None:
    """A loss needs a label; nothing is guessed from predictions."""
    status, _, _ = command(here / "plain", here / "cells" / "images", "--count", 2, "-o", "out")
    assert status == 0
    assert Path("out/random.png").is_file()
    assert not Path("out/worst.png").exists()
    assert {row["label"] for row in rows_of("out/explanations.csv")} == {""}


def test_images_that_cannot_be_read_are_named_and_left_out(here: Path) -> None:
    good = sorted((here / "cells" / "images").glob("*.png"))[0]
    Path("bad.png").write_text("not an image")
    status, said, _ = command(here / "plain", good, "bad.png", "-o", "out")
    assert status == 1
    assert "failed: bad.png: not an image" in said
    assert len(rows_of("out/explanations.csv")) == 1
    assert command(here / "plain", good, "bad.png", "-o", "out", "--skip-errors")[0] == 0
    status, _, error = command(here / "plain", "bad.png", "-o", "nothing")
    assert isinstance(error, MissingImagesError)
    assert not Path("nothing").exists()


@pytest.mark.parametrize(
    ("model", "options", "kind", "words"),
    [
        ("features", (), RunError, "no network"),
        ("vit", (), UsageError, "no map of pixels"),
        ("plain", ("--class", "HAM"), UnknownNameError, "did you mean 'HEM'"),
        ("plain", ("--layer", "blocks.11"), UnknownNameError, "did you mean 'blocks.1'"),
        ("plain", ("--layer", "global_pool.flatten"), UsageError, "takes no part"),
        ("plain", ("-o", "mine"), UsageError, "holds something else"),
    ],
)
def test_what_cannot_be_explained_is_told_in_one_line(
    here: Path, model: str, options: tuple[str, ...], kind: type[LeukfeatError], words: str
) -> None:
    Path("mine").mkdir()
    Path("mine/thesis.tex").write_text("years of work")
    _, _, error = command(here / model, here / "cells" / "cells.csv", *(options or ("-o", "out")))
    assert isinstance(error, kind)
    assert words in str(error)
    assert "\n" not in str(error)
    assert sorted(file.name for file in Path().rglob("*")) == ["mine", "thesis.tex"]


@pytest.mark.parametrize("count", ["0", "-3", "many"])
def test_a_count_is_a_positive_number(here: Path, count: str) -> None:
    status, said, _ = command(here / "plain", here / "cells" / "cells.csv", "--count", count)
    assert status == 2
    assert "--count" in said


def test_explanations_of_a_run_stand_in_it_where_its_report_looks(here: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "mine"
    run.mkdir(parents=True)
    (here / "plain").rename(run / "model")
    (run / "run.json").write_text("{}")
    try:
        for named in (run, run / "model"):
            status, said, _ = command(named, here / "cells" / "cells.csv", "--count", 2)
            assert (status, str(run / "explanations" / "random.png") in said) == (0, True)
        found = RunFolder.read(run)
        assert found.picture("random").startswith(b"\x89PNG")
        assert found.picture("worst").startswith(b"\x89PNG")
    finally:
        (run / "model").rename(here / "plain")
