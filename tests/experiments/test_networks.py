"""Networks trained inside folds: end to end, and as encoders of a head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leukfeat.backbones.finetune import FineTune
from leukfeat.backbones.spec import BackboneSpec, Preprocess
from leukfeat.data.exposure import Seen
from leukfeat.data.manifest import Manifest
from leukfeat.data.splits import SplitPlan
from leukfeat.errors import LeakageError, LeukfeatError, MissingImagesError, UsageError
from leukfeat.evaluation.crossval import cross_validate
from leukfeat.evaluation.runs import Run
from leukfeat.experiments.candidates import HeadOnFeatures
from leukfeat.experiments.encoders import Encoders
from leukfeat.experiments.networks import EndToEnd
from leukfeat.experiments.run import run
from leukfeat.experiments.stages import Watcher, extract_recipe
from leukfeat.features.extraction import load_features
from leukfeat.features.store import TRAINED, FeatureStore
from leukfeat.heads.tuning import TunedHead

TINY = BackboneSpec("test_efficientnet", "random", preprocess=Preprocess(input_size=32))


def tuned(**settings: Any) -> BackboneSpec:
    return TINY.replace(finetune=FineTune(**{"epochs": 1, "batch_size": 8, **settings}))


def head(**settings: Any) -> TunedHead:
    return TunedHead("logistic", n_trials=2, inner_folds=2, params={"reduction": "none"}, **settings)


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "cache")


@pytest.fixture
def plan(cells: Manifest) -> SplitPlan:
    return SplitPlan.grouped(cells, 2, seed=0)


@pytest.mark.parametrize("way", ["unseen", "all"])
def test_an_encoder_is_trained_on_training_subjects_only(
    way: str, cells: Manifest, plan: SplitPlan, store: FeatureStore
):
    """The law of the whole toolkit: what a fold's test subjects look like is unknown to all that is learned."""
    encoders = Encoders((tuned(head_trains_on=way, unseen_share=0.7, validation=0),), store)
    for fold in plan.folds:
        encoded = encoders.encode(cells, fold)
        (weights,) = encoded.specs
        from leukfeat.backbones.weights import read_header

        seen = read_header(weights.file).seen
        assert seen.images, "the file itself says what trained it"
        assert not seen.images & Seen.of_rows(cells, fold.test).images
        assert not seen.groups & Seen.of_rows(cells, fold.test).groups
        assert seen.images <= Seen.of_rows(cells, fold.train).images
        learned_by_head = Seen.of_rows(cells, encoded.fold.train)
        if way == "unseen":
            assert not seen.groups & learned_by_head.groups, "the head's subjects are new to the encoder"
        else:
            assert learned_by_head.groups == Seen.of_rows(cells, fold.train).groups


def test_features_of_one_fold_offered_to_another_are_refused(cells: Manifest, plan: SplitPlan, store: FeatureStore):
    first = Encoders((tuned(head_trains_on="all"),), store).encode(cells, plan.folds[0])
    (weights,) = first.specs
    everywhere = HeadOnFeatures(weights, head(), store)  # a fine-tuned file given back as frozen weights
    with pytest.raises(LeakageError, match="took part in training"):
        cross_validate(everywhere, cells, plan)
    everything = HeadOnFeatures((), head(), features=load_features_of_all(weights, cells, store))
    with pytest.raises(LeakageError, match="took part in training"):
        cross_validate(everything, cells, plan)


def load_features_of_all(spec: BackboneSpec, cells: Manifest, store: FeatureStore) -> Any:
    from leukfeat.features.extraction import extract

    extract(spec, cells, store)
    return load_features(spec, cells, store)


def test_each_fold_has_its_own_encoder_and_each_its_own_features(cells: Manifest, plan: SplitPlan, store: FeatureStore):
    encoders = Encoders((tuned(head_trains_on="all"),), store)
    a, b = (encoders.encode(cells, fold) for fold in plan.folds)
    assert a.features.provenance["key"] != b.features.provenance["key"]
    sample = next(iter(set(a.features.sample_ids) & set(b.features.sample_ids)))
    assert not np.allclose(a.features.take([sample]).X, b.features.take([sample]).X)


def test_nothing_is_trained_twice(cells: Manifest, plan: SplitPlan, store: FeatureStore, monkeypatch):
    first = cross_validate(EndToEnd(tuned(), store), cells, plan)
    monkeypatch.setattr("leukfeat.backbones.training.train", lambda *_a, **_k: pytest.fail("trained again"))
    again = cross_validate(EndToEnd(tuned(), store), cells, plan)
    assert np.array_equal(first.predictions.proba, again.predictions.proba)
    assert len(list((store.root / TRAINED).glob("*.safetensors"))) == 2


def test_a_change_of_training_or_of_labels_is_another_network(cells: Manifest, plan: SplitPlan, store: FeatureStore):
    from dataclasses import replace

    fold = plan.folds[0]
    EndToEnd(tuned(), store).fit(cells, fold)
    EndToEnd(tuned(lr=1e-5), store).fit(cells, fold)
    swapped = {"ALL": "HEM", "HEM": "ALL"}
    other = replace(cells, label=tuple(swapped[name] for name in cells.label))
    EndToEnd(tuned(), store).fit(other, fold)
    assert len(list((store.root / TRAINED).glob("*.safetensors"))) == 3


def test_test_labels_change_no_prediction(cells: Manifest, plan: SplitPlan, tmp_path: Path):
    """What is to be told about the test part never reaches the network."""
    from dataclasses import replace

    fold = plan.folds[0]
    mean = Preprocess(input_size=32, mean="train", std="train")
    spec = tuned().replace(preprocess=mean)
    label = list(cells.label)
    for row in fold.test:
        label[row] = {"ALL": "HEM", "HEM": "ALL"}[label[row]]
    changed = replace(cells, label=tuple(label))
    proba = [
        EndToEnd(spec, FeatureStore(tmp_path / str(k))).fit(data, fold).predict_proba(data, fold.test)
        for k, data in enumerate((cells, changed))
    ]
    assert np.array_equal(*proba)


def test_frozen_tuned_and_end_to_end_stand_in_one_comparison(recipe: Any, cells: Manifest):
    base = {"name": "test_efficientnet", "weights": "random", "preprocess": {"input_size": 32}}
    training = {"epochs": 1, "batch_size": 8}
    made = recipe(
        split={"folds": 2},
        backbone=[base, {**base, "finetune": {**training, "head_trains_on": "all"}, "attention": "eca"}],
        network=[{**base, "finetune": training, "attention": "cbam"}],
    )
    folders = run(made, n_jobs=1)
    assert len(folders) == 3
    runs = [Run.load(folder) for folder in folders]
    assert len({run.split["digest"] for run in runs}) == 1
    for done in runs:
        assert done.cost["parameters"] > 0
        assert done.cost["macs"] > 0
        assert done.cost["ms_per_cell"] > 0
    end = runs[2]
    assert end.folds[0]["trained"][0]["seconds"] > 0
    assert "history" not in end.folds[0]["trained"][0], "histories have files of their own"
    names = {path.name for path in (folders[2] / "training").iterdir()}
    assert names == {f"{fold}.{kind}" for fold in ("r0-f0", "r0-f1", "kept") for kind in ("csv", "svg")}
    from leukfeat.reports.comparison import compare

    told = "\n".join(compare(runs).lines())
    assert "end-to-end" in told


def test_a_recipe_written_out_is_the_same_recipe(recipe: Any, tmp_path: Path):
    from leukfeat.experiments.recipe import load_recipe

    made = recipe(
        backbone={
            "name": "vgg16",
            "weights": "random",
            "attention": {"name": "eca", "after": "blocks", "kernel_size": 9},
        },
        network={"name": "resnet18", "finetune": {"epochs": 2, "lr_of": {"layer1": 1e-5}, "augment": {"rotate": 45}}},
    )
    again = load_recipe(made.save(tmp_path / "again.yaml"))
    assert again == made
    assert again.network[0].finetune.lr_of == (("layer1", 1e-5),)


def test_a_misspelt_setting_of_training_is_named(recipe: Any):
    with pytest.raises(LeukfeatError, match="epoch"):
        recipe(network={"name": "resnet18", "finetune": {"epoch": 2}})
    with pytest.raises(LeukfeatError, match=r"attention 'ecaa' is not known; did you mean 'eca'\?"):
        recipe(network={"name": "resnet18", "attention": "ecaa", "finetune": {"epochs": 2}})


def test_extract_trains_on_every_fold_of_the_split(recipe: Any, tmp_path: Path):
    lines: list[str] = []
    backbone = {"name": "test_efficientnet", "weights": "random", "preprocess": {"input_size": 32}}
    made = recipe(split={"folds": 2}, backbone={**backbone, "finetune": {"epochs": 1, "head_trains_on": "all"}})
    reports = extract_recipe(made, watcher=Watcher(told=lines.append))
    assert len(reports) == 2
    assert [report.samples for report in reports] == [48, 48]
    assert len(list((tmp_path / "cache" / TRAINED).glob("*.safetensors"))) == 2
    again = extract_recipe(made, watcher=Watcher(told=lines.append))
    assert [report.computed for report in again] == [0, 0]


def test_a_network_without_training_is_refused(store: FeatureStore):
    with pytest.raises(UsageError, match="finetune"):
        EndToEnd(TINY, store)


def test_backbones_side_by_side_leave_the_same_rows_to_the_head(store: FeatureStore):
    with pytest.raises(UsageError, match="same subjects"):
        Encoders((tuned(head_trains_on="unseen"), tuned(head_trains_on="all")), store)


def test_an_unreadable_image_stops_or_is_left_out(tmp_path: Path, store: FeatureStore):
    from leukfeat.data.synthetic import synthesize
    from leukfeat.experiments.forwarding import Forwarding

    cells = synthesize(tmp_path / "cells", n_subjects=8, n_cells=2, seed=0, size=32)
    broken = cells.file(3)
    broken.write_bytes(broken.read_bytes()[:100])
    plan = SplitPlan.grouped(cells, 2, seed=0)
    with pytest.raises(MissingImagesError, match=r"1 image\(s\) could not be read"):
        cross_validate(EndToEnd(tuned(), store), cells, plan)
    done = cross_validate(EndToEnd(tuned(), store, Forwarding(skip_errors=True)), cells, plan)
    assert len(done.predictions) == 15
    assert any("1 of 16 images are missing" in note for note in done.notes)


def test_inner_predictions_of_a_network_are_the_rows_that_chose_its_epoch(
    cells: Manifest, plan: SplitPlan, store: FeatureStore
):
    """No weight was fitted on them; without such rows there are none."""
    fold = plan.folds[0]
    fitted = EndToEnd(tuned(validation=0.3), store).fit(cells, fold)
    rows, proba = fitted.inner
    assert set(rows.tolist()) < set(fold.train.tolist())
    assert not Seen.of_rows(cells, rows).images & Seen.of_rows(cells, np.setdiff1d(fold.train, rows)).images
    assert {cells.label[row] for row in rows} == {"ALL", "HEM"}
    assert np.array_equal(proba, fitted.predict_proba(cells, rows))
    assert EndToEnd(tuned(validation=0), store).fit(cells, fold).inner is None
    done = cross_validate(EndToEnd(tuned(validation=0.3), store), cells, plan)
    assert set(done.inner.of_fold(0, 0).sample.tolist()) == {cells.sample[row] for row in rows}


def test_a_network_has_no_inner_predictions_of_test_subjects(cells: Manifest, store: FeatureStore):
    """Validation by image within the test subjects chooses the epoch, as in a paper, and teaches nothing else."""
    from dataclasses import replace

    subjects = sorted(set(cells.subject))
    official = tuple("prelim" if subjects.index(name) % 3 == 0 else "fold_0" for name in cells.subject)
    manifest = replace(cells, official=official)
    plan = SplitPlan.fixed_test(manifest, "prelim", validation=0.5, validation_by="image")
    assert cross_validate(EndToEnd(tuned(), store), manifest, plan).inner is None


@pytest.mark.parametrize(("way", "validation"), [("unseen", 0), ("all", 0.3), ("all", 0)])
def test_a_head_on_a_tuned_encoder_says_whether_the_encoder_saw_its_inner_rows(
    way: str, validation: float, cells: Manifest, plan: SplitPlan, store: FeatureStore
):
    """What trained an encoder looks too easy, and so does what is calibrated on it."""
    candidate = HeadOnFeatures(tuned(head_trains_on=way, unseen_share=0.7, validation=validation), head(), store)
    fold = plan.folds[0]
    fitted = candidate.fit(cells, fold)
    assert fitted.facts["inner_seen"] is (way == "all" and validation == 0)
    from leukfeat.backbones.weights import read_header

    rows, _ = fitted.inner
    (weights,) = fitted.encoded.specs
    if way == "unseen":
        assert not read_header(weights.file).seen.images & Seen.of_rows(cells, rows).images
    assert len(rows) < len(fold.train) or fitted.facts["inner_seen"]
