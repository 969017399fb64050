"""From pixels to a network's input: geometry on uint8 images with Pillow, normalisation on the device.

The geometry follows ``timm.data.create_transform`` to the pixel, so that weights see images as they were evaluated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

from leukfeat.backbones.spec import Channels, Preprocess
from leukfeat.errors import ImageError

if TYPE_CHECKING:
    import torch

DECODER = f"pillow {PIL.__version__}"  # what decodes and resizes, recorded with the rows it led to

_LONGEST_STRIP = 100  # times as long as wide
_BLACK = 8  # a pixel whose brightest channel is at most this counts as background, of 255
_CELL_MARGIN = 0.1
_EXACT_FLOATS = 1 << 24  # whole numbers below it are exact in the 32 bits that Pillow keeps of a coordinate

_FILTERS: Mapping[str, Image.Resampling] = MappingProxyType(
    {
        "bicubic": Image.Resampling.BICUBIC,
        "bilinear": Image.Resampling.BILINEAR,
        "box": Image.Resampling.BOX,
        "hamming": Image.Resampling.HAMMING,
        "lanczos": Image.Resampling.LANCZOS,
        "nearest": Image.Resampling.NEAREST,
    }
)


@dataclass(frozen=True)
class Inputs:
    """Preprocessing with nothing left open.

    Attributes
    ----------
    size : (int, int)
        Height and width the network sees.
    crop : str
        A name in :data:`CROPS`.
    crop_amount : float
        What the crop needs: the fraction kept, the side in pixels, or the margin; 0 where it needs nothing.
    interpolation : str
        Resampling filter.
    scale : str
        ``"unit"`` or ``"raw"``.
    mean, std : three floats or None
        In the units of ``scale``; None where they are still to be learned from training images.
    """

    size: tuple[int, int]
    crop: str
    crop_amount: float
    interpolation: str
    scale: str
    mean: Channels | None
    std: Channels | None

    @classmethod
    def of(cls, preprocess: Preprocess, data_config: Mapping[str, Any]) -> Inputs:
        """Fill what a preprocessing leaves open from the weights' ``timm.data.resolve_data_config``."""
        chosen = preprocess.input_size or data_config["input_size"][-2:]
        size = (chosen, chosen) if isinstance(chosen, int) else (int(chosen[0]), int(chosen[1]))
        amounts: dict[str, tuple[str, float]] = {
            "weights": (f"timm-{data_config['crop_mode']}", float(data_config["crop_pct"])),
            "none": ("none", 0.0),
            "center": ("center", float(preprocess.crop_size or 0)),
            "cell": ("cell", _CELL_MARGIN if preprocess.cell_margin is None else preprocess.cell_margin),
        }
        crop, amount = amounts[preprocess.crop]
        return cls(
            size=size,
            crop=crop,
            crop_amount=amount,
            interpolation=preprocess.interpolation or str(data_config["interpolation"]),
            scale=preprocess.scale,
            mean=_numbers(preprocess.mean, data_config["mean"]),
            std=_numbers(preprocess.std, data_config["std"]),
        )

    def describe(self) -> dict[str, Any]:
        """All fields as JSON types."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> Inputs:
        """The inputs that :meth:`describe` described."""
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in description.items()}
        return cls(**fields)

    def arrange(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resize and crop one image.

        Parameters
        ----------
        image : ndarray of shape (H, W, 3), uint8
            As decoded.

        Returns
        -------
        ndarray of shape (size[0], size[1], 3), uint8

        Raises
        ------
        ImageError
            A strip so long that fitting its shorter side would fill the memory.
        """
        arranged = np.empty((*self.size, 3), np.uint8)
        self.arrange_picture(Image.fromarray(image), arranged)
        return arranged

    def arrange_picture(self, picture: Image.Image, out: NDArray[np.uint8]) -> None:
        """Resize and crop one RGB picture straight into its place in a batch, ``out`` of shape (*size, 3).

        Raises
        ------
        ImageError
            As :meth:`arrange`.
        """
        width, height = picture.size
        if max(height, width) > _LONGEST_STRIP * min(height, width):
            raise ImageError("image", f"{width} × {height} pixels: a strip, not a picture of a cell")
        out[...] = np.asarray(CROPS[self.crop](picture, self))

    def normalise(self, images: NDArray[np.uint8], device: torch.device) -> torch.Tensor:
        """Turn a batch of arranged images into the network's input, on the device.

        Parameters
        ----------
        images : ndarray of shape (B, H, W, 3), uint8
            Arranged images.
        device : torch.device
            Where the network is; only bytes travel there.

        Returns
        -------
        tensor of shape (B, 3, H, W), float32, channels last in memory
        """
        import torch

        pixels = torch.from_numpy(images).to(device, non_blocking=True)
        x = pixels.permute(0, 3, 1, 2).float()  # (B, H, W, 3) -> (B, 3, H, W), the bytes stay channels last
        if self.scale == "unit":
            x = x.div_(255)
        if self.mean is None or self.std is None:
            raise ValueError("mean and std of the training images have not been learned")
        mean, std = (torch.tensor(value, device=device).view(1, 3, 1, 1) for value in (self.mean, self.std))
        return x.sub_(mean).div_(std)


def _numbers(asked: Channels | str | None, of_weights: Any) -> Channels | None:
    if isinstance(asked, str):
        return None
    red, green, blue = asked if asked is not None else of_weights
    return float(red), float(green), float(blue)


# ---------------------------------------------------------------------- crops: (PIL image, inputs) -> PIL image


def _resize(image: Image.Image, height: int, width: int, inputs: Inputs) -> Image.Image:
    height, width = max(1, height), max(1, width)
    if image.size == (width, height):
        return image
    return image.resize((width, height), _FILTERS[inputs.interpolation])


def _from_middle(image: Image.Image, height: int, width: int, fill: tuple[int, int, int] = (0, 0, 0)) -> Image.Image:
    """Cut the middle; what lies outside the image is filled. Rounds as torchvision's ``CenterCrop`` does."""
    lack_x, lack_y = max(0, width - image.width), max(0, height - image.height)
    if lack_x or lack_y:
        padded = Image.new("RGB", (image.width + lack_x, image.height + lack_y), fill)
        padded.paste(image, (lack_x // 2, lack_y // 2))
        image = padded
    top, left = round((image.height - height) / 2.0), round((image.width - width) / 2.0)
    return image.crop((left, top, left + width, top + height))


def _resized_middle(image: Image.Image, height: int, width: int, inputs: Inputs) -> Image.Image:
    """Resize to (height, width) and cut the middle.

    What is cut away need not be computed first. Where every coordinate is a binary fraction that 32-bit floats hold,
    as for a square image and 256 pixels, the pixels are the same to the last bit; elsewhere all of it is computed.
    """
    rows, columns = inputs.size
    margin = round((width - columns) / 2.0)
    if (
        image.width == image.height != width == height
        and rows == columns <= width
        and width & (width - 1) == 0
        and (margin + columns) * image.width < _EXACT_FLOATS
    ):
        first, last = margin * image.width / width, (margin + columns) * image.width / width
        return image.resize((columns, rows), _FILTERS[inputs.interpolation], box=(first, first, last, last))
    return _from_middle(_resize(image, height, width, inputs), rows, columns)


def _scaled(inputs: Inputs) -> tuple[int, int]:
    """Height and width before the fraction is cut out."""
    return math.floor(inputs.size[0] / inputs.crop_amount), math.floor(inputs.size[1] / inputs.crop_amount)


def _timm_center(image: Image.Image, inputs: Inputs) -> Image.Image:
    """Resize so that the shorter side fits, aspect ratio kept, then cut the middle."""
    height, width = _scaled(inputs)
    if height == width and image.width <= image.height:
        return _resized_middle(image, int(width * image.height / image.width), width, inputs)
    if height == width:
        return _resized_middle(image, height, int(height * image.width / image.height), inputs)
    ratio = min(image.height / height, image.width / width)
    return _resized_middle(image, round(image.height / ratio), round(image.width / ratio), inputs)


def _timm_squash(image: Image.Image, inputs: Inputs) -> Image.Image:
    """Resize each side on its own, then cut the middle."""
    return _resized_middle(image, *_scaled(inputs), inputs)


def _timm_border(image: Image.Image, inputs: Inputs) -> Image.Image:
    """Resize so that the longer side fits, then pad with the weights' mean colour."""
    height, width = _scaled(inputs)
    ratio = max(image.height / height, image.width / width)
    resized = _resize(image, round(image.height / ratio), round(image.width / ratio), inputs)
    unit = 255 if inputs.scale == "unit" else 1
    red, green, blue = (round(unit * value) for value in inputs.mean or (0.0, 0.0, 0.0))
    return _from_middle(resized, *inputs.size, fill=(red, green, blue))


def _whole(image: Image.Image, inputs: Inputs) -> Image.Image:
    """Resize the whole image, aspect ratio given up."""
    return _resize(image, *inputs.size, inputs)


def _center(image: Image.Image, inputs: Inputs) -> Image.Image:
    """Cut a square from the middle (black where the image is smaller), then resize it."""
    side = int(inputs.crop_amount)
    return _whole(_from_middle(image, side, side), inputs)


def _cell(image: Image.Image, inputs: Inputs) -> Image.Image:
    """Cut the square around everything that is not black, with a margin, then resize it.

    Beyond the image there is black, as around a segmented cell. An image that is all black is taken whole.
    """
    foreground = np.asarray(image).max(axis=2) > _BLACK  # (H, W)
    rows, columns = np.flatnonzero(foreground.any(axis=1)), np.flatnonzero(foreground.any(axis=0))
    if not len(rows):
        return _whole(image, inputs)
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    side = max(bottom - top, right - left)
    side += 2 * round(inputs.crop_amount * side)
    top, left = (top + bottom - side) // 2, (left + right - side) // 2
    return _whole(image.crop((left, top, left + side, top + side)), inputs)


CROPS: Mapping[str, Callable[[Image.Image, Inputs], Image.Image]] = MappingProxyType(
    {
        "timm-center": _timm_center,
        "timm-squash": _timm_squash,
        "timm-border": _timm_border,
        "none": _whole,
        "center": _center,
        "cell": _cell,
    }
)
