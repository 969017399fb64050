"""Maps of a kept model: one for each network in it, whatever stands on the network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from leukfeat.backbones.inputs import Inputs
from leukfeat.backbones.stream import ImageWork, arranged_images
from leukfeat.data.manifest import Manifest
from leukfeat.errors import RunError
from leukfeat.experiments.model import Model

if TYPE_CHECKING:
    from leukfeat.backbones.network import ClassifyingNetwork, Network

_AT_ONCE = 8  # images in a pass with gradients


@dataclass(frozen=True)
class Looked:
    """What one network of a model looks at.

    Attributes
    ----------
    name : str
        The network, in the words of its model.
    method : str
        How its maps were made.
    images : ndarray of shape (n, H, W, 3), uint8
        As the network sees them.
    maps : ndarray of shape (n, H, W), float32
        0 or more; of the size of the images.
    """

    name: str
    method: str
    images: NDArray[np.uint8]
    maps: NDArray[np.float32]


@dataclass(frozen=True)
class Part:
    """One network of a model.

    Attributes
    ----------
    name : str
        For people.
    model : Model
        The head or network, without ensembles around it.
    number : int
        Which of its networks.
    """

    name: str
    model: Model
    number: int

    @property
    def network(self) -> Network | ClassifyingNetwork:
        """The network itself."""
        return self.model.networks[self.number].model

    @property
    def inputs(self) -> Inputs:
        """How images become its input."""
        return self.model.inputs[self.number]

    @cached_property
    def method(self) -> str:
        """How its maps are made, in a few words."""
        if self.model.head is None:
            return "Grad-CAM of the logit"
        from leukfeat.heads.contributions import METHODS

        return f"routed through the head: {METHODS[self.model.head.head][0]}"

    def look(
        self, manifest: Manifest, rows: Sequence[int], classes: Sequence[str], layer: str | None, how: Mapping[str, Any]
    ) -> Looked:
        """Maps of some rows, each for a class.

        Raises
        ------
        HeadError
            A head that nothing can be routed through.
        UsageError, UnknownNameError
            A layer that there is not, or a network without a map of pixels.
        """
        images = arranged(manifest, rows, self.inputs)
        given = self.contributions(manifest, rows, classes, how)
        return Looked(self.name, self.method, images, self.maps(self.network, images, classes, given, layer, how))

    def maps(
        self,
        network: Network | ClassifyingNetwork,
        images: NDArray[np.uint8],
        classes: Sequence[str],
        given: NDArray[np.float64] | None,
        layer: str | None,
        how: Mapping[str, Any],
    ) -> NDArray[np.float32]:
        """Maps (n, H, W) by a network in the place of this one; ``given`` are the contributions of its features."""
        from leukfeat.backbones.engines import choose_device
        from leukfeat.backbones.network import ClassifyingNetwork
        from leukfeat.explain.activation import enlarged, grad_cam, routed

        device = choose_device(str(how.get("device") or "auto"))
        network = network.to(device)
        k = np.array([self._place(name) for name in classes], dtype=np.int64)
        found = []
        for start in range(0, len(images), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            x = self.inputs.normalise(images[some], device)
            if isinstance(network, ClassifyingNetwork):
                maps = grad_cam(network, x, np.maximum(k[some], 0), layer)
            elif given is not None:
                maps = routed(network, x, given[some], layer)
            else:
                raise RunError(f"{self.name}: neither a classifier nor a head; nothing can be explained")
            found.append(enlarged(maps, self.inputs.size))
        whole = np.concatenate(found)
        whole[k < 0] = 0.0  # a member that does not know the class has nothing to say for it
        return whole

    def contributions(
        self, manifest: Manifest, rows: Sequence[int], classes: Sequence[str], how: Mapping[str, Any]
    ) -> NDArray[np.float64] | None:
        """What each feature of this network adds to the head's score of a class, (n, d); None without a head."""
        if self.model.head is None:
            return None
        from leukfeat.heads.contributions import contributions

        X, failed = self.model.outputs(manifest, np.asarray(rows, dtype=np.int64), how)
        if failed:
            raise RunError(f"{manifest.sample[min(failed)]}: {failed[min(failed)]}")
        values = np.zeros(X.shape, dtype=np.float64)
        for name in set(classes) & set(self.model.classes):
            mine = np.array([one == name for one in classes])
            values[mine] = contributions(self.model.head, X[mine], self._place(name)).values
        begin = sum(self._dims[: self.number])
        return values[:, begin : begin + self._dims[self.number]]

    @cached_property
    def _dims(self) -> list[int]:
        """Length of the embedding of each network of the model."""
        from leukfeat.backbones.network_files import embedding_dim

        return [embedding_dim(each.model, each.inputs.size) for each in self.model.networks]  # type: ignore[arg-type]

    def _place(self, name: str) -> int:
        return self.model.classes.index(name) if name in self.model.classes else -1


def parts_of(model: Model, place: str = "") -> Iterator[Part]:
    """Every network of a model, members of ensembles one after another.

    Raises
    ------
    RunError
        A model on features from elsewhere.
    """
    if not model.takes_images:
        raise RunError("this model was fitted on features from elsewhere and has no network: there is nothing to see")
    from leukfeat.backbones.network import ClassifyingNetwork

    for number, member in enumerate(model.members, start=1):
        yield from parts_of(member, f"{place}{number}: ")
    about = model.facts.get("model", model.facts).get("networks") or [{}] * len(model.networks)
    for number, (network, its) in enumerate(zip(model.networks, about, strict=True)):
        inner = network.model.network if isinstance(network.model, ClassifyingNetwork) else network.model
        attention = "" if inner.attention_spec is None else f" + {inner.attention_spec.label}"
        name = f"{its.get('architecture', 'network')}{attention}"
        head = f" → {model.head.head}" if model.head is not None else ""
        yield Part(f"{place}{name}{head}", model, number)


def arranged(manifest: Manifest, rows: Sequence[int], inputs: Inputs) -> NDArray[np.uint8]:
    """Images as a network sees them, (n, H, W, 3).

    Raises
    ------
    RunError
        One cannot be read any more.
    """
    work = (ImageWork(manifest.sha256[row], (int(row),)) for row in rows)
    found = []
    for row, result in zip(rows, arranged_images(manifest, work, inputs, 2, _AT_ONCE), strict=True):
        if result.image is None:
            raise RunError(f"{manifest.sample[row]}: {dict(result.failed).get(row, 'cannot be read')}")
        found.append(result.image)
    return np.stack(found)
