"""What is kept of a fitted candidate: everything a bundle is made of, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from leukfeat.backbones.spec import BackboneSpec
from leukfeat.evaluation.ensembles import FittedRule
from leukfeat.heads.tuning import TunedHead


@dataclass(frozen=True)
class Kept:
    """A fitted head with its encoders, a trained network, or an ensemble of such.

    Attributes
    ----------
    classes : tuple of str
        Order of the probability columns.
    facts : mapping
        What is worth knowing about the fit; JSON types.
    head : TunedHead or None
        Fitted.
    encoders : tuple of BackboneSpec
        Whose concatenated embeddings the head takes, with nothing left to learn; empty where features were given.
    network : Path or None
        File of a trained network with its classifier.
    members : tuple of Kept
        Of an ensemble.
    rule : FittedRule or None
        How an ensemble combines its members.
    """

    classes: tuple[str, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    head: TunedHead | None = None
    encoders: tuple[BackboneSpec, ...] = ()
    network: Path | None = None
    members: tuple[Kept, ...] = ()
    rule: FittedRule | None = None
