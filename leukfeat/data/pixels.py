"""The pixels of a manifest's rows, and only those that the manifest describes."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from leukfeat.data.arrays import hash_pixels, is_member, member_image
from leukfeat.data.hashing import Known
from leukfeat.data.images import decode_picture, read_file
from leukfeat.data.manifest import Manifest
from leukfeat.errors import ImageError

CHANGED = "content changed since the manifest was written; run data prepare again"
READABLE_NOW = "could not be read when the manifest was written, but can be now; run data prepare again"


def read_row(manifest: Manifest, row: int) -> NDArray[np.uint8]:
    """The pixels of one row: (H, W, 3), uint8. Raises what :func:`read_picture` does."""
    return np.array(read_picture(manifest, row))


def read_picture(manifest: Manifest, row: int, known: Known | None = None) -> Image.Image:
    """The RGB picture of one row. The file is read once, and must be the one the manifest describes.

    Parameters
    ----------
    manifest : Manifest
        The data.
    row : int
        The row.
    known : Known or None
        What a memo knows of the file (:meth:`leukfeat.data.hashing.HashMemo.recall`): its bytes are not hashed again
        where size and times are those of the file that was hashed.

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
        return Image.fromarray(image)
    data, status = read_file(manifest.file(row))
    if not expected:
        decode_picture(data, path)  # says what is wrong with it, if anything still is
        raise ImageError(path, READABLE_NOW)
    digest = known.digest_of(status) if known is not None else None
    if (digest or hashlib.sha256(data).hexdigest()) != expected:
        raise ImageError(path, CHANGED)
    return decode_picture(data, path)
