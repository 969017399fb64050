"""What the cells of a data set stand on: segmented on black, or in a field."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leukfeat.data.foreground import cell_mask
from leukfeat.data.manifest import Manifest
from leukfeat.data.pixels import read_row
from leukfeat.errors import ImageError

_LOOKED_AT = 60  # images, drawn by chance
_NEARLY_BLACK = 8  # of 255, in the brightest channel, as leukfeat.data.foreground counts it
_SHIFT = 0.5  # difference in the share of images on black


@dataclass(frozen=True)
class Background:
    """Whether the images of a site are cells cut out on black.

    Attributes
    ----------
    on_black : float
        Share of the images looked at whose border is black and whose middle is not; NaN where none could be read.
    near_black : float
        Mean share of their pixels that are nearly black.
    looked_at : int
        Images, drawn by chance.
    """

    on_black: float
    near_black: float
    looked_at: int

    @classmethod
    def of(cls, manifest: Manifest, most: int = _LOOKED_AT, seed: int = 0) -> Background:
        """Look at some labelled images; those that cannot be read are passed over."""
        rows = np.random.default_rng(seed).permutation(manifest.labelled)[:most]
        found: list[tuple[bool, float]] = []
        for row in rows:
            try:
                image = read_row(manifest, int(row))
            except ImageError:
                continue
            found.append((cell_mask(image) is not None, float((image.max(axis=2) <= _NEARLY_BLACK).mean())))
        if not found:
            return cls(float("nan"), float("nan"), 0)
        on_black, near_black = np.mean(found, axis=0)
        return cls(float(on_black), float(near_black), len(found))

    def shifted_from(self, other: Background) -> bool:
        """Whether one site's cells stand on black and the other's do not."""
        return bool(abs(self.on_black - other.on_black) > _SHIFT)
