"""The training loop: a function of its inputs, whatever interrupts it, that looks at its own rows only."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from leukfeat.backbones import feed, learner, stream
from leukfeat.backbones.finetune import FineTune
from leukfeat.backbones.history import History
from leukfeat.backbones.inputs import Inputs
from leukfeat.backbones.learner import Batch, network_input
from leukfeat.backbones.losses import make_loss
from leukfeat.backbones.network import ClassifyingNetwork, Network
from leukfeat.backbones.network_files import with_classifier
from leukfeat.backbones.outputs import outputs_of
from leukfeat.backbones.training import TrainingProgress, train
from leukfeat.backbones.trunks import random_trunk
from leukfeat.data.manifest import Manifest
from leukfeat.data.synthetic import synthesize
from leukfeat.errors import TrainingError, UnknownNameError, UsageError

SIZE = 32
INPUTS = Inputs((SIZE, SIZE), "none", 0.0, "bilinear", "unit", (0.2, 0.1, 0.2), (0.2, 0.2, 0.2))
FIT, VALIDATION, OTHERS = range(20), range(20, 28), range(28, 32)  # 4 cells of each of 8 subjects


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Eight subjects with four cells each, classes mixed."""
    made = synthesize(tmp_path_factory.mktemp("cells") / "cells", n_subjects=8, n_cells=4, size=SIZE, seed=1)
    order = np.argsort([f"{subject[-1]}{row % 4}" for row, subject in enumerate(made.subject)], kind="stable")
    return made.take(order)


def network(finetune: FineTune, n_classes: int = 2) -> ClassifyingNetwork:
    """Timm's smallest network (it has BatchNorm) with the classifier asked for."""
    return with_classifier(
        Network(random_trunk("test_efficientnet", {}, 0)), INPUTS.size, n_classes, finetune.classifier, finetune.seed
    )


def trained(manifest: Manifest, finetune: FineTune, **changes: Any) -> tuple[dict[str, torch.Tensor], History]:
    """Weights and history of a training on the CPU."""
    given = {"fit": FIT, "validation": VALIDATION, "classes": manifest.classes, "device": "cpu", "num_workers": 1}
    given |= changes
    model = given.pop("model", None) or network(finetune, len(given["classes"]))
    history = train(model, INPUTS, manifest, given.pop("fit"), given.pop("validation"), finetune, **given)
    return dict(model.state_dict()), history


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether weights are equal to the bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def timeless(history: History) -> History:
    """A history without its seconds."""
    return dataclasses.replace(
        history, epochs=tuple(dataclasses.replace(record, seconds=0.0) for record in history.epochs)
    )


AUGMENTED = {"rotate": 30, "hflip": 0.5, "brightness": (0.8, 1.2)}
WAYS = {
    "adamw, dropout, augmentation": FineTune(
        epochs=4, batch_size=8, lr=3e-3, augment=AUGMENTED, classifier={"hidden": [8], "dropout": 0.5}
    ),
    "sgd, plateau, frozen at first": FineTune(
        epochs=4,
        batch_size=4,
        accumulate=2,
        optimizer="sgd",
        lr=0.05,
        schedule={"name": "plateau", "warmup": 0.5},
        frozen_epochs=2,
        sampling="subject",
        clip_norm=1.0,
        metric="accuracy",
        multiply={},
    ),
    "adamax, step, last epoch": FineTune(
        epochs=4, batch_size=8, optimizer="adamax", schedule="step", select="last", label_smoothing=0.1
    ),
}


class PlugPulledError(Exception):
    """Somebody pulls the plug."""


@pytest.mark.parametrize("finetune", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("epoch", [1, 2, 4])
def test_an_interrupted_training_ends_where_an_uninterrupted_one_does(
    manifest: Manifest, finetune: FineTune, epoch: int, tmp_path: Path
) -> None:
    """To the bit, wherever it stops: no state of a generator, of a schedule or of an optimiser may be lost."""

    def stop(where: TrainingProgress) -> None:
        if (where.epoch, where.step) == (epoch, 2):
            raise PlugPulledError

    whole, history = trained(manifest, finetune)
    with pytest.raises(PlugPulledError):
        trained(manifest, finetune, checkpoint=tmp_path, progress=stop)
    told: list[str] = []
    torch.rand(7)  # what else draws random numbers must not matter
    resumed, again = trained(manifest, finetune, checkpoint=tmp_path, told=told.append)
    assert same(whole, resumed)
    assert timeless(history) == timeless(again)
    assert told == ([f"training goes on after epoch {epoch - 1} of 4"] if epoch > 1 else [])


KILLED = """
import os, signal, sys
sys.path[:0] = {path!r}
from pathlib import Path
import torch
torch.set_num_threads({threads})
import test_training_killed as t
from leukfeat.data.manifest import Manifest

def kill(where):
    if (where.epoch, where.step) == (3, 1):
        os.kill(os.getpid(), signal.SIGKILL)

t.trained(Manifest.load({cells!r}), t.WAYS["adamw, dropout, augmentation"], checkpoint=Path({folder!r}), progress=kill)
"""


def test_kill_9_loses_nothing_but_time(manifest: Manifest, tmp_path: Path) -> None:
    """A process that is killed in its third epoch leaves a checkpoint that another one goes on from."""
    cells, folder = tmp_path / "cells.csv", tmp_path / "checkpoint"
    manifest.save(cells)
    (tmp_path / "test_training_killed.py").write_text(Path(__file__).read_text(encoding="utf-8"), encoding="utf-8")
    root = str(Path(__file__).resolve().parents[2])
    script = KILLED.format(
        path=[root, str(tmp_path)], threads=torch.get_num_threads(), cells=str(cells), folder=str(folder)
    )
    died = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    finetune = WAYS["adamw, dropout, augmentation"]
    told: list[str] = []
    resumed, _ = trained(Manifest.load(cells), finetune, checkpoint=folder, told=told.append)
    assert told == ["training goes on after epoch 2 of 4"]
    assert same(resumed, trained(manifest, finetune)[0])


def test_a_finished_training_is_not_repeated(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever was killed after the last epoch gets the weights from the checkpoint; no image is read again."""
    finetune = FineTune(epochs=3, batch_size=8, lr=0.05)
    first, history = trained(manifest, finetune, checkpoint=tmp_path)
    reads = spied(monkeypatch)
    second, again = trained(manifest, finetune, checkpoint=tmp_path)
    assert same(first, second)
    assert history == again
    assert not reads


@pytest.mark.parametrize(
    "changes",
    [{"finetune": {"lr": 1e-3}}, {"fit": range(19)}, {"validation": range(20, 27)}, {"amp_dtype": "bfloat16"}],
    ids=str,
)
def test_a_checkpoint_of_another_training_is_not_used(
    manifest: Manifest, tmp_path: Path, changes: dict[str, Any]
) -> None:
    """Weights that come from other settings or rows must not leak into these."""
    finetune = FineTune(epochs=1, batch_size=8)
    trained(manifest, finetune, checkpoint=tmp_path)
    other = finetune.replace(**changes.pop("finetune", {}))
    told: list[str] = []
    weights, _ = trained(manifest, other, checkpoint=tmp_path, told=told.append, **changes)
    assert "belongs to another training" in told[0]
    assert same(weights, trained(manifest, other, **changes)[0])


def test_the_callers_random_numbers_are_left_alone(manifest: Manifest) -> None:
    """A library that reseeds its caller makes experiments depend on each other."""
    torch.manual_seed(3)
    before = torch.get_rng_state()
    trained(manifest, WAYS["adamw, dropout, augmentation"].replace(epochs=1))
    assert torch.equal(before, torch.get_rng_state())


def test_threads_and_memory_change_nothing(manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How images are decoded is no part of what is learned."""
    finetune = WAYS["adamw, dropout, augmentation"].replace(epochs=2, multiply={"ALL": 1.5, "HEM": 2})
    one, _ = trained(manifest, finetune)
    many, _ = trained(manifest, finetune, num_workers=3)
    monkeypatch.setattr(feed, "KEPT_BYTES", 0)
    decoded_again, _ = trained(manifest, finetune, num_workers=2)
    assert same(one, many)
    assert same(one, decoded_again)


def test_seeds_give_different_networks(manifest: Manifest) -> None:
    """Else a mean over seeds would be one training, repeated."""
    finetune = FineTune(epochs=1, batch_size=8)
    assert not same(trained(manifest, finetune)[0], trained(manifest, finetune.replace(seed=1))[0])


# ---------------------------------------------------------------------- rows


def spied(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows whose images are read from now on."""
    reads: list[int] = []
    real = stream.read_picture

    def read(manifest: Manifest, row: int, *known: Any) -> Any:
        reads.append(row)
        return real(manifest, row, *known)

    monkeypatch.setattr(stream, "read_picture", read)
    return reads


def test_no_other_image_is_ever_looked_at(manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Augmentation happens after splitting: what is augmented are training rows, so no test image has a sibling."""
    reads = spied(monkeypatch)
    trained(manifest, WAYS["adamw, dropout, augmentation"].replace(multiply={"ALL": 3}))
    assert set(reads) == {*FIT, *VALIDATION}


def test_labels_of_other_rows_change_nothing(manifest: Manifest) -> None:
    """Not a bit of the weights may depend on the classes of the test part."""
    flipped = list(manifest.label)
    for row in OTHERS:
        flipped[row] = {"ALL": "HEM", "HEM": "ALL"}[flipped[row]]
    finetune = WAYS["sgd, plateau, frozen at first"]
    weights, history = trained(manifest, finetune)
    others, again = trained(dataclasses.replace(manifest, label=tuple(flipped)), finetune)
    assert same(weights, others)
    assert timeless(history) == timeless(again)


def test_it_learns(manifest: Manifest) -> None:
    """The loop makes the loss small on what it is shown."""
    _, history = trained(manifest, FineTune(epochs=12, batch_size=8, lr=5e-3, select="last"))
    assert history.epochs[-1].train.loss < 0.5 * history.epochs[0].train.loss
    assert history.epochs[-1].train.accuracy > 0.9


def test_the_weights_of_the_best_epoch_are_kept(manifest: Manifest) -> None:
    """The loss of the network that is given back is the smallest in the history, not the last."""
    finetune = FineTune(epochs=4, batch_size=8, lr=1e-3)
    model = network(finetune)

    def spoil(where: TrainingProgress) -> None:
        if where.epoch > 2:
            with torch.no_grad():
                model.classifier.last.bias += torch.tensor([9.0, 0.0])

    _, history = trained(manifest, finetune, model=model, progress=spoil)
    losses = [record.validation.loss for record in history.epochs if record.validation]
    assert history.chosen == 1 + int(np.argmin(losses)) < 3, losses
    logits, _ = outputs_of(model, INPUTS, manifest, list(VALIDATION), device="cpu")
    y = torch.tensor([manifest.classes.index(manifest.label[row]) for row in VALIDATION])
    assert torch.nn.functional.cross_entropy(torch.from_numpy(logits), y).item() == pytest.approx(min(losses), rel=1e-4)
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_training_ends_when_nothing_improves(manifest: Manifest) -> None:
    """With a rate too small to change anything, the first epoch stays the best."""
    finetune = FineTune(epochs=9, batch_size=8, lr=1e-12, metric="accuracy", patience=2, batch_norm="frozen")
    _, history = trained(manifest, finetune)
    assert (len(history.epochs), history.chosen, history.ended) == (3, 1, "no better accuracy in 2 epochs")
    schedule = {"name": "plateau", "factor": 0.5, "patience": 1, "stop_after": 3}
    _, history = trained(manifest, finetune.replace(patience=None, schedule=schedule))
    assert len(history.epochs) == 4  # the first, and one for each reduction
    assert [record.lr for record in history.epochs] == [1e-12, 1e-12, 5e-13, 2.5e-13]
    assert history.ended == "no better accuracy after 3 reductions of the learning rate"


def test_without_validation_rows_the_last_epoch_is_judged_by_training(manifest: Manifest) -> None:
    """A reader of the history sees that nothing else chose."""
    _, history = trained(manifest, FineTune(epochs=2, batch_size=8, select="last"), validation=())
    assert [record.validation for record in history.epochs] == [None, None]
    assert history.chosen == 2
    with pytest.raises(UsageError, match="patience is 2 without validation rows"):
        trained(manifest, FineTune(patience=2), validation=())


# ---------------------------------------------------------------------- what learns


def changed(model: ClassifyingNetwork, before: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}


def part(name: str) -> str:
    kind = "statistics" if "running" in name or "num_batches" in name else "weights"
    return f"{'classifier' if name.startswith('classifier') else 'trunk'} {kind}"


TRUNK, CLASSIFIER = {"trunk weights", "trunk statistics"}, {"classifier weights", "classifier statistics"}


@pytest.mark.parametrize(
    ("finetune", "learning"),
    [
        ({}, TRUNK | CLASSIFIER),
        ({"frozen_epochs": 2}, CLASSIFIER),
        ({"frozen_epochs": 1}, TRUNK | CLASSIFIER),
        ({"batch_norm": "frozen"}, {"trunk weights"} | CLASSIFIER),
        ({"lr_of": {"classifier": 0}}, TRUNK | {"classifier statistics"}),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_what_stands_still_stands_still(manifest: Manifest, finetune: dict[str, Any], learning: set[str]) -> None:
    """A frozen trunk keeps its BatchNorm statistics too; running statistics of new images would change its output."""
    spec = FineTune(epochs=2, batch_size=8, lr=1e-3, select="last", classifier={"batch_norm": True}, **finetune)
    model = network(spec)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    trained(manifest, spec, model=model)
    assert {part(name) for name in changed(model, before)} == learning


def test_accumulated_gradients_are_those_of_one_batch(manifest: Manifest) -> None:
    """Four passes of two images are one step of eight, unequal class weights included."""
    spec = FineTune(
        epochs=2, batch_size=8, optimizer="sgd", lr=0.01, batch_norm="frozen", class_weights="balanced", select="last"
    )
    whole, _ = trained(manifest, spec)
    parts, _ = trained(manifest, spec.replace(batch_size=2, accumulate=4))
    for name, tensor in whole.items():
        torch.testing.assert_close(parts[name], tensor, rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------------- what goes wrong


class Small(torch.nn.Module):
    """A classifier on a device with room for so many images."""

    def __init__(self, inner: torch.nn.Module, room: int) -> None:
        super().__init__()
        self.inner, self.room = inner, room

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > self.room:
            raise torch.OutOfMemoryError("made up")
        return self.inner(x)


def with_room(finetune: FineTune, room: int) -> ClassifyingNetwork:
    model = network(finetune)
    model.classifier = Small(model.classifier, room)
    return model


def test_when_memory_runs_out_the_pieces_are_halved_and_the_step_stays(manifest: Manifest) -> None:
    """Fewer images a pass, as many a step, so that the result is that of a larger machine; and somebody says so."""
    spec = FineTune(epochs=1, batch_size=8, optimizer="sgd", lr=0.01, batch_norm="frozen", select="last")
    told: list[str] = []
    small, _ = trained(manifest, spec, model=with_room(spec, 3), told=told.append)
    assert [line.split(";")[0] for line in told] == [
        "out of memory on cpu: going on with 4 images a forward pass",
        "out of memory on cpu: going on with 2 images a forward pass",
    ]
    for name, tensor in trained(manifest, spec)[0].items():
        name = name.replace("classifier.", "classifier.inner.")
        torch.testing.assert_close(small[name], tensor, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("room", "batch_norm", "least"), [(1, "update", 2), (0, "frozen", 1)])
def test_a_network_that_fits_no_batch_at_all_is_an_error(
    manifest: Manifest, room: int, batch_norm: str, least: int
) -> None:
    """BatchNorm cannot take statistics from one image, so there the end is two."""
    spec = FineTune(epochs=1, batch_size=8, batch_norm=batch_norm)
    with pytest.raises(TrainingError, match=f"pass of {least} images does not fit into the memory of cpu"):
        trained(manifest, spec, model=with_room(spec, room))


def test_a_loss_that_is_no_number_stops_training(manifest: Manifest) -> None:
    """The message says when, where, and what to change."""
    spec = FineTune(epochs=3, batch_size=8, optimizer="sgd", lr=1e30, schedule="none")
    with pytest.raises(TrainingError, match=r"epoch 1, batch \d of 3: the loss is (nan|inf) at .* 1e\+30; lower lr"):
        trained(manifest, spec)


def test_weights_that_break_in_the_last_step_are_noticed(manifest: Manifest) -> None:
    """No batch follows in which the loss would show it."""
    spec = FineTune(epochs=1, batch_size=32, optimizer="sgd", select="last")
    model = network(spec)
    model.classifier.last.bias.requires_grad_(True).register_hook(lambda gradient: gradient * float("nan"))
    with pytest.raises(TrainingError, match=r"epoch 1: the weights are no longer finite at .*; lower lr"):
        trained(manifest, spec, model=model, validation=())


def test_a_last_batch_of_one_joins_the_one_before(manifest: Manifest) -> None:
    """BatchNorm on a vector refuses a single image, and that of a map learns nonsense from it."""
    steps: list[int] = []
    spec = FineTune(epochs=1, batch_size=4, classifier={"batch_norm": True})
    trained(manifest, spec, fit=range(9), progress=lambda where: steps.append(where.steps))
    assert steps == [2, 2]


def test_batches_of_one_are_refused_where_there_is_batch_norm(manifest: Manifest) -> None:
    """And taken where all of it is frozen."""
    with pytest.raises(UsageError, match=r"batch_size is 1, and BatchNorm \(network\.trunk\."):
        trained(manifest, FineTune(epochs=1, batch_size=1))
    with pytest.raises(UsageError, match=r"BatchNorm \(classifier\."):
        trained(manifest, FineTune(epochs=1, batch_size=1, batch_norm="frozen", classifier={"batch_norm": True}))
    trained(manifest, FineTune(epochs=1, batch_size=1, batch_norm="frozen"), fit=range(5))


@pytest.fixture
def fragile(manifest: Manifest, tmp_path: Path) -> Manifest:
    """A copy of the cells of which some can be broken."""
    (tmp_path / "images").mkdir()
    for row in range(len(manifest)):
        (tmp_path / manifest.path[row]).write_bytes(manifest.file(row).read_bytes())
    return dataclasses.replace(manifest, root=tmp_path)


def test_unreadable_images_are_left_out_and_counted(fragile: Manifest) -> None:
    """The same weights as without their rows would need the same draws; at least it trains, and says so."""
    for row in (0, 3, 21):
        fragile.file(row).unlink()
    told: list[str] = []
    trained(fragile, FineTune(epochs=2, batch_size=8, metric="accuracy"), told=told.append)
    assert len(told) == 2
    assert told[0].startswith(f"2 of 20 training images could not be read and are left out, e.g. {fragile.sample[0]}")
    assert told[1].startswith("1 of 8 validation images")


def test_a_class_that_cannot_be_read_is_an_error(fragile: Manifest) -> None:
    """A network that has never seen a class must not pass for one that tells it."""
    for row in FIT:
        if fragile.label[row] == "HEM":
            fragile.file(row).unlink()
    with pytest.raises(TrainingError, match="class 'HEM': none of its training images can be read"):
        trained(fragile, FineTune(epochs=1, batch_size=8))


def test_a_class_that_an_epoch_does_not_show_can_be_read_all_the_same(manifest: Manifest) -> None:
    """Two showings an epoch, of whichever class: chance gives some epochs two of one, and no file is to blame."""
    rare = FineTune(epochs=6, batch_size=4, multiply={"ALL": 1 / 12, "HEM": 1 / 8})
    _, history = trained(manifest, rare)
    assert len(history.epochs) == 6
    assert {record.train.auroc is None for record in history.epochs} == {True, False}


def test_a_class_without_training_rows_is_an_error(manifest: Manifest) -> None:
    """Named, and before anything is read."""
    only = [row for row in FIT if manifest.label[row] == "ALL"]
    with pytest.raises(TrainingError, match=f"class 'HEM' has no image among the {len(only)} training rows"):
        trained(manifest, FineTune(), fit=only)
    with pytest.raises(TrainingError, match="class 'other' has no image among the 20 training rows"):
        trained(manifest, FineTune(), classes=["ALL", "HEM", "other"])
    validation = [row for row in VALIDATION if manifest.label[row] == "ALL"]
    with pytest.raises(TrainingError, match="validation rows, so there is no auroc"):
        trained(manifest, FineTune(metric="auroc"), validation=validation)


def test_a_row_is_on_one_side_only(manifest: Manifest) -> None:
    """An epoch chosen on training rows is not chosen at all."""
    with pytest.raises(UsageError, match="stands in the training and the validation rows"):
        trained(manifest, FineTune(), validation=range(19, 28))


def test_wrong_names_are_refused(manifest: Manifest) -> None:
    """Of the precision, of parameters, of classes."""
    with pytest.raises(UnknownNameError, match="amp dtype 'half'"):
        trained(manifest, FineTune(), amp_dtype="half")
    with pytest.raises(UsageError, match=r"lr_of names 'block', .*blocks.*classifier"):
        trained(manifest, FineTune(lr_of={"block": 1e-3}))
    with pytest.raises(UsageError, match="multiply names class 'all', which no training row has; classes: ALL, HEM"):
        trained(manifest, FineTune(multiply={"all": 2}))


# ---------------------------------------------------------------------- odds and ends


def test_progress_counts_to_the_end(manifest: Manifest) -> None:
    """Steps, the latest value, and seconds that run out."""
    seen: list[TrainingProgress] = []
    _, history = trained(manifest, FineTune(epochs=2, batch_size=8), progress=seen.append)
    assert [(where.epoch, where.step, where.steps) for where in seen] == [(e, s, 3) for e in (1, 2) for s in (1, 2, 3)]
    assert [where.value for where in seen[:3]] == [None] * 3
    assert history.epochs[0].validation is not None
    assert seen[3].value == history.epochs[0].validation.loss
    assert all(where.seconds_left > 0 for where in seen[:-1])
    assert seen[-1].seconds_left == 0
    assert seen[-1].loss == pytest.approx(history.epochs[-1].train.loss)


def test_mixed_precision_trains(manifest: Manifest) -> None:
    """In bfloat16 the history is finite and the weights stay 32-bit floats."""
    weights, _ = trained(manifest, FineTune(epochs=1, batch_size=8), amp_dtype="bfloat16")
    assert {tensor.dtype for tensor in weights.values() if tensor.is_floating_point()} == {torch.float32}


def test_an_image_that_is_not_changed_is_normalised_as_ever() -> None:
    """The way through augmentation and the way without it end in the same numbers."""
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    y = np.zeros(3, dtype=np.int64)
    still = FineTune(augment={"hflip": 0.5})
    for inputs in (INPUTS, dataclasses.replace(INPUTS, scale="raw", mean=(9.0, 8.0, 7.0), std=(2.0, 3.0, 4.0))):
        plain = network_input(Batch(images, y), inputs, still, torch.device("cpu"))
        through = network_input(Batch(images, y, np.full((3, 9), 0.9)), inputs, still, torch.device("cpu"))
        assert torch.equal(plain, through)


def test_nothing_to_augment_costs_nothing(manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No random numbers, no second pass over the pixels."""

    def never(*_arguments: object) -> None:
        raise AssertionError

    monkeypatch.setattr(learner, "augment_batch", never)
    trained(manifest, FineTune(epochs=1, batch_size=8))


def test_three_classes_and_the_positive_weight(manifest: Manifest) -> None:
    """Losses meet the data here: bce is for two classes, and its weight needs a positive one."""
    three = tuple("new" if row in (0, 9, 20, 25) else label for row, label in enumerate(manifest.label))
    more = dataclasses.replace(manifest, label=three, positive=None)
    assert trained(more, FineTune(epochs=1, batch_size=8))[0]["classifier.last.bias"].shape == (3,)
    with pytest.raises(UsageError, match="'bce' is for two classes, and there are 3"):
        trained(more, FineTune(loss="bce"))
    with pytest.raises(UsageError, match="none is named; name it with --positive"):
        make_loss(FineTune(loss="bce", class_weights="positive"), ("a", "b"), (1, 2), None, torch.device("cpu"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("amp_dtype", [None, "bfloat16", "float16"])
def test_a_gpu_learns_the_same_task(manifest: Manifest, amp_dtype: str | None, tmp_path: Path) -> None:
    """In every precision, resumed or not; bits are promised on the CPU only."""
    finetune = FineTune(epochs=12, batch_size=8, lr=5e-3, select="last", augment={"hflip": 0.5, "rotate": 10})
    here: dict[str, Any] = {"device": "cuda", "amp_dtype": amp_dtype, "checkpoint": tmp_path}
    before = torch.cuda.get_rng_state()

    def stop(where: TrainingProgress) -> None:
        if where.epoch == 6:
            raise PlugPulledError

    with pytest.raises(PlugPulledError):
        trained(manifest, finetune, progress=stop, **here)
    _, history = trained(manifest, finetune, **here)
    assert history.epochs[-1].train.loss < 0.6 * history.epochs[0].train.loss
    assert torch.equal(before, torch.cuda.get_rng_state())
