"""Every engine gives PyTorch's vectors, whatever the network, the batch or the way of asking."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from leukfeat.backbones.attention_spec import AttentionSpec
from leukfeat.backbones.engines import ENGINES, Engine, open_engine
from leukfeat.backbones.engines.agreement import lowest_cosine
from leukfeat.backbones.finetune import ClassifierSpec
from leukfeat.backbones.inputs import Inputs
from leukfeat.backbones.network import Network
from leukfeat.backbones.network_files import load_network, with_classifier
from leukfeat.backbones.resolution import resolve
from leukfeat.backbones.spec import BackboneSpec, Preprocess

EXPORTING = ("onnxruntime", "openvino")
COMPILE = pytest.param("compile", marks=pytest.mark.slow)
CPU = torch.device("cpu")


def skip_unless_installed(name: str) -> None:
    if ENGINES[name].missing:
        pytest.skip(f"{', '.join(ENGINES[name].missing)} not installed")


def test_names_are_those_of_the_table() -> None:
    assert all(name == spec.name for name, spec in ENGINES.items())


@pytest.mark.parametrize("name", ["eager", *EXPORTING, COMPILE])
def test_an_engine_agrees_with_pytorch_however_it_is_asked(
    name: str, opened: Callable[..., Engine], images: NDArray[np.uint8], network: Network, inputs: Inputs
) -> None:
    with torch.inference_mode():
        expected = network(inputs.normalise(images, CPU)).numpy()
    engine = opened(name)
    assert engine.name == name
    assert name in engine.details
    whole = engine.embed(images)
    assert whole.dtype == np.float32
    assert lowest_cosine(whole, expected) >= 0.99999
    np.testing.assert_allclose(whole, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    streamed = list(engine.stream(iter([images[:4], images[4:5], images[5:]])))
    assert [len(batch) for batch in streamed] == [4, 1, 4]
    np.testing.assert_allclose(np.concatenate(streamed), whole, rtol=1e-4, atol=1e-5 * np.abs(whole).max())


@pytest.mark.parametrize("name", EXPORTING)
def test_a_stream_can_be_left_and_another_one_begun(
    name: str, opened: Callable[..., Engine], images: NDArray[np.uint8]
) -> None:
    # an interrupted extraction, or a look at one image in the middle of another stream
    engine = opened(name)
    whole = engine.embed(images)
    stream = engine.stream(images[at : at + 2] for at in range(0, 8, 2))
    np.testing.assert_array_equal(next(stream), whole[:2])
    np.testing.assert_array_equal(engine.embed(images[8:]), whole[8:])
    np.testing.assert_array_equal(next(stream), whole[2:4])
    stream.close()
    np.testing.assert_array_equal(engine.embed(images), whole)


@pytest.mark.parametrize("name", ["eager", *EXPORTING])
def test_a_batch_is_whole_when_it_is_given(name: str, opened: Callable[..., Engine], images: NDArray[np.uint8]) -> None:
    """Also where the next batch is smaller: rows that are filled later are not those the caller has written."""
    engine = opened(name)
    whole = engine.embed(images)
    given = [batch.copy() for batch in engine.stream([images[:6], images[6:7], images[7:]])]
    np.testing.assert_allclose(np.concatenate(given), whole, rtol=1e-4, atol=1e-5 * np.abs(whole).max())


@pytest.mark.parametrize("name", EXPORTING)
def test_a_vector_does_not_depend_on_the_other_images(
    name: str, opened: Callable[..., Engine], images: NDArray[np.uint8]
) -> None:
    # to the last bit, since an exported network takes one image at a time
    engine = opened(name)
    whole = engine.embed(images)
    np.testing.assert_array_equal(engine.embed(images[3:4])[0], whole[3])
    np.testing.assert_array_equal(engine.embed(images[::-1])[::-1], whole)


@pytest.mark.slow
@pytest.mark.parametrize(("backbone", "size"), [("efficientnet_b0", 64), ("inception_v3", 96), ("densenet201", 64)])
def test_engines_agree_on_the_papers_backbones(backbone: str, size: int, tmp_path: Path) -> None:
    spec = BackboneSpec(backbone, "random", preprocess=Preprocess(input_size=size, crop="none"))
    resolution = resolve(spec)
    network = load_network(spec, resolution).network
    images = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    with torch.inference_mode():
        expected = network(resolution.inputs.normalise(images, CPU)).numpy()
    for name in ("eager", *EXPORTING):
        if ENGINES[name].available():
            engine = open_engine(name, network, resolution.inputs, CPU, identity=backbone, models=tmp_path)
            assert lowest_cosine(engine.embed(images), expected) >= 0.99999, name
    assert len(list(tmp_path.iterdir())) == 1, "engines share what was exported"


def test_bfloat16_agrees_nearly(opened: Callable[..., Engine], images: NDArray[np.uint8]) -> None:
    exact, half = opened("eager").embed(images), opened("eager", "bfloat16").embed(images)
    assert half.dtype == np.float32
    assert not np.array_equal(half, exact)
    assert lowest_cosine(half, exact) >= 0.999


NETWORKS: dict[str, dict[str, object]] = {
    "attention after every stage": {"attention": AttentionSpec(name="cbam", after="blocks")},
    "attention that gives a vector": {"attention": AttentionSpec(name="saeed")},
    "an earlier layer": {"layer": "blocks.1", "pooling": "bilinear"},
    "views": {"views": "rotations-8"},
    "a transformer": {"name": "test_vit", "pooling": "cls"},
}


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow if kind == "views" else ()) for kind in NETWORKS]
)
def test_whatever_stands_in_a_network_is_exported_with_it(kind: str, images: NDArray[np.uint8]) -> None:
    skip_unless_installed("openvino")
    usual = {"name": "test_efficientnet", "preprocess": Preprocess(input_size=32, crop="none")}
    spec = BackboneSpec(weights="random", **{**usual, **NETWORKS[kind]})  # type: ignore[arg-type]
    resolution = resolve(spec)
    network = load_network(spec, resolution).network
    with torch.inference_mode():
        expected = network(resolution.inputs.normalise(images, CPU)).numpy()
    found = open_engine("openvino", network, resolution.inputs, CPU).embed(images)
    assert lowest_cosine(found, expected) >= 0.99999


def test_logits_of_a_network_with_a_classifier(network: Network, inputs: Inputs, images: NDArray[np.uint8]) -> None:
    skip_unless_installed("openvino")
    model = with_classifier(network, inputs.size, 3, ClassifierSpec(), seed=1).eval()
    with torch.inference_mode():
        expected = model(inputs.normalise(images, CPU)).numpy()
    found = open_engine("openvino", model, inputs, CPU).embed(images)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_nothing_heavy_is_imported_to_list_engines() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from leukfeat.backbones.engines import ENGINES; [spec.described for spec in ENGINES.values()];"
        "print([name for name in ('torch', 'openvino', 'onnxruntime') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
