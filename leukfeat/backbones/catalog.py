"""Which backbones there are."""

from __future__ import annotations

from fnmatch import fnmatch

# For lists of examples: those of the papers on leukemia cells that timm has under the same name.
NAMED_BACKBONES = (
    "efficientnet_b0",
    "mobilenetv2_100",
    "densenet201",
    "inception_v3",
    "resnet50",
    "vgg16",
    "vit_small_patch16_224",
)


def backbone_names(pattern: str = "") -> tuple[str, ...]:
    """Names of timm models, and of ours.

    Parameters
    ----------
    pattern : str
        Part of a name, or a shell pattern such as ``"efficientnet_b*"``; empty for all.

    Returns
    -------
    tuple of str
        timm's in natural order, then ours.

    Examples
    --------
    >>> "densenet201" in backbone_names("densenet2")
    True
    """
    import timm

    from leukfeat.backbones.architectures import ARCHITECTURES

    glob = pattern if not pattern or any(mark in pattern for mark in "*?[") else f"*{pattern}*"
    ours = (name for name in ARCHITECTURES if fnmatch(name, glob or "*"))
    return (*timm.list_models(glob), *ours)
