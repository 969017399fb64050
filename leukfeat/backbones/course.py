"""The epochs of a training: which images are led past the learner, and what they came to."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from leukfeat.backbones.augmentation import chances
from leukfeat.backbones.feed import Feed
from leukfeat.backbones.finetune import FineTune
from leukfeat.backbones.history import EpochRecord
from leukfeat.backbones.learner import Batch, Learner, Outcome
from leukfeat.backbones.sampling import batched, epoch_order, n_batches
from leukfeat.backbones.schedule import Standing, rate_factor, standing
from leukfeat.backbones.scores import Scores, scores_of
from leukfeat.errors import TrainingError


@dataclass(frozen=True)
class TrainingProgress:
    """Where a training is, after a batch.

    Attributes
    ----------
    epoch, epochs : int
        The current epoch, from 1, and how many there are at most.
    step, steps : int
        Steps of the optimiser done in this epoch, and how many it has.
    loss : float
        Mean training loss of the epoch so far.
    metric : str
        What chooses the epoch.
    value : float or None
        Its latest value on the validation rows (training rows where there are none); None in the first epoch.
    seconds_left : float
        Until the last epoch ends, at the speed so far.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    metric: str
    value: float | None
    seconds_left: float


class Course:
    """The images of an epoch, led past a learner: the training rows first, then the validation rows."""

    def __init__(
        self,
        learner: Learner,
        finetune: FineTune,
        feeds: Sequence[Feed],
        y: Sequence[NDArray[np.int64]],
        times: NDArray[np.float64],
        classes: Sequence[str],
        progress: Callable[[TrainingProgress], None],
    ) -> None:
        self.learner, self.finetune = learner, finetune
        self._feeds, self._y, self._times, self._classes, self._progress = feeds, y, times, classes, progress
        self._started, self._steps = time.monotonic(), 0

    def epoch(self, before: Sequence[EpochRecord]) -> EpochRecord:
        """Learn from every training image, then judge every validation image."""
        started = time.monotonic()
        lr, train = self._learn(before)
        self._check_weights(len(before) + 1, lr)
        validation = self._judge(len(before) + 1, lr) if len(self._y[1]) else None
        record = EpochRecord(len(before) + 1, lr, train, validation, time.monotonic() - started)
        if record.value(self.finetune.metric) is None:
            raise TrainingError(
                f"epoch {record.epoch}: there is no {self.finetune.metric}, because images of a class cannot be read;"
                " mend them, or choose another metric, e.g. loss"
            )
        return record

    def report_unreadable(self, told: Callable[[str], None]) -> None:
        """Say what was left out, a line for each part."""
        for feed, part in zip(self._feeds, ("training", "validation"), strict=True):
            if feed.failed:
                row, reason = min(feed.failed.items())
                n, total = len(feed.failed), len(set(feed.rows))
                told(
                    f"{n} of {total} {part} images could not be read and are left out, e.g. {feed.name(row)}: {reason}"
                )

    def _learn(self, before: Sequence[EpochRecord]) -> tuple[float, Scores]:
        finetune, learner, epoch = self.finetune, self.learner, len(before)
        order = epoch_order(self._times, finetune.seed, epoch)
        chance = chances(finetune.seed, epoch, len(order)) if finetune.augment.changes else None
        size = finetune.batch_size * finetune.accumulate
        steps = n_batches(len(order), size, learner.least)
        reductions = standing_of(finetune, before).reductions
        value = before[-1].value(finetune.metric) if before else None
        tally, lr = Tally(epoch + 1, steps), finetune.lr
        learner.begin_epoch(epoch)
        for step, batch in enumerate(self._batches(0, order, size, chance)):
            if len(batch.y) < learner.least:
                raise TrainingError("only one training image can be read, and BatchNorm needs two; give more images")
            at = epoch + min(step, steps - 1) / steps  # fewer steps come than planned where images cannot be read
            factor = rate_factor(finetune.schedule, at, 1 / steps, finetune.epochs, reductions)
            lr = finetune.lr * factor
            tally.add(learner.learn(batch, factor, epoch, step), lr)
            self._steps += 1
            left = (time.monotonic() - self._started) / self._steps * ((finetune.epochs - epoch) * steps - step - 1)
            self._progress(
                TrainingProgress(
                    epoch + 1, finetune.epochs, step + 1, steps, tally.mean, finetune.metric, value, max(0.0, left)
                )
            )
        for number, name in enumerate(self._classes):
            if number not in tally.classes and number in self._y[0][order]:  # multiply may show a class now and then
                raise TrainingError(f"class {name!r}: none of its training images can be read; mend them")
        return lr, tally.scores()

    def _check_weights(self, epoch: int, lr: float) -> None:
        """The last step may break weights, and no batch follows in which the loss would show it."""
        sums = torch.stack([parameter.detach().sum() for parameter in self.learner.model.parameters()])
        if not bool(sums.isfinite().all()):
            raise _broken(f"epoch {epoch}", "the weights are no longer finite", lr)

    def _judge(self, epoch: int, lr: float) -> Scores:
        self.learner.model.eval()
        tally = Tally(epoch, 0)
        for batch in self._batches(1, np.arange(len(self._y[1])), self.finetune.batch_size, None):
            tally.add(self.learner.judge(batch), lr)
        if not tally.classes:
            raise TrainingError("none of the validation images can be read; mend them, or set validation: 0")
        return tally.scores()

    def _batches(
        self, part: int, order: NDArray[np.int64], size: int, chance: NDArray[np.float64] | None
    ) -> Iterator[Batch]:
        least = self.learner.least if part == 0 else 1
        with contextlib.closing(self._feeds[part].images(order)) as images:
            for shown in batched(images, size, least):
                numbers, places, pixels = zip(*shown, strict=True)
                rows = None if chance is None else chance[list(numbers)]
                yield Batch(np.stack(pixels), self._y[part][list(places)], rows)


class Tally:
    """Outcomes of an epoch. A loss is looked at one batch late, so that a GPU is never waited for."""

    def __init__(self, epoch: int, steps: int) -> None:
        self.classes: set[int] = set()
        self._epoch, self._steps = epoch, steps
        self._outcomes: list[tuple[Outcome, float]] = []
        self._seen, self._loss, self._weight = 0, 0.0, 0.0

    def add(self, outcome: Outcome, lr: float) -> None:
        """Take a batch in.

        Raises
        ------
        TrainingError
            The loss of the batch before is not finite.
        """
        self._outcomes.append((outcome, lr))
        self.classes.update(outcome.y.tolist())
        if len(self._outcomes) > 1 or outcome.loss.device.type == "cpu":
            self._look(len(self._outcomes) - (outcome.loss.device.type != "cpu"))

    @property
    def mean(self) -> float:
        """Mean loss of the batches looked at; nan before the first."""
        return self._loss / self._weight if self._weight else math.nan

    def scores(self) -> Scores:
        """Of the whole epoch."""
        self._look(len(self._outcomes))
        logits = torch.cat([outcome.logits for outcome, _ in self._outcomes]).cpu().numpy()
        y = np.concatenate([outcome.y for outcome, _ in self._outcomes])
        return scores_of(logits, y, self.mean)

    def _look(self, until: int) -> None:
        for step in range(self._seen, until):
            outcome, lr = self._outcomes[step]
            loss, weight = float(outcome.loss), float(outcome.weight)
            if not math.isfinite(loss):
                where = f"batch {step + 1} of {self._steps}" if self._steps else "validation"
                raise _broken(f"epoch {self._epoch}, {where}", f"the loss is {loss}", lr)
            self._loss, self._weight = self._loss + loss * weight, self._weight + weight
        self._seen = until


def _broken(where: str, what: str, lr: float) -> TrainingError:
    return TrainingError(
        f"{where}: {what} at a learning rate of {lr:.3g}; lower lr, or add schedule: {{warmup: 1}} or clip_norm: 1"
        " (with --amp-dtype float16: use bfloat16)"
    )


def standing_of(finetune: FineTune, records: Sequence[EpochRecord]) -> Standing:
    """Where a training stands after its epochs."""
    values = [value for record in records if (value := record.value(finetune.metric)) is not None]
    return standing(values, higher=finetune.metric != "loss", patience=finetune.schedule.patience)
