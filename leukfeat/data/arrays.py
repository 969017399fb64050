"""Images that lie inside an array file (``.npz``) and are named ``file.npz::member/index``."""

from __future__ import annotations

import hashlib
import lzma
import math
import mmap
import shutil
import stat
import struct
import tempfile
import tokenize
import zipfile
import zlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leukfeat.errors import ImageError

_MARK = "::"
# What zipfile, its decompressors and NumPy's reader of headers raise on damaged files. RuntimeError: an encrypted one.
DAMAGED = (
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def is_member(path: str) -> bool:
    """Whether a manifest path names an image inside an array file.

    Examples
    --------
    >>> is_member("bloodmnist_64.npz::train_images/17"), is_member("ALL/17.png")
    (True, False)
    """
    return _MARK in path


def read_array(file: Path, member: str) -> NDArray[Any]:
    """One array of an ``.npz`` file, read-only; opened once, however often it is asked for.

    The array is unpacked to a nameless temporary file and mapped, so memory does not grow with the array. Pickled
    objects are refused.

    Parameters
    ----------
    file : Path
        The archive.
    member : str
        The array's name in it.

    Raises
    ------
    ImageError
        The file, or this member of it, cannot be read.
    """
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("not a regular file")
        return _mapped(file, member, status.st_size, status.st_mtime_ns)
    except DAMAGED as error:
        reason = "no such array" if isinstance(error, KeyError) else str(error) or type(error).__name__
        raise ImageError(f"{file}{_MARK}{member}", f"cannot be read: {reason}") from error


def member_names(file: Path) -> tuple[str, ...]:
    """The names of the arrays in an ``.npz`` file.

    Raises
    ------
    ImageError
        The file is no ``.npz`` file.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            return tuple(name.removesuffix(".npy") for name in archive.namelist())
    except DAMAGED as error:
        raise ImageError(str(file), f"cannot be read as an array file: {error}") from error


def member_image(root: Path, path: str) -> NDArray[np.uint8]:
    """The pixels of one image inside an array file.

    Parameters
    ----------
    root : Path
        What ``path`` is relative to.
    path : str
        ``file.npz::member/index``.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8
        RGB, writable.

    Raises
    ------
    ImageError
        No such file, array or index, or an array that does not hold 8-bit images.
    """
    name, _, place = path.partition(_MARK)
    member, _, index = place.rpartition("/")
    if not member or not index.isdecimal():
        raise ImageError(path, "should read file.npz::member/index")
    images = read_array(root / name, member)
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3)):
        raise ImageError(path, f"holds {images.dtype} of shape {images.shape}, not 8-bit images (n, H, W[, 3])")
    if int(index) >= len(images):
        raise ImageError(path, f"index {index} is past the last image ({len(images) - 1})")
    image = np.array(images[int(index)])
    if image.ndim == 2:
        image = image[:, :, None]
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image


def hash_pixels(image: NDArray[np.uint8]) -> str:
    """Hexadecimal sha256 of an image's shape (H, W, 3) and pixels."""
    return hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()


def hash_members(root: Path, paths: Iterable[str]) -> dict[str, str]:
    """Digest of every image's shape and pixels; an image that cannot be read has none.

    Parameters
    ----------
    root : Path
        What the paths are relative to.
    paths : iterable of str
        ``file.npz::member/index`` each.

    Returns
    -------
    dict of str to str
        Hexadecimal sha256 by path.
    """
    digests = {}
    for path in paths:
        try:
            image = member_image(root, path)
        except ImageError:
            continue
        digests[path] = hash_pixels(image)
    return digests


@lru_cache(maxsize=8)
def _mapped(file: Path, member: str, size: int, mtime_ns: int) -> NDArray[Any]:
    """Unpack and map one array; ``size`` and ``mtime_ns`` are there so that a changed file is read anew."""
    with zipfile.ZipFile(file) as archive, archive.open(f"{member}.npy") as packed:
        version = np.lib.format.read_magic(packed)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran_order, dtype = read_header(packed)
        if dtype.hasobject:
            raise ValueError("holds pickled objects, which are never loaded")
        expected = math.prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or expected > archive.getinfo(f"{member}.npy").file_size:
            raise ValueError(f"promises an array of shape {shape}, and holds less")
        if expected == 0:
            return np.empty(shape, dtype)
        with tempfile.TemporaryFile() as unpacked:
            # a small archive can hold a disk full of zeros
            if expected > shutil.disk_usage(tempfile.gettempdir()).free:
                raise ValueError(f"unpacks to {expected:,} bytes, more than are free in {tempfile.gettempdir()}")
            left = expected
            while left and (block := packed.read(min(left, 1 << 20))):
                left -= unpacked.write(block)
            unpacked.flush()
            if left or packed.read(1):
                raise ValueError(f"truncated or damaged: it should have {expected:,} bytes")
            pixels = mmap.mmap(unpacked.fileno(), expected, access=mmap.ACCESS_READ)
    return np.ndarray(shape, dtype, buffer=pixels, order="F" if fortran_order else "C")
