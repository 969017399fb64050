"""Which parameters learn at which rate, and by which rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from leukfeat.backbones.finetune import FineTune
from leukfeat.errors import UsageError

TRUNK, ATTENTION, CLASSIFIER = "network.trunk.", "network.attention.", "classifier."
_BASE = ""  # the group of parameters with the base rate

_RULES: Mapping[str, Callable[[list[dict[str, Any]], FineTune], torch.optim.Optimizer]] = MappingProxyType(
    {
        "adam": lambda groups, f: torch.optim.Adam(groups, lr=f.lr, weight_decay=f.weight_decay or 0.0),
        "adamax": lambda groups, f: torch.optim.Adamax(groups, lr=f.lr, weight_decay=f.weight_decay or 0.0),
        "adamw": lambda groups, f: torch.optim.AdamW(groups, lr=f.lr, weight_decay=f.weight_decay or 0.0),
        "sgd": lambda groups, f: torch.optim.SGD(
            groups, lr=f.lr, momentum=f.momentum or 0.0, weight_decay=f.weight_decay or 0.0
        ),
    }
)


def make_optimizer(model: nn.Module, finetune: FineTune) -> torch.optim.Optimizer:
    """The optimiser, with a group of parameters for every rate; each group keeps its rate as ``base_lr``.

    Parameters
    ----------
    model : ClassifyingNetwork
        All of its parameters take part; those without a gradient are left alone.
    finetune : FineTune
        ``optimizer``, ``lr``, ``lr_of``, ``momentum`` and ``weight_decay`` count.

    Raises
    ------
    UsageError
        ``lr_of`` names something there is not.
    """
    rates = dict(finetune.lr_of)
    members: dict[str, list[nn.Parameter]] = {}
    there: set[str] = set()  # for the error
    for name, parameter in model.named_parameters():
        members.setdefault(_group_of(name, rates), []).append(parameter)
        there.add(name.removeprefix(TRUNK).removeprefix("network.").split(".")[0])
    for wanted in rates:
        if wanted not in members:
            raise UsageError(
                f"finetune.lr_of names {wanted!r}, which has no parameters (of its own); there are"
                f" {', '.join(sorted(there)[:30])}, and modules inside them"
            )
    groups = []
    for group in sorted(members):
        rate = rates.get(group, finetune.lr)
        groups.append({"params": members[group], "lr": rate, "base_lr": rate})
    return _RULES[finetune.optimizer](groups, finetune)


def set_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Give every group its own rate times a factor."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


def _group_of(name: str, rates: Mapping[str, float]) -> str:
    """The entry of ``lr_of`` a parameter belongs to: a whole module's name, the longest one counting."""
    for prefix in (CLASSIFIER, ATTENTION):
        if name.startswith(prefix):
            own = prefix.split(".")[-2]
            return own if own in rates else _BASE
    inside = name.removeprefix(TRUNK)
    fitting = [group for group in rates if inside == group or inside.startswith(f"{group}.")]
    return max(fitting, key=len, default=_BASE)
