"""What an engine is: images in, embeddings out, batch by batch or as a stream; and what it may keep."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from leukfeat.backbones.network import ClassifyingNetwork, Network

    Model = Network | ClassifyingNetwork

EXPORTERS = ("onnx", "onnxscript")
"""What PyTorch writes an exported network with."""


@dataclass(frozen=True)
class Kept:
    """Where an engine keeps what it made of a network, for the next time.

    Attributes
    ----------
    folder : Path or None
        None keeps nothing.
    identity : str
        Digest of everything the network's output depends on; empty keeps nothing.
    """

    folder: Path | None = None
    identity: str = ""


class Engine(Protocol):
    """Something that turns arranged images into embeddings.

    Attributes
    ----------
    name : str
        Name in :data:`~leukfeat.backbones.engines.table.ENGINES`.
    details : str
        Device and library versions, recorded with the rows it makes.
    batch_size : int or None
        How many images it likes at once; None where it takes what there is.
    in_flight : int
        How many batches :meth:`stream` takes, at most, before it gives back the embedding of the first.
    """

    name: str
    details: str
    batch_size: int | None
    in_flight: int

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed a batch of arranged images: (B, H, W, 3) -> (B, d)."""
        ...

    def stream(self, batches: Iterable[NDArray[np.uint8]]) -> Generator[NDArray[np.float32]]:
        """Embed batches (B, H, W, 3), in order: one (B, d) for each, a few of them computed ahead.

        Batches are pulled one by one in the caller's thread, never more than :attr:`in_flight` ahead. A batch belongs
        to the engine until its embedding has come out, or the generator is closed; then its memory may be used again.
        """
        ...
