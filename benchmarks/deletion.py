"""Do routed maps show the places that a head's score comes from? Leave places out, and see how far the score falls.

Half of the images fit a head on the mean of a network's last map; in the other half the places that a map ranks first
are left out of that mean. Printed is the mean fall of the log-odds of the predicted class, beside that of places drawn
by chance and of a map whose contributions are divided by the feature.

    python benchmarks/deletion.py IMAGES --weights FILE.safetensors --head svm
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import torch
from numpy.typing import NDArray

import leukfeat as lf
from leukfeat.backbones.network_files import load_network
from leukfeat.backbones.resolution import resolve
from leukfeat.experiments.explained import arranged
from leukfeat.heads.contributions import contributions

_TINY = 1e-12
Array = NDArray[np.float64]


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", help="manifest or folder, with labels")
    parser.add_argument("--backbone", default=None)
    parser.add_argument("--weights", default="random")
    parser.add_argument("--head", default="svm")
    parser.add_argument("--share", type=float, default=0.2, help="of the places, left out")
    parser.add_argument("--count", type=int, default=160, help="images, half of them for the head")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="under a minute: 60 images")
    arguments = parser.parse_args()
    count = 60 if arguments.quick else arguments.count
    manifest = lf.Manifest.open(arguments.images, subjects="unknown")
    rng = np.random.default_rng(arguments.seed)
    rows = rng.permutation(manifest.labelled)[:count]
    maps = maps_of(lf.BackboneSpec(arguments.backbone, arguments.weights), manifest, rows.tolist())
    y = np.asarray(manifest.label)[rows]
    half = len(rows) // 2
    head = lf.TunedHead(arguments.head, n_trials=0).fit(maps[:half].mean(axis=2).astype(np.float32), y[:half])
    found = falls(head, maps[half:], arguments.share, rng)
    told = {name: {"fall": float(v.mean()), "error": float(v.std() / np.sqrt(len(v)))} for name, v in found.items()}
    if arguments.json:
        print(json.dumps({"images": len(rows) - half, "share": arguments.share, **told}))
        return
    for name, value in told.items():
        print(f"{name:10s} {value['fall']:.3f} ± {value['error']:.3f}")


def maps_of(spec: lf.BackboneSpec, manifest: lf.Manifest, rows: list[int]) -> Array:
    """Last maps of some images, (n, C, places)."""
    resolution = resolve(spec)
    network = load_network(spec, resolution).network
    images = arranged(manifest, rows, resolution.inputs)
    found = []
    with torch.no_grad():
        for start in range(0, len(images), 16):
            x = resolution.inputs.normalise(images[start : start + 16], torch.device("cpu"))
            found.append(network.trunk_map(x).flatten(2).numpy())
    return np.concatenate(found).astype(np.float64)


def falls(head: lf.TunedHead, maps: Array, share: float, rng: np.random.Generator) -> dict[str, Array]:
    """Fall of the log-odds of the predicted class, image by image, for each way to rank places."""
    features = maps.mean(axis=2)
    proba = head.predict_proba(features.astype(np.float32))
    k = proba.argmax(axis=1)
    given = np.stack(
        [
            contributions(head, x[None].astype(np.float32), int(each)).values[0]
            for x, each in zip(features, k, strict=True)
        ]
    )
    safe = np.where(np.abs(features) > _TINY, features, np.inf)
    ranked = {
        "by chance": rng.normal(size=maps[:, 0].shape),
        "routed": np.einsum("nc,ncp->np", given, maps),
        "divided": np.einsum("nc,ncp->np", given / safe, maps),
    }
    left_out = max(1, round(share * maps.shape[2]))

    def fall(ranking: Array) -> Array:
        kept = np.argsort(ranking, axis=1)[:, :-left_out]  # the first places are gone
        without = np.take_along_axis(maps, kept[:, None, :], axis=2).mean(axis=2)
        after = head.predict_proba(without.astype(np.float32))
        one = np.arange(len(k))
        return log_odds(proba[one, k]) - log_odds(after[one, k])

    return {name: fall(ranking) for name, ranking in ranked.items()}


def log_odds(p: Array) -> Array:
    """Of probabilities kept off 0 and 1."""
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(p / (1 - p)))


if __name__ == "__main__":
    main()
