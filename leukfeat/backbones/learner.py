"""One step of training: forward, loss, backward, and the optimiser; and the same without learning."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from leukfeat.backbones.augmentation import augment_batch
from leukfeat.backbones.finetune import FineTune
from leukfeat.backbones.inputs import Inputs
from leukfeat.backbones.losses import Loss
from leukfeat.backbones.optimisers import make_optimizer, set_rate
from leukfeat.backbones.sampling import STEPS, batched
from leukfeat.errors import TrainingError, UsageError

if TYPE_CHECKING:
    from leukfeat.backbones.network import ClassifyingNetwork

AMP_DTYPES = {"none": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Batch:
    """Images of one step.

    Attributes
    ----------
    images : ndarray of shape (B, H, W, 3), uint8
        Arranged.
    y : ndarray of shape (B,), int64
        Their classes.
    chance : ndarray of shape (B, 9) or None
        What decides their augmentation; None for none.
    """

    images: NDArray[np.uint8]
    y: NDArray[np.int64]
    chance: NDArray[np.float64] | None = None

    def parts(self, size: int, least: int) -> Iterator[Batch]:
        """The batch in pieces of at most ``size`` images, none with fewer than ``least``."""
        for numbers in batched(range(len(self.y)), size, least):
            piece = slice(numbers[0], numbers[-1] + 1)
            yield Batch(self.images[piece], self.y[piece], None if self.chance is None else self.chance[piece])


@dataclass(frozen=True)
class Outcome:
    """What a batch came to; everything stays on the device, so that nobody waits for it.

    Attributes
    ----------
    loss : tensor of shape ()
        Mean loss.
    weight : tensor of shape ()
        Weight of the batch in a mean over batches.
    logits : tensor of shape (B, K)
        Of every image.
    y : ndarray of shape (B,)
        Classes.
    """

    loss: Tensor
    weight: Tensor
    logits: Tensor
    y: NDArray[np.int64]


class Learner:
    """A network with its optimiser on its device.

    Parameters
    ----------
    model : ClassifyingNetwork
        Moved to the device.
    inputs : Inputs
        Its preprocessing.
    finetune : FineTune
        How it learns.
    loss : Loss
        What is made small; on the device.
    device : torch.device
        Where.
    amp_dtype : str
        A name in :data:`AMP_DTYPES`.
    told : callable(str)
        Told when memory runs out.

    Attributes
    ----------
    least : int
        Fewest images in a forward pass: 2 where BatchNorm takes its statistics from the batch.
    micro : int
        Most images in a forward pass; halved when memory runs out, while a step keeps its size.
    """

    def __init__(
        self,
        model: ClassifyingNetwork,
        inputs: Inputs,
        finetune: FineTune,
        loss: Loss,
        device: torch.device,
        amp_dtype: str,
        told: Callable[[str], None],
    ) -> None:
        self.model = model.requires_grad_(True).to(device).to(memory_format=torch.channels_last)
        self.optimizer = make_optimizer(self.model, finetune)
        self.scaler = torch.amp.GradScaler(device.type, enabled=amp_dtype == "float16")
        self.least = _least_batch(self.model, finetune)
        self.micro = finetune.batch_size
        self._inputs, self._finetune, self._loss, self._device, self._told = inputs, finetune, loss, device, told
        self._amp_dtype = AMP_DTYPES[amp_dtype]

    def begin_epoch(self, epoch: int) -> None:
        """Set what learns in this epoch, counted from 0, and what stands still."""
        trunk = self.model.network.trunk
        self.model.train()
        frozen = epoch < self._finetune.frozen_epochs
        trunk.requires_grad_(not frozen)
        if frozen:
            trunk.eval()
        elif self._finetune.batch_norm == "frozen":
            for module in trunk.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()

    def learn(self, batch: Batch, rate: float, epoch: int, step: int) -> Outcome:
        """One step of the optimiser, in as many forward passes as memory needs.

        Parameters
        ----------
        batch : Batch
            All images of the step.
        rate : float
            What each group's learning rate is multiplied with.
        epoch, step : int
            Together with the seed they decide what dropout drops.

        Raises
        ------
        TrainingError
            Not even the smallest piece fits into memory.
        """
        while True:
            self._seed(epoch, step)
            try:
                outcome = self._backward(batch)
                break
            except torch.OutOfMemoryError:
                self.optimizer.zero_grad(set_to_none=True)
            self._halve()  # outside the handler, whose traceback holds on to memory
        set_rate(self.optimizer, rate)
        if self._finetune.clip_norm is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self._finetune.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return outcome

    def judge(self, batch: Batch) -> Outcome:
        """The same images without learning; the network is in evaluation mode."""
        while True:
            try:
                with torch.inference_mode():
                    return self._judged(batch)
            except torch.OutOfMemoryError:
                pass
            self._halve()

    def _backward(self, batch: Batch) -> Outcome:
        total = self._loss.weight(self._on_device(batch.y))  # so that the size of the pieces cancels out
        losses, logits = [], []
        for part in batch.parts(self.micro, self.least):
            output = self._forward(part)
            loss = self._loss.each(output, self._on_device(part.y)).sum() / total
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
            logits.append(output.detach())
        return Outcome(torch.stack(losses).sum(), total, torch.cat(logits), batch.y)

    def _judged(self, batch: Batch) -> Outcome:
        y = self._on_device(batch.y)
        logits = torch.cat([self._forward(part) for part in batch.parts(self.micro, 1)])
        total = self._loss.weight(y)
        return Outcome(self._loss.each(logits, y).sum() / total, total, logits, batch.y)

    def _forward(self, batch: Batch) -> Tensor:
        """Logits (B, K) in 32-bit floats."""
        with torch.autocast(self._device.type, dtype=self._amp_dtype, enabled=self._amp_dtype is not None):
            return self.model(network_input(batch, self._inputs, self._finetune, self._device)).float()  # type: ignore[no-any-return]

    def _on_device(self, y: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(y).to(self._device)

    def _seed(self, epoch: int, step: int) -> None:
        """Make dropout a function of seed, epoch and step, whatever was drawn before."""
        drawn = np.random.SeedSequence([STEPS, self._finetune.seed, epoch, step]).generate_state(1, np.uint64)[0]
        torch.default_generator.manual_seed(int(drawn))
        if self._device.type == "cuda":
            torch.cuda.default_generators[torch.cuda.current_device()].manual_seed(int(drawn))

    def _halve(self) -> None:
        if self.micro // 2 < self.least:
            why = "; BatchNorm needs two" if self.least > 1 else ""
            raise TrainingError(
                f"a forward pass of {self.micro} images does not fit into the memory of {self._device.type}{why};"
                " choose smaller images (input_size), a smaller network, or --amp-dtype bfloat16 on CUDA"
            )
        self.micro //= 2
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        self._told(
            f"out of memory on {self._device.type}: going on with {self.micro} images a forward pass; a step of the"
            f" optimiser still takes {self._finetune.batch_size * self._finetune.accumulate}"
        )


def network_input(batch: Batch, inputs: Inputs, finetune: FineTune, device: torch.device) -> Tensor:
    """Images on the device, augmented where that is drawn, and normalised: (B, 3, H, W), channels last."""
    if batch.chance is None:
        return inputs.normalise(batch.images, device)
    x = torch.from_numpy(batch.images).to(device, non_blocking=True).permute(0, 3, 1, 2).float()
    x = augment_batch(x, finetune.augment, batch.chance)
    if inputs.mean is None or inputs.std is None:
        raise ValueError("mean and std of the training images have not been learned")
    mean, std = (torch.tensor(value, device=device).view(1, 3, 1, 1) for value in (inputs.mean, inputs.std))
    return ((x / 255 if inputs.scale == "unit" else x) - mean) / std


def _least_batch(model: ClassifyingNetwork, finetune: FineTune) -> int:
    """2 where a layer takes statistics from the batch, else 1."""
    trunk_learns = finetune.batch_norm == "update" and finetune.frozen_epochs < finetune.epochs
    still = set() if trunk_learns else set(model.network.trunk.modules())
    norms = [name for name, part in model.named_modules() if isinstance(part, _BatchNorm) and part not in still]
    if norms and finetune.batch_size == 1:
        raise UsageError(
            f"finetune.batch_size is 1, and BatchNorm ({norms[0]}) needs at least 2 images to take statistics from;"
            " give 2 or more, or batch_norm: frozen"
        )
    return 2 if norms else 1
