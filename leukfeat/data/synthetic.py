"""Procedural stained blood cells with known subject effects and a size confound: test data and quickstart.

The cells stand on black as in C-NMC. Every trait of a cell is a population mean, plus half the distance between the
classes, plus a subject's random effect, plus the cell's own variation: so subjects can be told apart, cells of one
subject are alike, and only whole-subject splits tell how well the *class* is recognised. File names, file sizes and
the order of subjects say nothing about the class.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from leukfeat.data.hashing import Progress
from leukfeat.data.manifest import Manifest
from leukfeat.data.reading import CELLS_CSV
from leukfeat.errors import ManifestError, UsageError
from leukfeat.jsonfiles import parse_json
from leukfeat.textfiles import write_text

CLASSES = ("ALL", "HEM")
RECORD = "synthetic.json"  # what a folder of generated cells was drawn with

_DRAWING = 1  # counts changes of the drawing itself, so that a folder is never mistaken for what is drawn today
_ANGLES = 256  # steps of an outline


@dataclass(frozen=True)
class _Trait:
    """One property of a cell: population mean, class distance (ALL - HEM), spread of subjects and of their cells."""

    mean: float
    distance: float
    subjects: float
    cells: float


_TRAITS = {
    # equivalent diameter, as a part of the image's side; C-NMC: 223 to 194 pixels, area alone gives AUROC 0.78
    "diameter": _Trait(0.62, 0.62 * (223 - 194) / ((223 + 194) / 2), 0.040, 0.055),
    "elongation": _Trait(0.07, 0.0, 0.02, 0.05),
    "roughness": _Trait(0.030, 0.008, 0.008, 0.010),  # of the outline
    "nucleus": _Trait(0.83, 0.045, 0.035, 0.030),  # its diameter, as a part of the cell's
    "grain": _Trait(np.log(0.060), -0.26, 0.20, 0.12),  # log width of chromatin clumps, in cell diameters
    "clumping": _Trait(0.26, -0.07, 0.05, 0.04),  # contrast of the chromatin
    "nucleoli": _Trait(0.9, 1.0, 0.45, 0.0),  # expected number
    "brightness": _Trait(0.0, 0.0, 0.13, 0.05),  # log factor
    "redness": _Trait(0.0, 0.0, 0.07, 0.02),  # log factor of red against green and blue
    "blueness": _Trait(0.0, 0.0, 0.05, 0.02),  # log factor of blue against red and green
}

_PALETTE = np.array(
    [
        (120, 72, 128),  # cytoplasm
        (88, 33, 98),  # nucleus
        (128, 70, 140),  # nucleolus
        (44, 26, 30),  # what chromatin adds to the nucleus or takes from it
        (9, 9, 9),  # clouds in the cytoplasm
        (1.5, 1.5, 1.5),  # the camera's noise
    ]
)
_RED = np.array([1, -0.5, -0.5])
_BLUE = np.array([-0.5, -0.5, 1])


def synthesize(
    folder: Path | str,
    n_subjects: int = 24,
    n_cells: int = 20,
    seed: int = 0,
    size: int = 128,
    size_confound: bool = True,
    positive_fraction: float = 0.5,
    progress: Progress | None = None,
) -> Manifest:
    """Draw cells of two classes, ALL and HEM, into a folder, with their ``cells.csv``.

    A folder that holds the very same cells already is only read.

    Parameters
    ----------
    folder : path
        Receives ``images/*.png``, ``cells.csv`` and a record of these arguments; it must be empty or ours.
    n_subjects, n_cells : int
        Subjects, and cells of each. A subject has cells of one class only, as in C-NMC.
    seed : int
        Other seeds draw other subjects.
    size : int
        Height and width of an image in pixels.
    size_confound : bool
        Whether positive cells are larger, in the proportion of C-NMC. Nucleus, chromatin and nucleoli differ anyway.
    positive_fraction : float
        Share of the subjects with ALL; each class has one subject at least.
    progress : callable(done, total) or None
        Called after every image.

    Returns
    -------
    Manifest
        ``n_subjects * n_cells`` rows, positive class ALL.

    Raises
    ------
    UsageError
        Fewer than two subjects, no cells, fewer than 16 pixels, a seed below 0, or a share outside 0 … 1.
    ManifestError
        The folder holds something else.
    """
    if n_subjects < 2 or n_cells < 1 or size < 16 or seed < 0 or not 0 <= positive_fraction <= 1:
        raise UsageError(
            f"{n_subjects} subjects with {n_cells} cells of {size} pixels, seed {seed}, share {positive_fraction:g}:"
            " at least 2 subjects, 1 cell, 16 pixels and seed 0 are needed, and a share between 0 and 1"
        )
    folder = Path(folder)
    record: dict[str, object] = {
        "drawing": _DRAWING,
        "n_subjects": n_subjects,
        "n_cells": n_cells,
        "seed": seed,
        "size": size,
        "size_confound": size_confound,
        "positive_fraction": positive_fraction,
    }
    if _drawn(folder, record):
        return Manifest.load(folder / CELLS_CSV)
    with write_text(folder / RECORD) as stream:
        json.dump(record, stream, indent=1)
    (folder / "images").mkdir(exist_ok=True)
    rows: list[tuple[str, str, str, str]] = []  # path, label, subject, sha256
    for subject, label in enumerate(_labels(n_subjects, positive_fraction, seed)):
        name = f"S{subject + 1:0{max(2, len(str(n_subjects)))}d}"
        for cell in range(n_cells):
            path = f"images/{name}_{cell + 1:0{max(3, len(str(n_cells)))}d}.png"
            data = _png(draw_cell(seed, subject, cell, label, size=size, size_confound=size_confound))
            (folder / path).write_bytes(data)
            rows.append((path, label, name, hashlib.sha256(data).hexdigest()))
            if progress is not None:
                progress(len(rows), n_subjects * n_cells)
    paths, labels, subjects, digests = zip(*rows, strict=True)
    Manifest(paths, paths, labels, subjects, digests, positive=CLASSES[0], root=folder).save(folder / CELLS_CSV)
    return Manifest.load(folder / CELLS_CSV)


def draw_cell(
    seed: int, subject: int, cell: int, label: str, *, size: int = 128, size_confound: bool = True
) -> NDArray[np.uint8]:
    """Draw one cell; the same arguments always give the same pixels.

    Parameters
    ----------
    seed, subject, cell : int
        Which cell of which subject; a subject's random effects do not depend on its class.
    label : str
        ``"ALL"`` or ``"HEM"``.
    size, size_confound
        As in :func:`synthesize`.

    Returns
    -------
    ndarray of shape (size, size, 3), uint8
        RGB on black.
    """
    rng = np.random.default_rng([seed, subject + 1, cell + 1])
    trait = _traits(seed, subject, label, size_confound, rng)
    radius = size * trait["diameter"] / 2
    centre = size * (0.5 + rng.uniform(-0.03, 0.03, 2))
    y = (np.arange(size) - centre[0]).astype(np.float32)[:, None]
    x = (np.arange(size) - centre[1]).astype(np.float32)[None, :]
    turn = rng.uniform(0, np.pi)
    outline = _outline(rng, trait["elongation"], trait["roughness"], turn)
    inner = _outline(rng, 0.6 * trait["elongation"], 0.6 * trait["roughness"], turn)
    if rng.random() < 0.2:  # an indented nucleus
        inner -= 0.16 * np.exp(-0.5 * (((np.arange(_ANGLES) - rng.integers(_ANGLES)) % _ANGLES - 128) / 14) ** 2)
    body = _inside(y, x, radius * outline)
    shift = (rng.uniform(-1, 1, 2) * 0.7 * (1 - trait["nucleus"]) * radius).astype(np.float32)
    nucleus = _inside(y - shift[0], x - shift[1], radius * trait["nucleus"] * inner)
    nucleoli = np.zeros_like(nucleus)
    for _ in range(rng.poisson(trait["nucleoli"])):
        away, direction = 0.55 * radius * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
        at = (shift + away * np.array([np.sin(direction), np.cos(direction)])).astype(np.float32)
        spot = _step(np.hypot(y - at[0], x - at[1]), radius * rng.uniform(0.09, 0.16), 0.05 * radius + 0.5)
        nucleoli = np.maximum(nucleoli, 0.6 * spot)
    cloud = _texture(rng, size, 0.5 * radius)
    chromatin = 2 * trait["clumping"] * np.tanh(1.3 * _texture(rng, size, np.exp(trait["grain"]) * 2 * radius))
    rim = np.minimum((y * y + x * x) / radius**2, 1.2) ** 2  # nuclei stain darker towards their border

    plain = nucleus * (1 - nucleoli)
    amounts = np.stack(  # of each colour in _PALETTE, (H, W, 6)
        [
            1 - nucleus,
            plain,
            nucleus * nucleoli,
            plain * (chromatin - 0.35 * rim + 0.12 * cloud),
            (1 - nucleus) * cloud,
            rng.standard_normal((size, size), dtype=np.float32),
        ],
        axis=-1,
    )
    stain = np.exp(trait["brightness"] + trait["redness"] * _RED + trait["blueness"] * _BLUE)
    colour = amounts @ (_PALETTE * stain).astype(np.float32)  # (H, W, 6) -> (H, W, 3)
    pixels: NDArray[np.uint8] = (np.clip(colour, 4, 255) * body[:, :, None]).astype(np.uint8)
    return pixels


def _traits(seed: int, subject: int, label: str, size_confound: bool, rng: np.random.Generator) -> dict[str, float]:
    own = np.random.default_rng([seed, subject + 1]).standard_normal(len(_TRAITS))
    here = rng.standard_normal(len(_TRAITS))
    side = 0.5 if label == CLASSES[0] else -0.5
    drawn = {
        name: trait.mean
        + (side * trait.distance if size_confound or name != "diameter" else 0.0)
        + trait.subjects * own[number]
        + trait.cells * here[number]
        for number, (name, trait) in enumerate(_TRAITS.items())
    }
    drawn["diameter"] = float(np.clip(drawn["diameter"], 0.35, 0.86))
    drawn["nucleus"] = float(np.clip(drawn["nucleus"], 0.60, 0.95))
    for name in ("elongation", "roughness", "clumping", "nucleoli"):
        drawn[name] = max(drawn[name], 0.0)
    return drawn


def _labels(n_subjects: int, positive_fraction: float, seed: int) -> list[str]:
    """Class of every subject, in an order that says nothing."""
    n_positive = min(max(round(n_subjects * positive_fraction), 1), n_subjects - 1)
    labels = [CLASSES[0]] * n_positive + [CLASSES[1]] * (n_subjects - n_positive)
    return [labels[k] for k in np.random.default_rng([seed, 0]).permutation(n_subjects)]


def _outline(rng: np.random.Generator, elongation: float, roughness: float, turn: float) -> NDArray[np.float64]:
    """Radius over the angle, about 1: an ellipse with a few smooth waves."""
    waves = np.arange(3, 9)
    height = roughness * rng.standard_normal(len(waves)) * (3 / waves)
    phase = rng.uniform(0, 2 * np.pi, len(waves))
    angle = np.arange(_ANGLES) * (2 * np.pi / _ANGLES)
    rough: NDArray[np.float64] = np.cos(np.outer(angle, waves) + phase) @ height
    ellipse: NDArray[np.float64] = 1 + elongation * np.cos(2 * (angle - turn))
    return ellipse + rough


def _inside(y: NDArray[np.float32], x: NDArray[np.float32], outline: NDArray[np.float64]) -> NDArray[np.float32]:
    """How much of each pixel lies within an outline around the origin: 0 … 1, (H, W)."""
    step = (np.arctan2(y, x) * np.float32(_ANGLES / (2 * np.pi))).astype(np.int32) % _ANGLES
    return _step(np.hypot(y, x), outline.astype(np.float32)[step], 1.0)


def _step(distance: NDArray[np.float32], edge: NDArray[np.float32] | float, width: float) -> NDArray[np.float32]:
    """1 below an edge, 0 above it, a ramp of some width between."""
    ramp: NDArray[np.float32] = (edge - distance) * np.float32(1 / width) + np.float32(0.5)
    return np.clip(ramp, 0, 1)


def _texture(rng: np.random.Generator, size: int, width: float) -> NDArray[np.float32]:
    """Smooth noise of mean 0 and variance 1 whose grains are ``width`` pixels wide, (H, W)."""
    width = max(width, 1.0)
    knots = np.arange(-2 * width, size + 2 * width, width, dtype=np.float32)
    bump = np.exp(-0.5 * ((np.arange(size, dtype=np.float32)[:, None] - knots) / (0.6 * width)) ** 2)  # (size, n_knots)
    bump /= np.sqrt((bump**2).sum(axis=1, keepdims=True))
    noise: NDArray[np.float32] = bump @ rng.standard_normal((len(knots), len(knots)), dtype=np.float32) @ bump.T
    return noise


def _png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG file without compression: its size tells nothing about what is in it."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG", compress_level=0)
    return file.getvalue()


def _drawn(folder: Path, record: dict[str, object]) -> bool:
    """Whether a folder holds these cells, whole; refuses a folder that holds anything else."""
    if folder.exists() and not folder.is_dir():
        raise ManifestError(f"{folder}: is a file; name a new or empty folder")
    if not folder.exists() or not any(folder.iterdir()):
        return False
    try:
        found = parse_json((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise ManifestError(f"{folder}: holds other files than generated cells; name a new or empty folder") from None
    if found != record:
        raise ManifestError(f"{folder}: holds cells drawn with {found}; name another folder, or remove this one")
    if not (folder / CELLS_CSV).is_file():  # interrupted: drawn anew
        return False
    manifest = Manifest.load(folder / CELLS_CSV)
    return all(manifest.file(row).is_file() for row in range(len(manifest)))
