"""How long does tuning a head take, against the recipe everybody writes?

    python benchmarks/heads.py --data FOLDER --weights FILE.safetensors
    python benchmarks/heads.py --features features.npz --heads svm logistic
    python benchmarks/heads.py --quick

One outer fold, five inner folds, ten trials. Ours is ``TunedHead`` with a thread for each processor, inner
predictions included; theirs an Optuna study whose objective is ``cross_val_score`` of a fresh Pipeline, which searches
the same space, tries the very points that ours tried (and the number of rounds, where ours stops early), on the same
folds, with each library's own default of threads. Each head runs both in turn, for some rounds on outer folds of their
own; printed are medians of the ratios of wall times and of processor times (what counts on a busy machine), and the
difference of the scores of the outer test rows, averaged over rounds.

Features are those of a folder of images (``--data`` with ``--weights``), of a file with arrays X and y
(``--features``), or generated ones of the same size. ``--without-intelex`` hides scikit-learn-intelex; where it is
installed, the heads that use it are measured in both ways.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HEADS = ("svm", "random-forest", "xgboost", "lightgbm", "logistic", "knn")
TARGETS = {"svm": 15.0, "random-forest": 5.0, "xgboost": 3.0, "lightgbm": 3.0, "logistic": 2.0}
TARGETS_WITHOUT_INTELEX = {"svm": 8.0}
ROUNDS = (50, 400)  # of theirs: what ours may find by stopping early
N_OUTER, N_INNER = 5, 5


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", nargs="+", default=list(HEADS), choices=[*HEADS, "tree"])
    parser.add_argument("--data", type=Path, help="manifest or folder of images")
    parser.add_argument("--weights", default="random", help="of the backbone, with --data")
    parser.add_argument("--backbone", default=None)
    parser.add_argument("--features", type=Path, help="an .npz file with X (n, d) and y (n,)")
    parser.add_argument("--rows", type=int, default=3256, help="of generated features")
    parser.add_argument("--columns", type=int, default=1280)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=1, choices=range(1, N_OUTER + 1), help="outer folds")
    parser.add_argument("--metric", default=None, choices=SCORINGS)
    parser.add_argument("--n-jobs", type=int, default=-1, help="threads of ours")
    parser.add_argument("--their-jobs", type=int, default=None, help="n_jobs of their cross_val_score")
    parser.add_argument("--ours-only", action="store_true")
    parser.add_argument("--without-intelex", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="under a minute: few generated rows, three trials")
    options = parser.parse_args()
    if options.quick:
        options.rows, options.columns, options.trials = 400, 160, 3
    if options.without_intelex:
        sys.modules["sklearnex"] = None  # type: ignore[assignment]
    X, y = features(options)
    found: dict[str, dict[str, Any]] = {}
    for name in options.heads:
        found[name] = summary([measure(options, name, X, y, number) for number in range(options.rounds)])
        if (
            name in ("svm", "random-forest")
            and not (options.without_intelex or options.ours_only)
            and intelex_installed()
        ):
            found[name]["ratio_without_intelex"] = without_intelex(options, name, X, y)
        if not options.json:
            tell(name, found[name])
    if options.json:
        print(json.dumps({"rows": len(X), "columns": X.shape[1], "trials": options.trials, **found}, indent=1))


def features(options: argparse.Namespace) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Features and classes."""
    if options.features is not None:
        with np.load(options.features, allow_pickle=False) as arrays:
            return arrays["X"].astype(np.float32), arrays["y"]
    if options.data is not None:
        import leukfeat as lf

        manifest = lf.Manifest.open(options.data, subjects="unknown")
        spec = lf.BackboneSpec(options.backbone, options.weights)
        with tempfile.TemporaryDirectory() as scratch:
            store = lf.FeatureStore(Path(scratch))
            lf.extract(spec, manifest, store)
            return lf.load_features(spec, manifest, store).X_for(manifest, manifest.labelled), np.asarray(
                manifest.label
            )[manifest.labelled]
    rng = np.random.default_rng(0)  # correlated, skewed and of unequal size, as features of a network are
    y = np.arange(options.rows) % 4
    factors = rng.normal(size=(options.rows, 60)) + 1.2 * rng.normal(size=(4, 60))[y]
    X = factors @ rng.normal(size=(60, options.columns)) + 4.0 * rng.normal(size=(options.rows, options.columns))
    return (np.maximum(X, 0) * rng.lognormal(size=options.columns)).astype(np.float32), y


def measure(
    options: argparse.Namespace, name: str, X: NDArray[np.float32], y: NDArray[Any], number: int
) -> dict[str, float]:
    """One outer fold: seconds and score of ours and theirs."""
    from sklearn.model_selection import StratifiedKFold

    outer = list(StratifiedKFold(N_OUTER, shuffle=True, random_state=0).split(X, y))
    train, test = outer[number]
    inner = list(StratifiedKFold(N_INNER, shuffle=True, random_state=number).split(train, y[train]))
    rows = (X[train], y[train], X[test], y[test])
    found, trials = ours(options, name, rows, inner, number)
    if not options.ours_only:
        found |= theirs(options, name, rows, inner, trials, number)
    return found


def ours(options: argparse.Namespace, name: str, rows: Any, inner: Any, seed: int) -> tuple[dict[str, float], Any]:
    """Tune a head with and without inner predictions."""
    from leukfeat.heads.tuning import TunedHead

    X, y, X_test, y_test = rows
    found = {}
    for out_of_fold in (True, False):
        head = TunedHead(
            name,
            n_trials=options.trials,
            metric=options.metric,
            inner_folds=inner,
            out_of_fold=out_of_fold,
            n_jobs=options.n_jobs,
            random_state=seed,
        )
        started, used = time.perf_counter(), time.process_time()
        head.fit(X, y)
        label = "ours" if out_of_fold else "ours_without_inner_predictions"
        found[label] = time.perf_counter() - started
        found[f"{label}_cpu"] = time.process_time() - used
    found |= {"our_score": test_score(head, X_test, y_test, head.metric_), "our_inner_score": float(head.best_score_)}
    found |= {"inner_fits": head.inner_fits_, "pruned": head.n_pruned_}
    return found, head.trials_


def theirs(options: argparse.Namespace, name: str, rows: Any, inner: Any, trials: Any, seed: int) -> dict[str, float]:
    """An Optuna study of ``cross_val_score`` of a fresh Pipeline."""
    import optuna
    from sklearn.model_selection import cross_val_score

    from leukfeat.heads.catalog import find_head
    from leukfeat.heads.scoring import find_metric
    from leukfeat.heads.weights import balanced_weights

    X, y, X_test, y_test = rows
    metric, _ = find_metric(options.metric, len(np.unique(y)))
    codes, y = np.unique(y, return_inverse=True)
    spec = find_head(name)
    space = spec.space_for(min(len(train) for train, _ in inner), X.shape[1])

    def weighted(params: dict[str, Any]) -> dict[str, Any]:
        weight = balanced_weights(params.get("balance", "none"), y, np.arange(len(y)))
        return {} if weight is None else {"classifier__sample_weight": weight}

    def objective(trial: optuna.Trial) -> float:
        params = {dimension.name: dimension.suggest(trial) for dimension in space}
        if spec.stops_early:
            params["n_estimators"] = trial.suggest_int("n_estimators", *ROUNDS)
        made = pipeline(name, params, X.shape[1], seed)
        how = {"cv": inner, "n_jobs": options.their_jobs, "params": weighted(params)}
        return float(np.mean(cross_val_score(made, X, y, scoring=SCORINGS[metric], **how)))

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    started, used = time.perf_counter(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
        for trial in trials:  # the points that ours tried, so that luck of the draw costs neither
            study.enqueue_trial({d.name: trial["params"][d.name] for d in space})
        study.optimize(objective, n_trials=options.trials)
        best = pipeline(name, study.best_params, X.shape[1], seed).fit(X, y, **weighted(study.best_params))
        seconds, cpu = time.perf_counter() - started, time.process_time() - used
        score = test_score(best, X_test, np.searchsorted(codes, y_test), metric)
    return {"theirs": seconds, "theirs_cpu": cpu, "their_score": score, "their_inner_score": float(study.best_value)}


SCORINGS = {"auroc": "roc_auc", "balanced_accuracy": "balanced_accuracy", "accuracy": "accuracy"}


def pipeline(name: str, params: dict[str, Any], n_features: int, seed: int) -> Any:
    """What a competent person writes for a point of the space: the libraries' classes with their own defaults."""
    from sklearn.decomposition import PCA
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.feature_selection import SelectFromModel
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    from leukfeat.heads.scaling import Scaler

    kind, _, size = params["reduction"].partition("-")
    reduction: Any = "passthrough"
    if kind == "pca":
        reduction = PCA(int(size), random_state=seed)
    elif kind == "forest":
        trees = ExtraTreesClassifier(100, min_samples_leaf=2, class_weight="balanced", random_state=seed)
        reduction = SelectFromModel(trees, max_features=int(size), threshold=-np.inf)
    scaling = params.get("scaling")
    scaler: Any = "passthrough" if scaling is None else StandardScaler() if scaling == "standard" else Scaler(scaling)
    made = classifier(name, params, int(size or n_features), seed)
    return Pipeline([("scaler", scaler), ("reduction", reduction), ("classifier", made)])


def classifier(name: str, params: dict[str, Any], n_features: int, seed: int) -> Any:
    """The library's own classifier."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.svm import SVC
    from sklearn.tree import DecisionTreeClassifier

    given = {k: v for k, v in params.items() if k not in ("scaling", "reduction", "balance")}
    if name == "svm":
        return SVC(C=given["C"], gamma=given["gamma_times_d"] / n_features)
    if name == "logistic":
        return LogisticRegression(C=given["C_times_d"] / n_features, max_iter=1000)
    if name == "random-forest":
        tried = max(1, min(n_features, round(given.pop("max_features_per_sqrt_d") * n_features**0.5)))
        return RandomForestClassifier(**given, max_features=tried, random_state=seed)
    if name == "knn":
        return KNeighborsClassifier(**given)
    if name == "tree":
        return DecisionTreeClassifier(**given, random_state=seed)
    if name == "xgboost":
        from xgboost import XGBClassifier

        return XGBClassifier(**given, random_state=seed)
    from lightgbm import LGBMClassifier

    return LGBMClassifier(**given, subsample_freq=1, random_state=seed, verbosity=-1)


def test_score(model: Any, X: NDArray[Any], y: NDArray[Any], metric: str) -> float:
    """Score of the outer test rows, by scikit-learn's scorer."""
    from sklearn.metrics import get_scorer

    return float(get_scorer(SCORINGS[metric])(model, X, y))


def summary(rounds: list[dict[str, float]]) -> dict[str, Any]:
    """Medians over rounds, ratios and the mean difference of scores."""
    found: dict[str, Any] = {key: float(np.median([each[key] for each in rounds])) for key in rounds[0]}
    if "theirs" in found:
        found["ratio"] = float(np.median([each["theirs"] / each["ours"] for each in rounds]))
        found["ratio_cpu"] = float(np.median([each["theirs_cpu"] / each["ours_cpu"] for each in rounds]))
        found["ratio_without_inner_predictions"] = float(
            np.median([each["theirs"] / each["ours_without_inner_predictions"] for each in rounds])
        )
        found["score_difference"] = float(np.mean([each["our_score"] - each["their_score"] for each in rounds]))
    return found


def intelex_installed() -> bool:
    """Whether heads may use scikit-learn-intelex."""
    from leukfeat.heads import intelex

    return intelex.available()


def without_intelex(options: argparse.Namespace, name: str, X: NDArray[Any], y: NDArray[Any]) -> float:
    """The ratio in a process of its own that cannot import scikit-learn-intelex."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "features.npz"
        np.savez(file, X=X, y=y)
        command = [sys.executable, __file__, "--features", str(file), "--heads", name, "--without-intelex", "--json"]
        for option in ("trials", "rounds", "n_jobs", "metric", "their_jobs"):
            if getattr(options, option) is not None:
                command += [f"--{option.replace('_', '-')}", str(getattr(options, option))]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=dict(os.environ))
    return float(json.loads(done.stdout)[name]["ratio"])


def tell(name: str, found: dict[str, Any]) -> None:
    """One line a head."""
    line = f"{name:14s} ours {found['ours']:7.1f} s ({found['ours_without_inner_predictions']:.1f} s without inner"
    line += f" predictions; {found['inner_fits']:.0f} inner fits, {found['pruned']:.0f} trials pruned)"
    if "ratio" in found:
        target = f" (target {TARGETS[name]:g})" if name in TARGETS else ""
        line += f", theirs {found['theirs']:7.1f} s, ratio {found['ratio']:.1f}{target}"
        line += f" (processor time {found['ratio_cpu']:.1f})"
        if "ratio_without_intelex" in found:
            target = f" (target {TARGETS_WITHOUT_INTELEX[name]:g})" if name in TARGETS_WITHOUT_INTELEX else ""
            line += f", without intelex {found['ratio_without_intelex']:.1f}{target}"
        line += f"; score {found['our_score']:.4f} against {found['their_score']:.4f}"
    print(line, flush=True)


if __name__ == "__main__":
    main()
