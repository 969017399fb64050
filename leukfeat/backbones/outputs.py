"""What a network says about images: embeddings or logits, batch by batch, without a store."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from leukfeat.backbones.engines import ENGINES, choose_device
from leukfeat.backbones.inputs import Inputs
from leukfeat.backbones.network import ClassifyingNetwork, Network
from leukfeat.backbones.stream import ImageWork, arranged_images, default_workers
from leukfeat.data.manifest import Manifest


def outputs_of(
    model: Network | ClassifyingNetwork,
    inputs: Inputs,
    manifest: Manifest,
    rows: Sequence[int] | NDArray[np.int64],
    *,
    device: str = "auto",
    amp_dtype: str | None = None,
    batch_size: int = 32,
    num_workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[NDArray[np.float32], dict[int, str]]:
    """Run images through a network.

    Parameters
    ----------
    model : Network or ClassifyingNetwork
        (B, 3, H, W) -> (B, d): an embedding, or logits.
    inputs : Inputs
        How images become its input.
    manifest : Manifest
        The images.
    rows : sequence of int
        Rows wanted.
    device, amp_dtype, batch_size, num_workers
        How the forward pass runs.
    progress : callable(done, total) or None
        Called after every batch.

    Returns
    -------
    ndarray of shape (len(rows), d), float32
        In the order of ``rows``; NaN where an image cannot be read.
    dict of int to str
        Rows without output, with the reason.
    """
    workers = num_workers or default_workers()
    engine = ENGINES["eager"](model, inputs, choose_device(device), amp_dtype or "fp32")
    work = (ImageWork(manifest.sha256[row], (int(row),)) for row in rows)
    results = arranged_images(manifest, work, inputs, workers, 2 * batch_size + workers)
    failed: dict[int, str] = {}
    found: list[tuple[int, NDArray[np.float32]]] = []
    done = 0
    while batch := list(itertools.islice(results, batch_size)):
        good = [(place, r.image) for place, r in enumerate(batch, start=done) if r.image is not None]
        if good:
            output = engine.embed(np.stack([image for _, image in good]))
            found += zip((place for place, _ in good), output, strict=True)
        for result in batch:
            failed |= dict(result.failed)
        done += len(batch)
        if progress is not None:
            progress(done, len(rows))
    whole = np.full((len(rows), len(found[0][1]) if found else 0), np.nan, dtype=np.float32)
    for place, vector in found:
        whole[place] = vector
    return whole, failed
