"""What a network says about images: embeddings or logits, batch by batch, without a store."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from leukfeat.backbones.batches import DEFAULT_BATCH, Batches, embedded
from leukfeat.backbones.engines import choose_device, open_engine
from leukfeat.backbones.inputs import Inputs
from leukfeat.backbones.network import ClassifyingNetwork, Network
from leukfeat.backbones.stream import ImageWork, default_workers
from leukfeat.data.manifest import Manifest


def outputs_of(
    model: Network | ClassifyingNetwork,
    inputs: Inputs,
    manifest: Manifest,
    rows: Sequence[int] | NDArray[np.int64],
    *,
    device: str = "auto",
    amp_dtype: str | None = None,
    batch_size: int | None = None,
    num_workers: int | None = None,
    engine: str = "auto",
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
    device, amp_dtype, batch_size, num_workers, engine
        How the forward pass runs, as in :func:`leukfeat.features.extraction.extract`. What ``"auto"`` would have to
        export or compile first pays only for many images, since nothing of it is kept.
    progress : callable(done, total) or None
        Called after every batch.

    Returns
    -------
    ndarray of shape (len(rows), d), float32
        In the order of ``rows``; NaN where an image cannot be read.
    dict of int to str
        Rows without output, with the reason.
    """
    failed: dict[int, str] = {}
    found: list[tuple[int, NDArray[np.float32]]] = []
    done = 0
    with Batches(
        manifest,
        (ImageWork(manifest.sha256[row], (int(row),)) for row in rows),
        inputs,
        batch_size=batch_size or DEFAULT_BATCH,
        num_workers=num_workers or default_workers(),
    ) as batches:
        opened = open_engine(engine, model, inputs, choose_device(device), amp_dtype or "fp32", images=len(rows))
        batches.batch_size = batch_size or opened.batch_size or DEFAULT_BATCH
        with contextlib.closing(embedded(opened, batches)) as outputs:
            for batch, output in outputs:
                found += zip(batch.places, output, strict=True)
                failed |= dict(batch.failed)
                done += batch.asked
                if progress is not None:
                    progress(done, len(rows))
    whole = np.full((len(rows), len(found[0][1]) if found else 0), np.nan, dtype=np.float32)
    for place, vector in found:
        whole[place] = vector
    return whole, failed
