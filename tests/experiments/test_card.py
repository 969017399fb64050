"""A model card says what is known, with every caveat, and invents nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from leukfeat.backbones.spec import BackboneSpec, Preprocess
from leukfeat.data.manifest import Manifest
from leukfeat.data.splits import SplitPlan
from leukfeat.evaluation.crossval import cross_validate
from leukfeat.experiments.bundle import read_bundle, save_bundle
from leukfeat.experiments.candidates import HeadOnFeatures
from leukfeat.experiments.card import model_card
from leukfeat.features.store import FeatureStore
from leukfeat.heads.tuning import TunedHead

TINY = BackboneSpec("test_efficientnet", "random", attention="eca", preprocess=Preprocess(32))


@pytest.fixture(scope="module")
def folder(cells: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with an image-level evaluation."""
    place = tmp_path_factory.mktemp("card")
    candidate = HeadOnFeatures(TINY, TunedHead("tree", n_trials=0), FeatureStore(place / "cache"))
    run = cross_validate(candidate, cells, SplitPlan.per_image(cells, 2))
    run = replace(run, notes=(*run.notes, "a note of the run"))
    return save_bundle(place / "model", candidate.fit_all(cells).kept, candidate.describe(), cells, run)


@pytest.fixture
def facts(folder: Path) -> dict[str, Any]:
    return read_bundle(folder)[1]


def test_the_card_of_the_bundle_is_written_from_its_facts(folder: Path, facts: dict[str, Any]) -> None:
    assert (folder / "MODEL_CARD.md").read_text() == model_card(facts)


@pytest.mark.parametrize(
    "words",
    [
        "Not for diagnosis",
        "Positive class: ALL.",
        "No threshold was chosen",
        "48 labelled images (24 ALL, 24 HEM)",
        "12 subjects (6 with ALL, 6 with HEM)",
        "32 × 32 pixels",
        "attention name eca",
        "Head: tree on the embedding",
        "nothing keeps subjects apart",
        "**image-level: optimistic**",
        "**a note of the run**",
        "Not audited.",
        "Data: not known; ask its owner.",
        "random, so nobody's",
        "AML",
        "torch ",
    ],
)
def test_the_card_says(words: str, facts: dict[str, Any]) -> None:
    assert words in model_card(facts)


def test_the_figures_are_those_of_the_evaluation(facts: dict[str, Any]) -> None:
    assert f"accuracy {facts['evaluation']['by_image']['accuracy']:.4f}" in model_card(facts)


def test_what_nobody_knows_is_said_to_be_unknown(facts: dict[str, Any]) -> None:
    unknown = {"subjects_known": False, "subjects": None, "subjects_digest": None, "subjects_by_class": {}}
    network = {**facts["model"]["networks"][0], "began_as": None, "began_random": False, "seen_unknown": True}
    changed = {
        **facts,
        "positive": None,
        "data": {**facts["data"], **unknown},
        "evaluation": None,
        "model": {**facts["model"], "networks": [network]},
    }
    card = model_card(changed)
    for words in ("Subjects unknown.", "None was given", "No class is stated", "(not known): not known",
                  "were trained on is unknown"):  # fmt: skip
        assert words in card
    assert "None (" not in card


def test_licences_of_known_data_sets_and_weights_are_named(facts: dict[str, Any]) -> None:
    network = {**facts["model"]["networks"][0], "began_as": "vgg16", "began_random": False, "licence": "bsd-3-clause"}
    data = {**facts["data"], "licence": "CC BY"}
    card = model_card({**facts, "data": data, "model": {**facts["model"], "networks": [network]}})
    assert "Data: CC BY." in card
    assert "(vgg16): bsd-3-clause." in card
