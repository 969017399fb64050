"""The training loop: the brief fine-tune and end-to-end training are the same.

A training is a function of its inputs: the order of images, their augmentation and dropout are drawn from the seed,
the epoch and the step, and the state of the schedule is read off the epochs so far. On a CPU an interrupted training
therefore ends with the very weights of an uninterrupted one (with as many threads of torch: they decide in which order
numbers are added).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from leukfeat.backbones.chance import own_chance
from leukfeat.backbones.checkpoint import Reached, load_checkpoint, save_checkpoint, training_digest
from leukfeat.backbones.course import Course, TrainingProgress, standing_of
from leukfeat.backbones.engines import choose_device
from leukfeat.backbones.feed import Feed
from leukfeat.backbones.finetune import FineTune
from leukfeat.backbones.history import EpochRecord, History
from leukfeat.backbones.inputs import Inputs
from leukfeat.backbones.learner import AMP_DTYPES, Learner
from leukfeat.backbones.losses import make_loss
from leukfeat.backbones.sampling import showings
from leukfeat.backbones.stream import default_workers
from leukfeat.data.manifest import Manifest
from leukfeat.errors import TrainingError, UnknownNameError, UsageError

if TYPE_CHECKING:
    from leukfeat.backbones.network import ClassifyingNetwork


__all__ = ["TrainingProgress", "train"]


def train(
    model: ClassifyingNetwork,
    inputs: Inputs,
    manifest: Manifest,
    fit: Sequence[int] | NDArray[np.int64],
    validation: Sequence[int] | NDArray[np.int64],
    finetune: FineTune,
    *,
    classes: Sequence[str],
    device: str = "auto",
    amp_dtype: str | None = None,
    num_workers: int | None = None,
    checkpoint: Path | None = None,
    progress: Callable[[TrainingProgress], None] | None = None,
    told: Callable[[str], None] | None = None,
) -> History:
    """Train a network on some rows.

    Parameters
    ----------
    model : ClassifyingNetwork
        Changed in place. Afterwards it holds the weights that are kept, in evaluation mode, without gradients, on the
        device it was trained on.
    inputs : Inputs
        How images become its input.
    manifest : Manifest
        The data; no image of another row is read.
    fit, validation : sequence of int
        Rows that are learned from, and rows that choose the epoch; the latter may be empty.
    finetune : FineTune
        How.
    classes : sequence of str
        In the order of the logits.
    device : str
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    amp_dtype : str or None
        ``"bfloat16"`` or ``"float16"`` for mixed precision on CUDA.
    num_workers : int or None
        Threads that decode; they change nothing but the speed.
    checkpoint : Path or None
        Folder for the state after every epoch. The same call with a network in its initial state goes on from there; a
        state of another training is not used.
    progress : callable(TrainingProgress) or None
        Called after every step of the optimiser.
    told : callable(str) or None
        Told what a person should know, a line at a time.

    Returns
    -------
    History
        Of all epochs, those before an interruption included.

    Raises
    ------
    TrainingError
        A class without images, a loss that is not finite, or too little memory for the smallest batch.
    UsageError
        Options that do not fit the data, the network or the device.
    """
    where = choose_device(device)
    amp_dtype = amp_dtype or "none"
    if amp_dtype not in AMP_DTYPES:
        raise UnknownNameError("amp dtype", amp_dtype, AMP_DTYPES)
    told = told or _ignore
    fit, validation = np.asarray(fit, dtype=np.int64), np.asarray(validation, dtype=np.int64)
    y = _classes_of(manifest, fit, validation, finetune, classes)
    loss = make_loss(finetune, classes, np.bincount(y[0]).tolist(), manifest.positive, where)
    times = showings(finetune, *([column[row] for row in fit] for column in (manifest.label, manifest.group)))
    digest = (
        training_digest(model, inputs, manifest, fit, validation, finetune, classes, amp_dtype) if checkpoint else ""
    )
    workers = num_workers or default_workers()
    ahead = 2 * finetune.batch_size + workers
    feeds = [Feed(manifest, rows, inputs, workers, ahead) for rows in (fit, validation)]
    with own_chance([torch.cuda.current_device()] if where.type == "cuda" else []):
        try:
            learner = Learner(model, inputs, finetune, loss, where, amp_dtype, told)
            course = Course(learner, finetune, feeds, y, times, classes, progress or _ignore)
            return _run(course, checkpoint, digest, told)
        except torch.OutOfMemoryError as error:
            raise TrainingError(
                f"the network and the state of {finetune.optimizer} do not fit into the memory of {where.type};"
                " choose a smaller network, or optimizer: sgd"
            ) from error


def _run(course: Course, checkpoint: Path | None, digest: str, told: Callable[[str], None]) -> History:
    """The loop over epochs."""
    learner, finetune = course.learner, course.finetune
    records: list[EpochRecord] = []
    best: dict[str, Tensor] = {}  # weights of the best epoch so far
    if checkpoint is not None:
        reached, refused = load_checkpoint(checkpoint, digest, learner.model, learner.optimizer)
        if refused:
            told(refused)
        if reached is not None:
            records = list(reached.epochs)
            best = dict(reached.best) or _copied(learner)
            learner.scaler.load_state_dict(dict(reached.scaler))
            told(f"training goes on after epoch {len(records)} of {finetune.epochs}")
    while not (ended := _ended(finetune, records)):
        records.append(course.epoch(records))
        if finetune.select == "best" and standing_of(finetune, records).best == len(records) - 1:
            best = _copied(learner)
        if len(records) == 1:
            course.report_unreadable(told)
        if checkpoint is not None:
            is_last = finetune.select == "last" or standing_of(finetune, records).best == len(records) - 1
            reached = Reached(tuple(records), {} if is_last else best, learner.scaler.state_dict())
            optimizer = None if _ended(finetune, records) else learner.optimizer
            save_checkpoint(checkpoint, digest, learner.model, optimizer, reached)
    chosen = len(records) if finetune.select == "last" else standing_of(finetune, records).best + 1
    if chosen != len(records):
        learner.model.load_state_dict(best)
    learner.model.eval().requires_grad_(False)
    return History(tuple(records), finetune.metric, chosen, ended)


def _classes_of(
    manifest: Manifest,
    fit: NDArray[np.int64],
    validation: NDArray[np.int64],
    finetune: FineTune,
    classes: Sequence[str],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of the classes of both parts, checked to be ones that a network can learn and be judged by."""
    number = {name: k for k, name in enumerate(classes)}
    present = {manifest.label[row] for row in fit}
    for name in (*classes, *sorted({manifest.label[row] for row in validation})):
        if name not in present:
            raise TrainingError(
                f"class {name!r} has no image among the {len(fit)} training rows; give it some (another split or"
                " seed), or leave the class out"
            )
    for row in fit:
        if manifest.label[row] not in number:
            raise TrainingError(
                f"{manifest.sample[row]}: class {manifest.label[row]!r} is none of {', '.join(classes)};"
                " leave the row out"
            )
    if len(both := np.intersect1d(fit, validation)):
        raise UsageError(f"{manifest.sample[both[0]]}: stands in the training and the validation rows; keep it in one")
    if finetune.patience is not None and not len(validation):
        raise UsageError(
            f"finetune.patience is {finetune.patience} without validation rows; give some, or leave it out"
        )
    lacking = sorted(present - {manifest.label[row] for row in validation})
    if finetune.metric == "auroc" and len(validation) and lacking:
        raise TrainingError(
            f"class {lacking[0]!r} has no image among the {len(validation)} validation rows, so there is no auroc;"
            " choose another metric, e.g. loss"
        )
    of_fit, of_validation = (np.array([number[manifest.label[row]] for row in rows]) for rows in (fit, validation))
    return of_fit.astype(np.int64), of_validation.astype(np.int64)


def _ended(finetune: FineTune, records: Sequence[EpochRecord]) -> str:
    """Why training is over; empty while it is not."""
    now = standing_of(finetune, records)
    metric = finetune.metric.replace("_", " ")
    if len(records) >= finetune.epochs:
        return "all epochs done"
    if finetune.patience is not None and now.waited >= finetune.patience:
        return f"no better {metric} in {now.waited} epochs"
    if finetune.schedule.stop_after is not None and now.in_a_row >= finetune.schedule.stop_after:
        return f"no better {metric} after {now.in_a_row} reductions of the learning rate"
    return ""


def _copied(learner: Learner) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in learner.model.state_dict().items()}


def _ignore(_news: object) -> None:
    """Nobody wants to know."""
