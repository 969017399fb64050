"""Every kind of file a folder of cells has been seen to hold: converted, or refused with its name and a reason."""

from __future__ import annotations

import io
import os
import threading
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from leukfeat.data.images import decode_image, read_image
from leukfeat.errors import ImageError

RGB = np.random.default_rng(0).integers(0, 256, (12, 17, 3), dtype=np.uint8)
GREY = RGB[:, :, 0]


def encoded(pixels: NDArray[np.generic] | Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """The bytes of an image file."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    image.save(file, format=kind, **options)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG file that claims a size and holds next to nothing."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\x00\x00\x00"
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def with_alpha(alpha: int) -> NDArray[np.uint8]:
    return np.dstack([RGB, np.full(GREY.shape, alpha, np.uint8)])


def palette() -> Image.Image:
    image = Image.fromarray((GREY // 64).astype(np.uint8)).convert("P")
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    return image


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90° clockwise
    return encoded(RGB, exif=exif)


PALETTE = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
GREY_RGB = np.repeat(GREY[:, :, None], 3, axis=2)
CONVERTIBLE = {
    "PNG": (encoded(RGB), RGB),
    "BMP": (encoded(RGB, "BMP"), RGB),
    "TIFF": (encoded(RGB, "TIFF"), RGB),
    "TIFF with LZW": (encoded(RGB, "TIFF", compression="tiff_lzw"), RGB),
    "WebP": (encoded(RGB, "WEBP", lossless=True), RGB),
    "grey": (encoded(GREY), GREY_RGB),
    "16-bit grey PNG": (encoded(GREY.astype(np.uint16) * 257), GREY_RGB),
    "16-bit grey TIFF": (encoded(GREY.astype(np.uint16) * 257, "TIFF"), GREY_RGB),
    "black and white": (
        encoded(Image.fromarray(GREY > 127)),
        np.repeat(np.where(GREY > 127, 255, 0)[:, :, None], 3, 2),
    ),
    "palette": (encoded(palette()), PALETTE[GREY // 64]),
    "palette with transparency": (
        encoded(palette(), transparency=1),
        np.where((GREY // 64 == 1)[:, :, None], 0, PALETTE[GREY // 64]),
    ),
    "palette GIF": (encoded(palette(), "GIF"), PALETTE[GREY // 64]),
    "opaque RGBA": (encoded(with_alpha(255)), RGB),
    "transparent RGBA lies on black": (encoded(with_alpha(0)), np.zeros_like(RGB)),
    "half transparent RGBA": (encoded(with_alpha(128)), ((RGB * np.uint16(128) + 127) // 255).astype(np.uint8)),
    "CMYK": (encoded(Image.fromarray(RGB).convert("CMYK"), "TIFF"), RGB),
    "turned by EXIF": (rotated(), np.rot90(RGB, -1)),
}


@pytest.mark.parametrize("kind", CONVERTIBLE)
def test_convertible_images_are_converted(kind: str) -> None:
    """Pixels are compared exactly: a conversion that changes them would change every feature."""
    data, wanted = CONVERTIBLE[kind]
    pixels = decode_image(data, "cell.png")
    assert pixels.dtype == np.uint8
    assert pixels.flags.writeable
    assert pixels.flags.c_contiguous
    np.testing.assert_array_equal(pixels, wanted)


def test_a_jpeg_is_read_as_pillow_reads_it() -> None:
    """JPEG is lossy, but every reader must see the same pixels."""
    data = encoded(RGB, "JPEG")
    np.testing.assert_array_equal(decode_image(data, "cell.jpg"), np.asarray(Image.open(io.BytesIO(data))))


def test_16_bits_are_scaled_and_not_clipped() -> None:
    """Clipping would turn every cell of a 16-bit camera white."""
    ramp = np.array([[0, 255, 256, 32768, 65535]], np.uint16)
    assert decode_image(encoded(ramp), "x")[0, :, 0].tolist() == [0, 0, 1, 128, 255]


@pytest.mark.parametrize("name", ["cell.png", "cell", "célula ß 细胞.jpg", "x" * 240 + ".bmp"])
def test_the_content_decides_not_the_name(tmp_path: Path, name: str) -> None:
    """Wrong extensions, none, non-ASCII and very long names."""
    (tmp_path / name).write_bytes(encoded(RGB, "TIFF"))
    np.testing.assert_array_equal(read_image(tmp_path / name), RGB)


NOISE = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
REFUSED = {
    "empty": (b"", "empty file"),
    "text": (b"sample,path,label\n", "not an image"),
    "truncated PNG": (encoded(NOISE)[:-2000], "truncated"),
    "truncated JPEG": (encoded(NOISE, "JPEG")[:-900], "truncated"),
    "truncated BMP": (encoded(NOISE, "BMP")[:-2000], "truncated"),
    "truncated TIFF": (encoded(NOISE, "TIFF", compression="tiff_lzw")[:-3000], "truncated"),
    "a header alone": (encoded(NOISE)[:20], "truncated"),
    "bomb": (png_header(50_000, 50_000), "more than 89 megapixels"),
    "bomb below Pillow's error": (png_header(11_000, 11_000), "more than 89 megapixels"),
    "TIFF bomb": (encoded(Image.new("1", (9_500, 9_500)), "TIFF", compression="group4"), "more than 89 megapixels"),
    "two TIFF pages": (
        encoded(Image.fromarray(RGB), "TIFF", save_all=True, append_images=[Image.fromarray(RGB)]),
        "several frames in one TIFF",
    ),
    "two GIF frames": (
        encoded(Image.fromarray(RGB), "GIF", save_all=True, append_images=[Image.fromarray(255 - RGB)]),
        "several frames in one GIF",
    ),
    "floating point": (encoded(GREY.astype(np.float32), "TIFF"), "floating-point"),
    "32-bit integers": (encoded(GREY.astype(np.int32), "TIFF"), "32-bit integer"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_bad_images_are_refused_with_name_and_reason(kind: str) -> None:
    """Nothing is substituted for them."""
    data, reason = REFUSED[kind]
    with pytest.raises(ImageError, match=reason) as caught:
        decode_image(data, "S01/cell.png")
    assert caught.value.path == "S01/cell.png"
    assert "\n" not in str(caught.value)


def test_what_is_no_file_is_refused_with_a_reason(tmp_path: Path) -> None:
    """A folder named like an image, and a file that is not there."""
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ImageError, match="a folder"):
        read_image(tmp_path / "folder.png")
    with pytest.raises(ImageError, match="no such file"):
        read_image(tmp_path / "missing.png")
    with pytest.raises(ImageError, match="cannot be read"):
        read_image(tmp_path / ("x" * 300 + ".png"))


def test_what_is_no_plain_file_is_refused_at_once(tmp_path: Path) -> None:
    """A pipe that nobody writes to would keep its reader waiting for ever; a device has no end."""
    os.mkfifo(tmp_path / "pipe.png")
    for place in (tmp_path / "pipe.png", Path("/dev/zero")):
        with pytest.raises(ImageError, match=r"^[^:]+: not a regular file$"):
            read_image(place)


def test_frames_and_scans_without_end_are_refused_at_once() -> None:
    """Counting a gigabyte of frames takes an hour; each scan of a JPEG is a pass over all of it."""
    frame = b",\0\0\0\0\1\0\1\0\0\2\2D\1\0"
    film = b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff" + 200_000 * frame + b";"
    jpeg = encoded(Image.new("RGB", (2000, 2000)), "JPEG", progressive=True)
    last = jpeg.rindex(b"\xff\xda")
    for data, reason in (
        (film, "several frames"),
        (jpeg[:last] + 400 * jpeg[last:-2] + jpeg[-2:], "scans in one JPEG"),
    ):
        started = time.perf_counter()
        with pytest.raises(ImageError, match=reason):
            decode_image(data, "film")
        assert time.perf_counter() - started < 1


def test_bombs_are_refused_from_many_threads_without_warnings_or_global_changes() -> None:
    """Decoding runs in threads, where the process-wide warning filters must not be touched."""
    before = Image.MAX_IMAGE_PIXELS
    refused: list[str] = []

    def decode() -> None:
        try:
            decode_image(png_header(11_000, 9_500), "bomb.png")
        except ImageError as error:
            refused.append(error.reason)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        threads = [threading.Thread(target=decode) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(refused) == 8
    assert not caught
    assert before == Image.MAX_IMAGE_PIXELS


DAMAGED = [encoded(RGB, kind) for kind in ("PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP")] + [
    encoded(RGB, "TIFF", compression="tiff_lzw"),
    encoded(palette(), transparency=1),
    rotated(),
]


@settings(max_examples=300)
@given(data=st.data())
def test_damaged_bytes_give_pixels_or_an_image_error(data: st.DataObject) -> None:
    """A decoder raises a dozen kinds of errors on damaged files; a run over 15,000 images must survive them all."""
    file = bytearray(data.draw(st.sampled_from(DAMAGED)))
    for place, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(file) - 1), st.integers(0, 255)), min_size=1, max_size=8)
    ):
        file[place] = value
    file = file[: data.draw(st.integers(1, len(file)))]
    try:
        pixels = decode_image(bytes(file), "cell")
    except ImageError:
        return
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3


@pytest.mark.real
def test_real_cells_are_read(shared: Path) -> None:
    """One of each data set at hand."""
    bmp = next((shared / "data/cnmc").rglob("*.bmp"))
    jpg = next((shared / "data/taleqani").rglob("*.jpg"))
    assert read_image(bmp).shape == (450, 450, 3)
    assert read_image(jpg).shape == (224, 224, 3)
