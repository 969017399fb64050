"""Mean and standard deviation of training images: preprocessing that has to be learned inside the fold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from leukfeat.backbones.resolution import resolve
from leukfeat.backbones.spec import TRAIN, BackboneSpec
from leukfeat.backbones.stream import ImageWork, arranged_images, default_workers
from leukfeat.data.manifest import Manifest
from leukfeat.errors import ManifestError


def fitted_to(
    spec: BackboneSpec,
    manifest: Manifest,
    rows: Sequence[int] | NDArray[np.int64],
    *,
    folder: Path | None = None,
    num_workers: int | None = None,
) -> BackboneSpec:
    """Replace ``"train"`` by the mean and SD of training images, after resizing and cropping.

    Sums are kept in whole numbers, so the answer depends neither on the order of the rows nor on the number of
    threads. Images that cannot be read are left out; identical ones count as often as they stand there.

    Parameters
    ----------
    spec : BackboneSpec
        Returned as it is where nothing is to be learned.
    manifest : Manifest
        The data.
    rows : sequence of int
        The training rows, and no others.
    folder : Path or None
        Where resolutions are remembered (:attr:`leukfeat.features.store.FeatureStore.resolved`).
    num_workers : int or None
        Threads that decode.

    Returns
    -------
    BackboneSpec
        With numbers, in the units of its ``scale``.

    Raises
    ------
    ManifestError
        None of the images can be read.
    """
    preprocess = spec.preprocess
    if not preprocess.unfitted:
        return spec
    inputs = resolve(spec, folder).inputs
    total, squares, pixels = np.zeros(3, np.int64), np.zeros(3, np.int64), 0
    workers = num_workers or default_workers()
    work = (ImageWork(manifest.sha256[row], (int(row),)) for row in rows)
    for result in arranged_images(manifest, work, inputs, workers, 4 * workers):
        if result.image is None:
            continue
        values = result.image.reshape(-1, 3).astype(np.int64)  # (H, W, 3) -> (H * W, 3)
        total += values.sum(axis=0)
        squares += (values * values).sum(axis=0)
        pixels += len(values)
    if not pixels:
        raise ManifestError(f"{manifest.dataset}: none of {len(rows)} training images can be read; no mean to learn")
    unit = 255.0 if preprocess.scale == "unit" else 1.0
    mean = total / pixels
    # the variance from whole numbers first: n·Σx² and (Σx)² are near one another
    spread = [float(pixels * int(square) - int(sum_) ** 2) for square, sum_ in zip(squares, total, strict=True)]
    std = np.maximum(np.sqrt(spread) / pixels, 1.0 / 255)  # a channel of one value only shall not divide by nothing
    learned = {"mean": tuple((mean / unit).tolist()), "std": tuple((std / unit).tolist())}
    return spec.replace(
        preprocess=preprocess.replace(
            **{name: value for name, value in learned.items() if getattr(preprocess, name) == TRAIN}
        )
    )
