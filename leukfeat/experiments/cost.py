"""What a model to keep costs: parameters, operations, and milliseconds a cell on this machine."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leukfeat.data.manifest import Manifest
from leukfeat.experiments.environment import processor
from leukfeat.experiments.forwarding import Forwarding
from leukfeat.experiments.prediction import load

_IMAGES = 32  # timed, after one batch that is not


def cost_per_cell(model: Path, manifest: Manifest, rows: NDArray[np.int64], forwarding: Forwarding) -> dict[str, Any]:
    """Load a bundle and time it from files to probabilities.

    Parameters
    ----------
    model : Path
        The bundle.
    manifest : Manifest
        Images to predict.
    rows : ndarray of int64
        At most 32 of them are used.
    forwarding : Forwarding
        Device and batch size.

    Returns
    -------
    dict
        ``parameters`` and ``macs`` of the networks (absent where features were given), ``ms_per_cell`` with decoding,
        network and head, ``images`` and ``measured_on``. Empty where the model has no network.
    """
    loaded = load(model)
    if not loaded.takes_images:
        return {}
    rows = rows[:_IMAGES]
    how = {"device": forwarding.device, "num_workers": forwarding.num_workers}
    loaded.probabilities(manifest, rows, **how)  # the first pass also pays for caches and allocations
    started = time.perf_counter()
    loaded.probabilities(manifest, rows, **how)
    seconds = time.perf_counter() - started
    return {
        "parameters": loaded.parameters,
        "macs": loaded.macs,
        "ms_per_cell": 1000 * seconds / len(rows),
        "images": len(rows),
        "measured_on": processor(),
    }
