"""What may happen to an image each time it is shown in training; torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from leukfeat.backbones.settings import check_number, check_pair, described, part_of

Pair = tuple[float, float]


@dataclass(frozen=True)
class Augment:
    """What happens to an image each time it is shown in training; every change is drawn anew.

    Attributes
    ----------
    rotate : (float, float)
        Range of the angle, degrees counter-clockwise; one number r stands for -r … r.
    hflip, vflip : float
        Probability of mirroring left-right and top-bottom.
    brightness, contrast : (float, float)
        Range of the factor that multiplies pixel values, or their distance from the image's mean grey.
    translate : float
        Largest shift along each axis, as a share of the side.
    shear : float
        Largest shear angle along the x axis, degrees.
    scale : (float, float)
        Range of the magnification.

    Raises
    ------
    UsageError
        A value that means nothing.
    """

    rotate: Pair = (0.0, 0.0)
    hflip: float = 0.0
    vflip: float = 0.0
    brightness: Pair = (1.0, 1.0)
    contrast: Pair = (1.0, 1.0)
    translate: float = 0.0
    shear: float = 0.0
    scale: Pair = (1.0, 1.0)

    def __post_init__(self) -> None:
        key = "finetune.augment"
        check_pair(self, key, "rotate", low=-360, high=360, around=0)
        for name in ("brightness", "contrast"):
            check_pair(self, key, name, low=0)
        check_pair(self, key, "scale", low=0.01)
        for name in ("hflip", "vflip", "translate"):
            check_number(self, key, name, low=0, high=1)
        check_number(self, key, "shear", low=0, high=89)

    @classmethod
    def of(cls, value: Augment | Mapping[str, Any] | None) -> Augment:
        """An augmentation, its description, or None for none."""
        return cls() if value is None else part_of(cls, "finetune.augment", value)

    @property
    def warps(self) -> bool:
        """Whether pixels are resampled: more than mirroring."""
        still = Augment(hflip=self.hflip, vflip=self.vflip, brightness=self.brightness, contrast=self.contrast)
        return self != still

    @property
    def changes(self) -> bool:
        """Whether anything is done at all."""
        return self != Augment()

    def describe(self) -> dict[str, Any]:
        """All fields as JSON types."""
        return described(self)
