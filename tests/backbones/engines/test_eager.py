"""A forward pass gives the same vectors wherever it runs; half precision gives nearly the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from leukfeat.backbones.engines import open_engine
from leukfeat.backbones.engines.agreement import lowest_cosine
from leukfeat.backbones.network_files import load_network
from leukfeat.backbones.resolution import resolve
from leukfeat.backbones.spec import BackboneSpec

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@needs_gpu
@pytest.mark.parametrize(("precision", "cosine"), [("fp32", 0.99999), ("bfloat16", 0.999), ("float16", 0.999)])
def test_a_gpu_agrees_with_the_cpu(precision: str, cosine: float) -> None:
    spec = BackboneSpec("efficientnet_b0", weights="random")
    resolution = resolve(spec)
    images = np.random.default_rng(0).integers(0, 256, size=(4, *resolution.inputs.size, 3), dtype=np.uint8)

    def embed(device: str, precision: str) -> np.ndarray:
        network = load_network(spec, resolution).network
        return open_engine("eager", network, resolution.inputs, torch.device(device), precision).embed(images)

    on_cpu, on_gpu = embed("cpu", "fp32"), embed("cuda", precision)
    assert on_gpu.dtype == np.float32
    assert lowest_cosine(on_gpu, on_cpu) >= cosine
