"""Augmentation of a batch on the device: one affine resampling an image, then brightness and contrast.

What happens to an image is a function of nine numbers drawn for its showing, and these of the seed, the epoch and its
place in the epoch. So training can be taken up again without a generator's state, and neither the size of a batch nor
the number of threads changes a picture.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from leukfeat.backbones.finetune import Augment
from leukfeat.backbones.sampling import AUGMENTATION

_WHITE = 255.0
_ROTATE, _SHEAR, _SCALE, _RIGHT, _DOWN, _HFLIP, _VFLIP, _BRIGHTNESS, _CONTRAST = range(9)
_GREY = (0.299, 0.587, 0.114)  # of red, green and blue, ITU-R BT.601


def chances(seed: int, epoch: int, n: int) -> NDArray[np.float64]:
    """The random numbers of an epoch, in [0, 1): (n, 9), a row a showing; a row does not depend on n."""
    return np.random.default_rng([AUGMENTATION, seed, epoch]).random((n, 9))


def augment_batch(x: Tensor, augment: Augment, chance: NDArray[np.float64]) -> Tensor:
    """Change every image of a batch in its own way.

    Parameters
    ----------
    x : tensor of shape (B, 3, H, W), float32
        Pixels in 0-255, before mean and SD.
    augment : Augment
        What may happen.
    chance : ndarray of shape (B, 9)
        Rows of :func:`chances`.

    Returns
    -------
    tensor of shape (B, 3, H, W)
        Pixels in 0-255; black where a picture does not reach. ``x`` itself where nothing is to be done.
    """
    if augment.warps:
        x = _warped(x, augment, chance)
    elif augment.hflip or augment.vflip:
        x = _mirrored(x, augment, chance)
    if augment.brightness != (1.0, 1.0):
        factor = _per_image(_between(augment.brightness, chance[:, _BRIGHTNESS]), x)
        x = (x * factor).clamp(0, _WHITE)
    if augment.contrast != (1.0, 1.0):
        factor = _per_image(_between(augment.contrast, chance[:, _CONTRAST]), x)
        grey = (x * torch.tensor(_GREY, device=x.device).view(1, 3, 1, 1)).sum(dim=1).mean(dim=(1, 2))  # (B,)
        grey = grey.view(-1, 1, 1, 1)
        x = (grey + factor * (x - grey)).clamp(0, _WHITE)
    return x


def augmented(image: NDArray[np.uint8], augment: Augment, seed: int, number: int) -> NDArray[np.uint8]:
    """An augmented copy of one image.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        The original.
    augment : Augment
        What may happen.
    seed, number : int
        All that decides what happens.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8
    """
    x = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()  # (H, W, 3) -> (1, 3, H, W)
    x = augment_batch(x, augment, chances(seed, number, 1))
    return np.ascontiguousarray(x[0].permute(1, 2, 0).round().clamp(0, _WHITE).to(torch.uint8).numpy())


def _between(bounds: tuple[float, float], chance: NDArray[np.float64]) -> NDArray[np.float64]:
    return bounds[0] + (bounds[1] - bounds[0]) * chance


def _per_image(values: NDArray[np.float64], x: Tensor) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)).to(x.device).view(-1, 1, 1, 1)


def _mirrored(x: Tensor, augment: Augment, chance: NDArray[np.float64]) -> Tensor:
    """Flips alone move pixels as they are, without resampling."""
    for axis, share, column in ((3, augment.hflip, _HFLIP), (2, augment.vflip, _VFLIP)):
        chosen = torch.from_numpy(chance[:, column] < share).to(x.device)
        if share:
            x = torch.where(chosen.view(-1, 1, 1, 1), x.flip(axis), x)
    return x


def _warped(x: Tensor, augment: Augment, chance: NDArray[np.float64]) -> Tensor:
    """Mirror, shear, scale, rotate and shift, all in one bilinear resampling."""
    theta = torch.from_numpy(_sources(augment, chance, x.shape[2], x.shape[3]).astype(np.float32)).to(x.device)
    grid = functional.affine_grid(theta, list(x.shape), align_corners=False)  # (B, H, W, 2)
    warped = functional.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return warped.contiguous(memory_format=torch.channels_last)


def _sources(augment: Augment, chance: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """Where each pixel comes from: (B, 2, 3), in coordinates that run from -1 to 1 along each axis.

    From the middle, a source is F S⁻¹ R⁻¹ (p - t) / s for the pixel p: mirroring F, shear S, rotation R, shift t,
    magnification s.
    """
    angle = np.deg2rad(_between(augment.rotate, chance[:, _ROTATE]))
    slope = np.tan(np.deg2rad(_between((-augment.shear, augment.shear), chance[:, _SHEAR])))
    scale = _between(augment.scale, chance[:, _SCALE])
    reach = (-augment.translate, augment.translate)
    shift = 2 * np.stack([_between(reach, chance[:, _RIGHT]), _between(reach, chance[:, _DOWN])], axis=1)  # (B, 2)
    across = np.where(chance[:, _HFLIP] < augment.hflip, -1.0, 1.0)
    down = np.where(chance[:, _VFLIP] < augment.vflip, -1.0, 1.0)
    cos, sin = np.cos(angle), np.sin(angle)
    # y grows downwards, so this turns what is seen counter-clockwise
    turned = np.array([[cos, -sin], [sin, cos]])  # (2, 2, B)
    sheared = np.stack([turned[0] - slope * turned[1], turned[1]])
    source = np.stack([across * sheared[0], down * sheared[1]]) / scale
    source[0, 1] *= height / width
    source[1, 0] *= width / height
    matrix = source.transpose(2, 0, 1)  # (B, 2, 2)
    return np.concatenate([matrix, -matrix @ shift[:, :, None]], axis=2)
