"""A loaded model says what it said before it was saved, to the last bit, and says no more than it knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from leukfeat.backbones.finetune import ClassifierSpec
from leukfeat.backbones.network_files import load_network, save_network, with_classifier
from leukfeat.backbones.resolution import resolve
from leukfeat.backbones.spec import BackboneSpec, Preprocess
from leukfeat.data.exposure import Seen
from leukfeat.data.manifest import Manifest
from leukfeat.data.splits import SplitPlan
from leukfeat.errors import MissingImagesError, PredictionsError, RunError, UnknownNameError
from leukfeat.evaluation.ensembles import EnsembleRule
from leukfeat.experiments.bundle import save_bundle
from leukfeat.experiments.candidates import HeadOnFeatures, everything
from leukfeat.experiments.ensembles import Ensemble
from leukfeat.experiments.forwarding import Forwarding
from leukfeat.experiments.kept import Kept
from leukfeat.experiments.model import Model
from leukfeat.experiments.networks import EndToEnd
from leukfeat.experiments.prediction import load
from leukfeat.features.store import FeatureStore
from leukfeat.features.table import Features
from leukfeat.heads.tuning import TunedHead

TINY = BackboneSpec("test_efficientnet", "random", preprocess=Preprocess(48))
TUNED = {"epochs": 1, "batch_size": 16, "lr": 0.01, "validation": 0.25}
CPU = {"device": "cpu", "num_workers": 1}


def head_on(store: Path, *specs: BackboneSpec, head: str = "logistic", amp_dtype: str | None = None) -> HeadOnFeatures:
    return HeadOnFeatures(
        specs, TunedHead(head, n_trials=0), FeatureStore(store), forwarding=Forwarding(amp_dtype=amp_dtype)
    )


def end_to_end(store: Path, **changes: Any) -> EndToEnd:
    return EndToEnd(TINY.replace(finetune=TUNED, **changes), FeatureStore(store))


OTHER = BackboneSpec("test_resnet", "random", layer="layer2", preprocess=Preprocess(32))
BLOCKS = TINY.replace(attention={"name": "cbam", "after": "blocks"}, views="flips")
CANDIDATES: dict[str, Callable[[Path], Any]] = {
    "frozen": lambda store: head_on(store, TINY),
    "boosted": lambda store: head_on(store, TINY, head="xgboost"),
    "half precision": lambda store: head_on(store, TINY, amp_dtype="bfloat16"),
    "attention": lambda store: head_on(store, BLOCKS),
    "side by side": lambda store: head_on(store, TINY, OTHER),
    "statistics": lambda store: head_on(store, TINY.replace(preprocess=Preprocess(48, mean="train", std="train"))),
    "fine-tuned": lambda store: head_on(store, TINY.replace(attention="eca", finetune=TUNED)),
    "network": lambda store: end_to_end(store, attention="saeed"),
    "mean": lambda store: Ensemble((head_on(store, TINY), end_to_end(store)), EnsembleRule("mean")),
    "stacking": lambda store: Ensemble(
        (head_on(store, TINY), head_on(store, TINY, head="tree")), EnsembleRule("stacking")
    ),
}


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"))
        if kind == "half precision"
        else kind
        for kind in CANDIDATES
    ],
)
def test_predictions_of_a_loaded_bundle_equal_those_before_saving(kind: str, cells: Manifest, tmp_path: Path) -> None:
    """On one processor and with one batch size there is nothing that may differ, so nothing does."""
    candidate = CANDIDATES[kind](tmp_path / "cache")
    rows = np.arange(len(cells))
    fitted = candidate.fit(cells, replace(everything(candidate, cells), test=rows))
    before = fitted.predict_proba(cells, rows)
    model = load(save_bundle(tmp_path / "model", fitted.kept, candidate.describe(), cells))
    np.testing.assert_array_equal(model.probabilities(cells, rows, **CPU), before)
    assert model.classes == ("ALL", "HEM")
    assert model.positive == "ALL"
    assert model.takes_images
    assert model.parameters > 0
    assert model.macs > 0


def untrained(folder: Path, spec: BackboneSpec = TINY, classes: tuple[str, ...] = ("ALL", "HEM")) -> Kept:
    """A network with a classifier that nobody has trained, as a trained one is kept."""
    resolution, classifier = resolve(spec), ClassifierSpec()
    network = load_network(spec, resolution).network
    model = with_classifier(network, resolution.inputs.size, len(classes), classifier, seed=1)
    file = save_network(
        model, folder / "net.safetensors", resolution=resolution, seen=Seen(), classes=classes, classifier=classifier
    )
    return Kept(classes, network=file)


@pytest.fixture
def model(cells: Manifest, tmp_path: Path) -> Model:
    """An untrained network that claims to be trained on half of the cells."""
    seen = cells.take(range(24))
    return load(save_bundle(tmp_path / "model", untrained(tmp_path), {}, seen))


def test_a_manifest_is_scored_and_training_images_are_counted(model: Model, cells: Manifest) -> None:
    table = model.predict(cells, **CPU)
    assert len(table) == 48
    assert table.n_seen == 24
    np.testing.assert_array_equal(table.seen, np.arange(48) < 24)
    accuracy = float((table.y_pred == np.array(cells.label)).mean())
    assert table.scores()["accuracy"].value == pytest.approx(accuracy)
    assert table.scores()["sensitivity"].defined, "the positive class travels in the bundle"


def test_images_need_no_labels(model: Model, cells: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    table = model.predict([cells.file(row) for row in range(3)], **CPU)
    expected = model.probabilities(cells, range(3), **CPU)
    np.testing.assert_array_equal(table.proba, expected)
    assert table.scores() == {}


def test_an_image_that_cannot_be_read_stops_nothing(model: Model, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    Image.new("RGB", (48, 48), (90, 30, 120)).save(folder / "good.png")
    (folder / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    table = model.predict(folder, **CPU)
    assert table.sample.tolist() == ["good.png"]
    ((sample, reason),) = table.failed
    assert (sample, "damaged" in reason) == ("bad.png", True)
    (folder / "good.png").unlink()
    with pytest.raises(MissingImagesError, match=r"none of 1 image\(s\) could be read"):
        model.predict(folder, **CPU)


def test_labels_of_another_data_set_are_refused_before_any_work(
    model: Model, cells: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = replace(cells, label=tuple("Benign" if x == "HEM" else x for x in cells.label))
    monkeypatch.setattr(Model, "outputs", lambda *_: pytest.fail("the network ran"))
    with pytest.raises(PredictionsError, match=r"labels ALL, Benign are not the classes of this model.*ALL, HEM"):
        model.predict(foreign, **CPU)
    monkeypatch.undo()
    assert model.predict(foreign, ignore_labels=True, **CPU).scores() == {}


def test_a_head_on_given_features_says_that_it_takes_no_images(cells: Manifest, tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(len(cells), 4)).astype(np.float32)
    candidate = HeadOnFeatures((), TunedHead("tree", n_trials=0), features=Features(X, cells.sample, Seen(), {}))
    fitted = candidate.fit(cells, SplitPlan.grouped(cells, 2).folds[0])
    model = load(save_bundle(tmp_path / "model", fitted.kept, candidate.describe(), cells))
    assert not model.takes_images
    with pytest.raises(RunError, match="features from elsewhere"):
        model.predict(cells)
    assert model.head is not None
    np.testing.assert_array_equal(model.head.predict_proba(X), fitted.head.predict_proba(X))


def test_members_need_not_know_the_same_classes(cells: Manifest, tmp_path: Path) -> None:
    """A class that a member has never met has probability 0 there."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    three = untrained(tmp_path / "a", classes=("ALL", "AML", "HEM"))
    two = untrained(tmp_path / "b")
    kept = Kept(("ALL", "AML", "HEM"), members=(three, two), rule=EnsembleRule("mean").fit())
    model = load(save_bundle(tmp_path / "model", kept, {}, cells))
    proba = model.probabilities(cells, range(4), **CPU)
    first, second = (member.probabilities(cells, range(4), **CPU) for member in model.members)
    np.testing.assert_allclose(proba[:, 1], first[:, 1] / 2)
    np.testing.assert_allclose(proba[:, 0], (first[:, 0] + second[:, 0]) / 2)


def test_precision_is_asked_for_by_name(model: Model, cells: Manifest) -> None:
    whole = model.probabilities(cells, range(4), **CPU)
    np.testing.assert_array_equal(model.probabilities(cells, range(4), amp_dtype="none", **CPU), whole)
    assert (model.probabilities(cells, range(4), amp_dtype="bfloat16", **CPU) != whole).any()
    with pytest.raises(UnknownNameError, match="amp dtype 'bf16'"):
        model.probabilities(cells, range(4), amp_dtype="bf16", **CPU)


def test_what_is_not_finite_is_a_failure_and_not_a_prediction(
    model: Model, cells: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = model.networks[0].model
    network.classifier.last.bias.fill_(float("nan"))  # type: ignore[union-attr]
    with pytest.raises(MissingImagesError, match="NaN"):
        model.predict(cells, **CPU)
