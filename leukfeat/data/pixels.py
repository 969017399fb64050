"""The pixels of a manifest's rows, and only those that the manifest describes."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from leukfeat.data.arrays import hash_pixels, is_member, member_image
from leukfeat.data.images import decode_image, read_bytes
from leukfeat.data.manifest import Manifest
from leukfeat.errors import ImageError

CHANGED = "content changed since the manifest was written; run data prepare again"
READABLE_NOW = "could not be read when the manifest was written, but can be now; run data prepare again"


def read_row(manifest: Manifest, row: int) -> NDArray[np.uint8]:
    """The pixels of one row: (H, W, 3), uint8. The file is read once, and must be the one the manifest describes.

    Raises
    ------
    ImageError
        Missing, unreadable, not an image, or changed.
    """
    path, expected = manifest.path[row], manifest.sha256[row]
    if is_member(path):
        image = member_image(manifest.root, path)
        if hash_pixels(image) != expected:
            raise ImageError(path, CHANGED if expected else READABLE_NOW)
        return image
    data = read_bytes(manifest.file(row))
    if not expected:
        decode_image(data, path)  # says what is wrong with it, if anything still is
        raise ImageError(path, READABLE_NOW)
    if hashlib.sha256(data).hexdigest() != expected:
        raise ImageError(path, CHANGED)
    return decode_image(data, path)
