"""Should the head of a fine-tuned encoder be fitted on all training rows, or on those the encoder has not seen?

Draws cells with subject effects (or takes a data set), fine-tunes a backbone inside every fold, fits the same head in
both ways on the same folds, and prints the difference for every seed. The features of the frozen backbone stand beside.

    python benchmarks/head_rows.py --seeds 5
    python benchmarks/head_rows.py --data cells.csv --split grouped --weights FILE.safetensors
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

import leukfeat as lf
from leukfeat.evaluation.metrics import score

WAYS = ("frozen", "all", "unseen")


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="manifest or folder; generated cells without it")
    parser.add_argument("--subjects", type=int, default=24)
    parser.add_argument("--cells", type=int, default=12)
    parser.add_argument("--size", type=int, default=96, help="pixels of generated cells and of the network's input")
    parser.add_argument("--no-size-confound", action="store_true")
    parser.add_argument("--backbone", default=None)
    parser.add_argument("--weights", default="random")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--batch-norm", default="update", choices=["update", "frozen"])
    parser.add_argument("--head", default="logistic")
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--split", default="grouped", choices=["grouped", "per-image"])
    parser.add_argument("--subjects-unknown", action="store_true")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="under a minute: one seed of few cells")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.seeds, arguments.subjects, arguments.cells, arguments.epochs, arguments.folds = 1, 20, 4, 1, 2
    if arguments.backbone is None and arguments.weights == "random":
        arguments.backbone = "resnet18"
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(arguments.seeds):
            rows.append(measure(arguments, seed, Path(scratch)))
            if not arguments.json:
                print(seed, " ".join(f"{way} {value:.4f}" for way, value in rows[-1].items()), flush=True)
    difference = np.array([row["unseen"] - row["all"] for row in rows])
    error = float(difference.std(ddof=1) / np.sqrt(len(difference))) if len(difference) > 1 else float("nan")
    means = {way: float(np.mean([row[way] for row in rows])) for way in WAYS}
    if arguments.json:
        print(json.dumps({"seeds": rows, "mean": means, "unseen - all": float(difference.mean()), "error": error}))
        return
    print("mean", " ".join(f"{way} {value:.4f}" for way, value in means.items()))
    print(f"unseen - all: {difference.mean():+.4f} ± {error:.4f} (standard error over {len(rows)} seeds)")


def measure(arguments: argparse.Namespace, seed: int, scratch: Path) -> dict[str, float]:
    """AUROC of out-of-fold predictions, a figure for each way, on the folds of one seed."""
    manifest = data(arguments, seed, scratch)
    folds = {"grouped": lf.SplitPlan.grouped, "per-image": lf.SplitPlan.per_image}[arguments.split]
    plan = folds(manifest, arguments.folds, seed=seed)
    size = {} if arguments.data else {"input_size": arguments.size, "crop": "none"}
    backbone = lf.BackboneSpec(arguments.backbone, arguments.weights, preprocess=lf.Preprocess(**size))
    training = {"epochs": arguments.epochs, "lr": arguments.lr, "batch_norm": arguments.batch_norm, "seed": seed}
    found = {}
    for way in WAYS:
        finetune = None if way == "frozen" else lf.FineTune(**training, head_trains_on=way)
        head = lf.TunedHead(arguments.head, n_trials=arguments.trials, random_state=seed)
        candidate = lf.HeadOnFeatures(backbone.replace(finetune=finetune), head, lf.FeatureStore(scratch / "cache"))
        run = lf.cross_validate(candidate, manifest, plan)
        found[way] = float(score(run.predictions, ["auroc"])["auroc"].value)
    return found


def data(arguments: argparse.Namespace, seed: int, scratch: Path) -> lf.Manifest:
    """The data set that was asked for, or generated cells of this seed."""
    if arguments.data is not None:
        return lf.Manifest.open(arguments.data, subjects="unknown" if arguments.subjects_unknown else None)
    return lf.synthesize(
        scratch / f"cells-{seed}",
        n_subjects=arguments.subjects,
        n_cells=arguments.cells,
        size=arguments.size,
        seed=seed,
        size_confound=not arguments.no_size_confound,
    )


if __name__ == "__main__":
    main()
