"""A checkpoint gives back what was put in, or nothing at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from leukfeat.backbones.checkpoint import CHECKPOINT, Reached, load_checkpoint, save_checkpoint
from leukfeat.backbones.history import EpochRecord
from leukfeat.backbones.scores import Scores

EPOCHS = (EpochRecord(1, 0.1, Scores(0.5, 0.5, 0.5, None), None, 1.0),)


def stepped(kind: type[torch.optim.Optimizer], steps: int = 2) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A network in channels-last memory and its optimiser after some steps, one parameter without any."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 4, 2))
    model = model.to(memory_format=torch.channels_last)
    arguments = {"momentum": 0.9} if kind is torch.optim.SGD else {}
    optimizer = kind(model.parameters(), lr=0.1, **arguments)
    model[3].bias.requires_grad_(False)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.ones(2, 3, 4, 4)).square().sum().backward()
        optimizer.step()
    return model, optimizer


@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.Adamax, torch.optim.SGD])
def test_weights_and_the_optimisers_memory_come_back(kind: type[torch.optim.Optimizer], tmp_path: Path) -> None:
    """To the bit, and laid out in memory as before."""
    model, optimizer = stepped(kind)
    best = {name: tensor + 1 for name, tensor in model.state_dict().items()}
    save_checkpoint(tmp_path, "digest", model, optimizer, Reached(EPOCHS, best, {"scale": 2.0}))
    other, blank = stepped(kind, steps=0)
    reached, why = load_checkpoint(tmp_path, "digest", other, blank)
    assert why == ""
    assert reached is not None
    assert (reached.epochs, dict(reached.scaler)) == (EPOCHS, {"scale": 2.0})
    for name, tensor in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor)
        assert torch.equal(reached.best[name], tensor + 1)
    for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
        assert optimizer.state[mine].keys() == blank.state[theirs].keys()
        for key, value in optimizer.state[mine].items():
            assert torch.equal(blank.state[theirs][key], value)
            assert blank.state[theirs][key].stride() == value.stride()


@pytest.mark.parametrize("damage", ["another digest", "half a file", "no checkpoint of ours", "none"])
def test_what_cannot_be_trusted_is_not_used(damage: str, tmp_path: Path) -> None:
    """The network is left as it was, and the reason is said."""
    model, optimizer = stepped(torch.optim.AdamW)
    save_checkpoint(tmp_path, "digest", model, optimizer, Reached(EPOCHS, {}, {}))
    file = tmp_path / CHECKPOINT
    if damage == "half a file":
        file.write_bytes(file.read_bytes()[:500])
    elif damage == "no checkpoint of ours":
        from safetensors.torch import save_file

        save_file({"x": torch.zeros(1)}, file)
    elif damage == "none":
        file.unlink()
    other, blank = stepped(torch.optim.AdamW, steps=0)
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    reached, why = load_checkpoint(tmp_path, "other" if damage == "another digest" else "digest", other, blank)
    assert reached is None
    assert ("starting anew" in why) == (damage != "none")
    assert all(torch.equal(before[name], tensor) for name, tensor in other.state_dict().items())
    assert not blank.state


def test_a_checkpoint_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever dies while writing leaves the one before, and no litter."""
    model, optimizer = stepped(torch.optim.AdamW)
    save_checkpoint(tmp_path, "first", model, optimizer, Reached(EPOCHS, {}, {}))

    def die(_tensors: object, file: Path, _metadata: object) -> None:
        file.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("leukfeat.backbones.checkpoint.save_file", die)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(tmp_path, "second", model, optimizer, Reached(EPOCHS, {}, {}))
    assert [file.name for file in tmp_path.iterdir()] == [CHECKPOINT]
    assert load_checkpoint(tmp_path, "first", model, optimizer)[0] is not None
