"""Where attention goes in a trunk, and how many channels flow there: found by a forward pass, not by belief."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn

from leukfeat.backbones.attention_spec import AttentionSpec
from leukfeat.backbones.meta import FeaturePass, meta_forward
from leukfeat.errors import UsageError

_USUAL_SIZES = ((224, 224), (256, 256), (384, 384), (331, 331))  # where nothing says what the trunk takes
_POOLS = (nn.MaxPool2d, nn.AvgPool2d)

# timm's feature_info of these names activations inside a block, which its shortcut goes around; the map between the
# blocks is the output of the block before.
_STAGES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "NASNetALarge": ("conv0", "cell_stem_0", "cell_5", "cell_11", "act"),
        "PNASNet5Large": ("conv_0", "cell_stem_0", "cell_3", "cell_7", "act"),
        "Xception": ("act2", "block1", "block2", "block11", "act4"),
    }
)

_ADVICE = "choose a convolutional backbone, e.g. efficientnet_b0 or resnet50, or attention: none"


@dataclass(frozen=True)
class Place:
    """A point of a trunk where attention stands.

    Attributes
    ----------
    module : str or None
        The module of the trunk whose output goes through attention; None for the map that is pooled.
    channels : int
        Channels of the map there.
    """

    module: str | None
    channels: int


def places(trunk: nn.Module, attention: AttentionSpec, layer: str | None = None) -> tuple[Place, ...]:
    """Say where attention goes.

    Parameters
    ----------
    trunk : nn.Module
        A timm model, or one of ours.
    attention : AttentionSpec
        ``after="last"``: one place, the map that is pooled. ``after="blocks"``: after the last module at every
        resolution, as timm's ``feature_info`` lists them; where a pooling layer follows directly in the same
        sequence, as in VGG, after the pooling, unless ``pre_pool``.
    layer : str or None
        The module whose output is pooled; attention after it would have no effect, so there is none.

    Returns
    -------
    tuple of Place
        In the order of the forward pass.

    Raises
    ------
    UsageError
        No map of pixels where attention should go, as in a ViT; ``pre_pool`` in a trunk without such pooling.
    """
    if attention.after == "last":
        shape = _forward(FeaturePass(trunk), trunk) if layer is None else _shapes(trunk, [], layer)[layer]
        return (Place(None, _channels(trunk, shape, layer or "the trunk")),)
    if _channels_last(trunk):
        raise UsageError(
            f"{type(trunk).__name__}: its stages have channels last, where attention after blocks cannot stand; use"
            " after: last"
        )
    stages = _stages(trunk, pre_pool=attention.pre_pool)
    seen = _shapes(trunk, stages, layer)
    if layer is not None:
        names = list(seen)
        seen = {name: seen[name] for name in names[: names.index(layer) + 1]}
    found = tuple(Place(name, _channels(trunk, shape, name)) for name, shape in seen.items() if name in stages)
    if not found:
        raise UsageError(f"{type(trunk).__name__}: no stage of it comes before layer {layer!r}; use after: last")
    return found


def _channels_last(trunk: nn.Module) -> bool:
    return getattr(trunk, "output_fmt", "NCHW") == "NHWC"


def _channels(trunk: nn.Module, shape: tuple[int, ...] | None, where: str) -> int:
    if shape is None or len(shape) != 4:
        kind = "no tensor" if shape is None else f"a tensor of {len(shape)} dimensions"
        raise UsageError(
            f"{type(trunk).__name__}: {where} gives {kind}, not the map of pixels that attention needs; {_ADVICE}"
        )
    return shape[3] if _channels_last(trunk) else shape[1]


def _stages(trunk: nn.Module, *, pre_pool: bool) -> list[str]:
    """The modules whose output leaves a stage."""
    modules = dict(trunk.named_modules())
    listed = _STAGES.get(type(trunk).__name__) or _listed(trunk)
    pooled = {name: after for name in listed if (after := _pool_after(name, modules)) is not None}
    if pre_pool:
        if not pooled:
            raise UsageError(
                f"{type(trunk).__name__}: no stage of it ends in a pooling layer to stand before; leave out pre_pool"
            )
        return [name for name in listed if not isinstance(modules[name], _POOLS)]
    return list(dict.fromkeys(pooled.get(name, name) for name in listed))


def _listed(trunk: nn.Module) -> tuple[str, ...]:
    facts: Any = getattr(trunk, "feature_info", None) or ()
    names = tuple(str(fact["module"]) for fact in facts if fact.get("module"))
    modules = dict(trunk.named_modules())
    if not names or any(name not in modules for name in names):
        raise UsageError(f"{type(trunk).__name__}: its stages are not known to timm; use after: last")
    inside = [name for name in names if ".stack." in name]
    if inside:
        raise UsageError(
            f"{type(trunk).__name__}: timm takes its maps at {inside[0]}, inside a block, which a shortcut goes around;"
            " use after: last"
        )
    return names


def _pool_after(name: str, modules: Mapping[str, nn.Module]) -> str | None:
    """The pooling layer that follows a module directly in the same sequence."""
    above, _, own = name.rpartition(".")
    if not isinstance(modules[above], nn.Sequential):
        return None
    siblings = list(modules[above]._modules)
    following = siblings[siblings.index(own) + 1 :][:1]
    if not following or not isinstance(modules[f"{above}.{following[0]}"], _POOLS):
        return None
    return f"{above}.{following[0]}"


def _shapes(trunk: nn.Module, names: list[str], layer: str | None) -> dict[str, tuple[int, ...] | None]:
    """Shapes of the outputs of modules and of a layer, in the order in which they come; None for what is no tensor."""
    seen: dict[str, tuple[int, ...] | None] = {}
    modules = dict(trunk.named_modules())
    hooks = [
        modules[name].register_forward_hook(
            lambda _module, _args, output, name=name: seen.update({name: _shape(output)})
        )
        for name in dict.fromkeys([*names, *([] if layer is None else [layer])])
    ]
    try:
        _forward(FeaturePass(trunk) if layer is None else trunk, trunk)
    finally:
        for hook in hooks:
            hook.remove()
    if layer is not None and layer not in seen:
        raise UsageError(f"layer {layer!r} takes no part in the network's forward pass; choose another")
    return seen


def _shape(output: Any) -> tuple[int, ...] | None:
    return tuple(output.shape) if isinstance(output, Tensor) else None


def _forward(module: nn.Module, trunk: nn.Module) -> tuple[int, ...] | None:
    """Pass an image of a size that suits the trunk."""
    *others, final = _sizes(trunk)
    for size in others:
        try:
            return _shape(meta_forward(module, size)[0])
        except UsageError:
            continue
    return _shape(meta_forward(module, final)[0])


def _sizes(trunk: nn.Module) -> Iterator[tuple[int, int]]:
    """Sizes to try: the trunk's own where it is known."""
    stated = dict(getattr(trunk, "pretrained_cfg", None) or {}).get("input_size")
    fixed = getattr(getattr(trunk, "patch_embed", None), "img_size", None)
    if fixed is not None:
        yield int(fixed[0]), int(fixed[1])
    elif stated is not None:
        yield int(stated[1]), int(stated[2])
    else:
        yield from _USUAL_SIZES
