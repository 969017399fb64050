"""``leukfeat predict``: what it writes, what it says, and its exit status."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from leukfeat.backbones.finetune import ClassifierSpec
from leukfeat.backbones.network_files import load_network, save_network, with_classifier
from leukfeat.backbones.resolution import resolve
from leukfeat.backbones.spec import BackboneSpec, Preprocess
from leukfeat.cli.predict import predict
from leukfeat.data.exposure import Seen
from leukfeat.data.manifest import Manifest
from leukfeat.data.synthetic import synthesize
from leukfeat.errors import LeukfeatError, PredictionsError, UsageError
from leukfeat.experiments.bundle import save_bundle
from leukfeat.experiments.kept import Kept

app = typer.Typer()
app.command()(predict)


def command(*arguments: Path | str) -> tuple[int, str, BaseException | None]:
    """Exit status, what was printed, and the error that the command line would print in one line."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    error = result.exception if isinstance(result.exception, LeukfeatError) else None
    if error is None and isinstance(result.exception, Exception):
        raise result.exception
    return result.exit_code, result.output, error


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generated cells, and an untrained network that claims to have seen half of them."""
    place = tmp_path_factory.mktemp("study")
    cells = synthesize(place / "cells", n_subjects=4, n_cells=3, seed=1, size=40)
    spec, built = BackboneSpec("test_efficientnet", "random", preprocess=Preprocess(32)), ClassifierSpec()
    resolution = resolve(spec)
    network = with_classifier(load_network(spec, resolution).network, (32, 32), 2, built, seed=1)
    classes = ("ALL", "HEM")
    file = save_network(
        network, place / "net.safetensors", resolution=resolution, seen=Seen(), classes=classes, classifier=built
    )
    save_bundle(place / "run" / "model", Kept(classes, network=file), {}, cells.take(range(6)))
    return place


@pytest.fixture
def here(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return study


def rows_of(file: str) -> list[dict[str, Any]]:
    with Path(file).open() as stream:
        return list(csv.DictReader(stream))


def test_a_manifest_is_predicted_scored_and_told_by_subject(here: Path) -> None:
    status, said, _ = command(here / "run", here / "cells" / "cells.csv", "--by-subject", "subjects.csv")
    assert status == 0
    assert "12 labelled images: accuracy" in said
    assert "6 of 12 images took part in training this model: their predictions are no evidence" in said
    assert "6 labelled images that did not: accuracy" in said
    assert len(rows_of("predictions.csv")) == 12
    assert [row["images"] for row in rows_of("subjects.csv")] == ["3"] * 4


def test_json_says_the_same(here: Path) -> None:
    status, said, _ = command(here / "run" / "model", here / "cells" / "cells.csv", "--json")
    told = json.loads(said)
    assert status == 0
    assert (told["images"], told["seen"], told["failed"]) == (12, 6, [])
    assert 0 <= told["scores"]["accuracy"] <= 1


def test_images_without_labels_are_not_scored(here: Path) -> None:
    images = sorted(path for path in (here / "cells").rglob("*.png"))[:2]
    status, said, _ = command(here / "run", *images, "-o", "two.csv", "--batch-size", "1", "--device", "cpu")
    assert status == 0
    assert "accuracy" not in said
    assert "y_true" not in rows_of("two.csv")[0]


def test_a_bad_image_is_named_and_fails_the_command_unless_it_may(here: Path) -> None:
    Path("new").mkdir()
    good = next((here / "cells").rglob("*.png"))
    Path("new/good.png").write_bytes(good.read_bytes())
    Path("new/bad.png").write_text("no image")
    status, said, _ = command(here / "run", "new")
    assert status == 1
    assert "failed: bad.png: " in said
    assert [row["sample"] for row in rows_of("predictions.csv")] == ["good.png"], "what could be read is kept"
    assert command(here / "run", "new", "--skip-errors")[0] == 0


def test_labels_of_another_data_set_need_a_word(here: Path) -> None:
    cells = Manifest.load(here / "cells" / "cells.csv")
    lines = ["path,label", *(f"{cells.file(row)},Benign" for row in range(2))]
    Path("other.csv").write_text("\n".join(lines))
    _, _, error = command(here / "run", "other.csv")
    assert isinstance(error, PredictionsError)
    assert "labels Benign" in str(error)
    assert "ALL, HEM" in str(error)
    assert not Path("predictions.csv").exists()
    assert command(here / "run", "other.csv", "--ignore-labels")[0] == 0


def test_images_without_a_subject_are_said_to_be_in_no_verdict(here: Path) -> None:
    cells = Manifest.load(here / "cells" / "cells.csv")
    Path("some.csv").write_text(f"path,subject\n{cells.file(0)},S1\n{cells.file(1)},\n")
    status, said, _ = command(here / "run", "some.csv", "--by-subject", "subjects.csv")
    assert status == 0
    assert "1 image(s) without a subject are in no verdict by subject" in said
    assert [row["subject"] for row in rows_of("subjects.csv")] == ["S1"]


def test_nothing_is_written_over_that_is_no_predictions_file(here: Path) -> None:
    Path("mine.csv").write_text("path,label\n")
    _, _, error = command(here / "run", here / "cells", "-o", "mine.csv")
    assert isinstance(error, UsageError)
    _, _, error = command(here / "run", here / "cells", "-o", "a.csv", "--by-subject", "a.csv")
    assert isinstance(error, UsageError)
