"""What is explained is chosen by chance and by error, and what is written can be traced and repeated."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from leukfeat.backbones.finetune import FineTune
from leukfeat.backbones.spec import BackboneSpec, Preprocess
from leukfeat.data.manifest import Manifest
from leukfeat.errors import HeadError, PredictionsError, UnknownNameError, UsageError
from leukfeat.evaluation.ensembles import EnsembleRule
from leukfeat.experiments.bundle import save_bundle
from leukfeat.experiments.candidates import HeadOnFeatures
from leukfeat.experiments.ensembles import Ensemble
from leukfeat.experiments.explained import parts_of
from leukfeat.experiments.explanation import Wish, choose, explain
from leukfeat.experiments.model import Model
from leukfeat.experiments.networks import EndToEnd
from leukfeat.experiments.prediction import load
from leukfeat.features.store import FeatureStore
from leukfeat.heads.tuning import TunedHead

CPU = {"device": "cpu", "batch_size": 16, "num_workers": 1}
TINY = BackboneSpec("test_efficientnet", "random", preprocess=Preprocess(48))
OTHER = BackboneSpec("test_resnet", "random", preprocess=Preprocess(32))
TUNED = FineTune(epochs=1, batch_size=16, validation=0.0, select="last")


@pytest.fixture(scope="module")
def models(cells: Manifest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    """A network with attention, a head on two networks, and both together."""
    place = tmp_path_factory.mktemp("models")
    store = FeatureStore(place / "cache")
    head = HeadOnFeatures((TINY, OTHER), TunedHead("xgboost", n_trials=0, params={"n_estimators": 5}), store)
    network = EndToEnd(TINY.replace(attention="cbam", finetune=TUNED), store)
    together = Ensemble((head, network), EnsembleRule("mean"))
    made = {"head": head, "network": network, "together": together}
    return {
        name: load(save_bundle(place / name, candidate.fit_all(cells).kept, candidate.describe(), cells))
        for name, candidate in made.items()
    }


def test_every_network_of_a_model_is_looked_at(models: dict[str, Model]) -> None:
    assert [part.name for part in parts_of(models["network"])] == ["test_efficientnet + cbam"]
    assert [part.name for part in parts_of(models["together"])] == [
        "1: test_efficientnet → xgboost",
        "1: test_resnet → xgboost",
        "2: test_efficientnet + cbam",
    ]


def test_contributions_of_two_networks_are_told_apart(models: dict[str, Model], cells: Manifest) -> None:
    """Side by side they are those of the head on all its features."""
    from leukfeat.heads.contributions import contributions

    model, rows, classes = models["head"], [0, 5, 30], ["ALL", "ALL", "HEM"]
    parts = list(parts_of(model))
    found = [part.contributions(cells, rows, classes, CPU) for part in parts]
    X, _ = model.outputs(cells, np.array(rows), CPU)
    assert model.head is not None
    expected = np.stack([contributions(model.head, X[[i]], k).values[0] for i, k in enumerate((0, 0, 1))])
    np.testing.assert_allclose(np.concatenate(found, axis=1), expected)


def test_a_folder_tells_everything(models: dict[str, Model], cells: Manifest, tmp_path: Path) -> None:
    wish = Wish(count=4, maps=True, sanity=True, how=CPU)
    told = explain(models["network"], cells, tmp_path / "out", wish, against=models["head"])
    names = {file.relative_to(tmp_path / "out").as_posix() for file in told.written}
    assert {"random.png", "worst.png", "random.pdf", "explanations.csv", "explanations.json"} <= names
    assert names == {file.relative_to(tmp_path / "out").as_posix() for file in (tmp_path / "out").rglob("*.*")}
    assert [file.name for file in tmp_path.iterdir()] == ["out"], "nothing stays beside the folder"
    assert {"maps/1-before-attention.png", "maps/1-after-attention.png", "maps/2-first-layer.png"} <= names
    assert all(Image.open(file).width > 100 for file in told.written if file.suffix == ".png")
    facts = json.loads((tmp_path / "out" / "explanations.json").read_text())
    assert [one["name"] for one in facts["networks"]] == [
        "test_efficientnet + cbam", "against test_efficientnet → xgboost", "against test_resnet → xgboost",
    ]  # fmt: skip
    assert facts["networks"][0]["n"] == 4
    assert 0 < facts["networks"][0]["mean_share_inside"] < 1
    assert [about["name"] for about in facts["sanity"]] == [one["name"] for one in facts["networks"]]
    steps = facts["sanity"][0]["steps"]
    assert [step["random"] for step in steps][:2] == ["classifier", "attention"]
    assert all((step["rank_correlation"] is None) == (step["n"] == 0) for step in steps)
    with (tmp_path / "out" / "explanations.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    chosen = set(facts["chosen"]["random"]) | set(facts["chosen"]["worst"])
    assert len(rows) == 3 * len(chosen)
    assert {row["sample"] for row in rows} == chosen
    assert all(0 < float(row["cell_share"]) < 1 for row in rows)
    assert {row["pointing"] for row in rows} <= {"0", "1", ""}


def test_every_model_answers_for_itself(models: dict[str, Model], cells: Manifest, tmp_path: Path) -> None:
    """Beside a map of another model stands what that model says, for the class that the first one predicts."""
    explain(models["network"], cells, tmp_path / "out", Wish(count=4, how=CPU), against=models["head"])
    with (tmp_path / "out" / "explanations.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    shown = list(dict.fromkeys(row["sample"] for row in rows))
    assert len(rows) == 3 * len(shown)
    # the same images at once: a tree may ask just there where a row of training is, within rounding
    some = cells.take([cells.sample.index(sample) for sample in shown])
    first, other = (models[name].predict(some, **CPU) for name in ("network", "head"))
    assert (first.y_pred != other.y_pred).any()
    place = {sample: number for number, sample in enumerate(shown)}
    for row in rows:
        number, table = place[row["sample"]], other if row["network"].startswith("against") else first
        assert row["explained"] == first.y_pred[number]
        assert row["predicted"] == table.y_pred[number]
        column = table.classes.index(row["explained"])
        assert float(row["probability"]) == pytest.approx(float(table.proba[number, column]), abs=1e-6)


def test_nothing_in_common_is_no_comparison(models: dict[str, Model], cells: Manifest, tmp_path: Path) -> None:
    stranger = replace(models["head"], classes=("Benign", "Pro"))
    with pytest.raises(UsageError, match="no class in common"):
        explain(models["network"], cells, tmp_path / "out", Wish(how=CPU), against=stranger)


def test_progress_reaches_its_end(models: dict[str, Model], cells: Manifest, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    wish = Wish(count=1, how=CPU)
    explain(models["network"], cells, tmp_path, wish, explaining=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]


def test_the_choice_is_by_chance_and_by_loss(models: dict[str, Model], cells: Manifest) -> None:
    """The same seed draws the same; the worst are the labelled images with the smallest probability of their class."""
    table = models["network"].predict(cells, **CPU)
    one, again, other = (choose(table, 5, seed) for seed in (0, 0, 1))
    assert one == again
    assert one["random"] != other["random"]
    assert one["worst"] == other["worst"]
    p = table.proba[np.arange(48), [table.classes.index(name) for name in table.y_true]]
    assert sorted(p[one["worst"]]) == pytest.approx(sorted(p)[:5])
    unlabelled = replace(table, y_true=np.full(48, ""))
    assert set(choose(unlabelled, 5, 0)) == {"random"}


def test_the_same_call_writes_the_same_maps(models: dict[str, Model], cells: Manifest, tmp_path: Path) -> None:
    """And replaces its own files, but nobody else's."""
    wish = Wish(count=3, how=CPU)
    explain(models["network"], cells, tmp_path / "out", wish)
    first = (tmp_path / "out" / "explanations.csv").read_text()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    explain(models["network"], cells, tmp_path / "out", wish)
    assert (tmp_path / "out" / "explanations.csv").read_text() == first
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="holds something else"):
        explain(models["network"], cells, tmp_path / "foreign", wish)


def test_a_class_can_be_asked_for(models: dict[str, Model], cells: Manifest, tmp_path: Path) -> None:
    told = explain(models["head"], cells, tmp_path / "out", Wish(count=3, class_name="HEM", how=CPU))
    with told.written[-2].open() as stream:
        assert {row["explained"] for row in csv.DictReader(stream)} == {"HEM"}
    with pytest.raises(UnknownNameError, match="class 'Blast'"):
        explain(models["head"], cells, tmp_path / "other", Wish(class_name="Blast", how=CPU))


def test_what_cannot_be_explained_says_so(models: dict[str, Model], cells: Manifest, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--count 0"):
        Wish(count=0)
    with pytest.raises(UnknownNameError, match="layer"):
        explain(models["network"], cells, tmp_path / "a", Wish(layer="blocks.99", how=CPU))
    foreign = replace(cells, label=tuple("Benign" if x == "HEM" else x for x in cells.label))
    with pytest.raises(PredictionsError, match="--ignore-labels"):
        explain(models["network"], foreign, tmp_path / "b", Wish(how=CPU))
    told = explain(models["network"], foreign, tmp_path / "b", Wish(count=2, ignore_labels=True, how=CPU))
    assert list(told.facts["chosen"]) == ["random"]


@pytest.fixture
def predicts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails where images are predicted: that may take an hour."""

    def predict(*_: object, **__: object) -> None:
        pytest.fail("images were predicted first")

    monkeypatch.setattr(Model, "predict", predict)


@pytest.mark.usefixtures("predicts_nothing")
def test_a_wrong_request_is_refused_at_once(models: dict[str, Model], cells: Manifest, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"layer 'blocks\.99'"):
        explain(models["together"], cells, tmp_path / "out", Wish(layer="blocks.99", how=CPU))
    with pytest.raises(UnknownNameError, match="layer 'layer4'"):  # the first network has none of that name
        explain(models["head"], cells, tmp_path / "out", Wish(layer="layer4", how=CPU))
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="holds something else"):
        explain(models["network"], cells, tmp_path, Wish(how=CPU))


@pytest.mark.usefixtures("predicts_nothing")
def test_neighbours_are_refused_before_anything_is_drawn(cells: Manifest, tmp_path: Path) -> None:
    candidate = HeadOnFeatures((TINY,), TunedHead("knn", n_trials=0), FeatureStore(tmp_path / "cache"))
    model = load(save_bundle(tmp_path / "knn", candidate.fit_all(cells).kept, candidate.describe(), cells))
    with pytest.raises(HeadError, match="neither decision paths nor a gradient"):
        explain(model, cells, tmp_path / "out", Wish(how=CPU))
    assert not (tmp_path / "out" / "random.png").exists()
