"""One image file to 8-bit RGB pixels; whatever stands in the way is an :class:`~leukfeat.errors.ImageError`."""

from __future__ import annotations

import io
import math
import os
import stat
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from leukfeat.errors import ImageError

# A few bytes can claim to be a huge image. This is where some of Pillow's decoders begin to warn, and a warning from a
# thread cannot be kept from the user without changing settings of the whole process.
MAX_PIXELS = 89_478_485
_MAX_SCANNED = 1_200_000_000  # pixels times scans of a JPEG; a progressive one has about ten, a bomb ten thousand
_MAX_BYTES = 1 << 30  # an honest file of so many pixels is smaller

# First bytes of a file and the decoder they call for: the content decides, not the suffix. The decoders are named one
# by one, so Pillow's own opener is not needed: it warns about large images through the process-wide warning filters,
# and would offer every file to formats that no microscope writes (PostScript, icons).
_DECODERS: tuple[tuple[bytes, type[ImageFile.ImageFile]], ...] = (
    (b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    (b"\xff\xd8\xff", JpegImagePlugin.JpegImageFile),
    (b"BM", BmpImagePlugin.BmpImageFile),
    (b"II*\x00", TiffImagePlugin.TiffImageFile),
    (b"MM\x00*", TiffImagePlugin.TiffImageFile),
    (b"II+\x00", TiffImagePlugin.TiffImageFile),
    (b"MM\x00+", TiffImagePlugin.TiffImageFile),
    (b"GIF87a", GifImagePlugin.GifImageFile),
    (b"GIF89a", GifImagePlugin.GifImageFile),
    (b"RIFF", WebPImagePlugin.WebPImageFile),
)

# What Pillow's decoders raise on damaged files. A Warning is a decoder's complaint about damaged metadata, which is an
# exception where a program turns warnings into errors.
_DECODER_ERRORS = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    Warning,
    Image.DecompressionBombError,
    struct.error,
    zlib.error,
)


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read one image file.

    Parameters
    ----------
    path : Path
        A BMP, GIF, JPEG, PNG, TIFF or WebP file, whatever its suffix says.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8
        RGB, upright, writable.

    Raises
    ------
    ImageError
        The file cannot be read, or is refused by :func:`decode_image`.
    """
    return decode_image(read_bytes(path), str(path))


def read_bytes(path: Path) -> bytes:
    """The bytes of one image file. Raises what :func:`read_file` does."""
    return read_file(path)[0]


def read_file(path: Path) -> tuple[bytes, os.stat_result]:
    """The bytes of one image file, and what the system says of it once they are read.

    Asked before, it would not know of what is written to the file until then.

    Raises
    ------
    ImageError
        The file is missing, no plain file, unreadable, or too large to be an image.
    """
    try:
        with open(path, "rb", opener=_without_waiting) as stream:
            before = os.fstat(stream.fileno())
            if not stat.S_ISREG(before.st_mode):  # a pipe's reader waits for ever, a device has no end
                raise ImageError(str(path), "not a regular file")
            # asked for a gigabyte, the reader would set a gigabyte aside first
            data = stream.read(min(before.st_size, _MAX_BYTES) + 1)
            status = os.fstat(stream.fileno())
    except ImageError:
        raise
    except FileNotFoundError:
        raise ImageError(str(path), "no such file") from None
    except IsADirectoryError:
        raise ImageError(str(path), "a folder, not an image") from None
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ImageError(str(path), f"cannot be read: {reason}") from error
    if len(data) > _MAX_BYTES:
        raise ImageError(str(path), f"larger than {_MAX_BYTES >> 30} GiB")
    return data, status


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; of a named pipe that nobody writes to, too."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def decode_image(data: bytes, name: str) -> NDArray[np.uint8]:
    """Turn the bytes of an image file into RGB pixels: an array of shape (H, W, 3), uint8, upright, writable.

    Parameters, conversions and errors are those of :func:`decode_picture`.
    """
    return np.array(decode_picture(data, name))


def decode_picture(data: bytes, name: str) -> Image.Image:
    """Turn the bytes of an image file into an RGB picture, which can be resized without a copy in between.

    Grey, palette, CMYK and 16-bit images are converted (16 bits keep their upper 8, so white stays white); a partly
    transparent image is laid on black; an EXIF rotation is carried out.

    Parameters
    ----------
    data : bytes
        The whole file.
    name : str
        What to call it in an error.

    Returns
    -------
    PIL image
        Mode RGB, upright, unpacked.

    Raises
    ------
    ImageError
        Empty, truncated or damaged; not an image; more than 89 megapixels; several frames; pixels without a known
        white (floating point, 32-bit integers).
    """
    if not data:
        raise ImageError(name, "empty file (0 bytes)")
    decoder = next((decoder for start, decoder in _DECODERS if data.startswith(start)), None)
    if decoder is None:
        raise ImageError(name, "not an image (BMP, GIF, JPEG, PNG, TIFF and WebP are read)")
    try:
        with decoder(io.BytesIO(data)) as image:
            width, height = _largest(image)
            if width * height > MAX_PIXELS:
                raise ImageError(
                    name, f"{width} × {height} pixels are more than {MAX_PIXELS // 1_000_000} megapixels; refused"
                )
            if decoder is JpegImagePlugin.JpegImageFile:
                scans = data.count(b"\xff\xda")  # cannot stand in the packed pixels
                if width * height * scans > _MAX_SCANNED:
                    raise ImageError(name, f"{scans:,} scans in one JPEG file; refused")
            # how many there are would take minutes to find out in a file that was made for it
            if getattr(image, "is_animated", False):
                raise ImageError(name, f"several frames in one {image.format} file; save each as an image of its own")
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            return _rgb(image, name)
    except ImageError:
        raise
    except _DECODER_ERRORS as error:
        words = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(name, f"truncated or damaged: {words}") from error


def _largest(image: ImageFile.ImageFile) -> tuple[int, int]:
    """Width and height of what has to be unpacked at once: a TIFF's tile may be larger than the image."""
    sizes = [image.size]
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        tags = image.tag_v2
        sizes.append((int(tags.get(TiffImagePlugin.TILEWIDTH, 0)), int(tags.get(TiffImagePlugin.TILELENGTH, 0))))
    return max(sizes, key=math.prod)


def _rgb(image: Image.Image, name: str) -> Image.Image:
    """A loaded image in mode RGB."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        # Pillow clips 16-bit grey when it converts, and takes the upper byte of 16-bit colour; do the latter for both.
        grey = (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if image.mode == "F":
        raise ImageError(name, "floating-point pixels have no known white; save as 8- or 16-bit")
    if image.mode == "I":
        raise ImageError(name, "32-bit integer pixels have no known white; save as 8- or 16-bit")
    if image.has_transparency_data:
        pixels = np.array(image.convert("RGBA"))
        alpha = pixels[:, :, 3:].astype(np.uint16)
        if alpha.min() == 255:
            return Image.fromarray(np.ascontiguousarray(pixels[:, :, :3]))
        return Image.fromarray(((pixels[:, :, :3] * alpha + 127) // 255).astype(np.uint8))  # laid on black
    return image if image.mode == "RGB" else image.convert("RGB")
