"""``leukfeat predict``: a kept model on new images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from leukfeat.cli import options as o
from leukfeat.cli.console import progress, say, say_json
from leukfeat.errors import UsageError

if TYPE_CHECKING:
    from leukfeat.experiments.predicted import PredictedTable

_SHOWN_FAILURES = 50
_SCORES = ("accuracy", "balanced_accuracy", "auroc")
_UNKNOWN = "what these weights were trained on is unknown: so is whether they have seen these images"


def predict(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Model bundle, or the run folder that has one.")],
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGES", help="A folder, a manifest CSV (path; label and subject where known), a pattern, files."
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="CSV", help="Predictions to write.")] = Path(
        "predictions.csv"
    ),
    by_subject: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Also write the mean probability of each subject's images.")
    ] = None,
    ignore_labels: Annotated[
        bool, typer.Option("--ignore-labels", help="Go on where labels are not the model's classes; score nothing.")
    ] = False,
    dataset: o.Dataset = None,
    follow_links: o.FollowLinks = False,
    device: o.Device = None,
    amp_dtype: Annotated[
        str | None, typer.Option(metavar="TYPE", help="none, float16 or bfloat16. [default: as the model was fitted]")
    ] = None,
    batch_size: o.BatchSize = None,
    num_workers: o.NumWorkers = None,
    engine: o.Engine = None,
    skip_errors: o.SkipErrors = False,
    as_json: o.Json = False,
) -> None:
    """Predict images with a kept model; those that cannot be read are named, and the exit status is then 1.

    Where labels are known the predictions are scored; images that took part in training are counted.

    Example: leukfeat predict runs/mine/model new-cells -o predictions.csv
    """
    from leukfeat.experiments.predicted import may_be_replaced
    from leukfeat.experiments.prediction import load

    if by_subject == output:
        raise UsageError(f"{output}: is named for images and for subjects; give each a file of its own")
    for file in filter(None, (output, by_subject)):
        may_be_replaced(file)
    given = {
        "device": device, "amp_dtype": amp_dtype, "batch_size": batch_size, "num_workers": num_workers,
        "engine": engine,
    }  # fmt: skip
    how: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    model = load(bundle)
    with progress() as shown:
        table = model.predict(
            images,
            dataset=dataset,
            follow_links=follow_links,
            ignore_labels=ignore_labels,
            hashing=shown.bar("checksums"),
            progress=shown.bar("predict"),
            **how,
        )
    written = [table.save(output)]
    if by_subject is not None:
        written.append(table.by_subject().save(by_subject))
    unknown = _UNKNOWN if model.seen.unknown else ""
    homeless = int((table.subject == "").sum()) if by_subject is not None else 0
    alone = f"{homeless:,} image(s) without a subject are in no verdict by subject" if homeless else ""
    _report(table, written, notes=[*filter(None, (unknown, alone))], as_json=as_json)
    raise typer.Exit(1 if table.failed and not skip_errors else 0)


def _report(table: PredictedTable, written: list[Path], *, notes: list[str], as_json: bool) -> None:
    scores = {name: score for name, score in table.scores().items() if name in _SCORES}
    if as_json:
        say_json(
            {
                "images": len(table),
                "seen": table.n_seen,
                "failed": [{"sample": sample, "reason": reason} for sample, reason in table.failed],
                "scores": {name: score.value if score.defined else None for name, score in scores.items()},
                "notes": notes,
                "written": [str(path) for path in written],
            }
        )
        return
    for sample, reason in table.failed[:_SHOWN_FAILURES]:
        say(f"  failed: {sample}: {reason}")
    if len(table.failed) > _SHOWN_FAILURES:
        say(f"  … and {len(table.failed) - _SHOWN_FAILURES} more failed (--json lists all)")
    counts = ", ".join(f"{int((table.y_pred == name).sum()):,} {name}" for name in table.classes)
    say(f"{len(table):,} images predicted ({counts}), {len(table.failed):,} failed")
    _say_scores(table, "labelled images")
    if table.n_seen:
        say(
            f"{table.n_seen:,} of {len(table):,} images took part in training this model: their predictions are no"
            " evidence"
        )
        if table.n_seen < len(table):
            _say_scores(table.take(~table.seen), "labelled images that did not")
    for line in (*notes, *(f"wrote {path}" for path in written)):
        say(line)


def _say_scores(table: PredictedTable, whose: str) -> None:
    scores = table.scores()
    if scores:
        n = int((table.y_true != "").sum())
        say(f"{n:,} {whose}: " + ", ".join(f"{name} {scores[name]}" for name in _SCORES))
