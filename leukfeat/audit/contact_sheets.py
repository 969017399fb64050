"""The images behind a finding, side by side with their names: what a person has to look at before acting on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from leukfeat.audit.findings import CODES, Finding
from leukfeat.data.manifest import Manifest
from leukfeat.data.pixels import read_row
from leukfeat.errors import ImageError
from leukfeat.textfiles import whole_file

TILE = 144  # pixels of a tile's side
CASES, TILES = 24, 8  # rows of a sheet, and images in a row, at most

_NAME = 24  # height of the two lines below a tile
_LETTERS = 23  # that fit below a tile, in one line
_BACK, _INK, _FAINT = (255, 255, 255), (20, 20, 20), (120, 120, 120)


def contact_sheet(manifest: Manifest, cases: Sequence[Sequence[str]], titles: Sequence[str] = ()) -> Image.Image:
    """Draw cases, one a row, each image with the end of its name and its label below.

    Parameters
    ----------
    manifest : Manifest
        Where the images are.
    cases : sequence of sequence of str
        Samples of each case; of the first :data:`CASES` cases the first :data:`TILES` are drawn.
    titles : sequence of str
        A line above each row.

    Returns
    -------
    Image
        RGB. An image that cannot be read is an empty tile with the reason.
    """
    row_of = {sample: row for row, sample in enumerate(manifest.sample)}
    shown = [list(case)[:TILES] for case in list(cases)[:CASES]]
    across = max(map(len, shown), default=1)
    step = TILE + _NAME + 18
    sheet = Image.new("RGB", (across * (TILE + 6) + 6, len(shown) * step + 6), _BACK)
    pen = ImageDraw.Draw(sheet)
    for number, case in enumerate(shown):
        top = number * step + 4
        more = len(cases[number]) - len(case)
        title = (titles[number] if number < len(titles) else "") + (f"   (+ {more} more)" if more else "")
        pen.text((6, top), title, fill=_FAINT)
        for column, sample in enumerate(case):
            left = 6 + column * (TILE + 6)
            tile = _tile(manifest, row_of.get(sample))
            if isinstance(tile, str):
                pen.rectangle((left, top + 14, left + TILE, top + 14 + TILE), outline=_FAINT)
                pen.text((left + 4, top + 20), tile[:_LETTERS], fill=_FAINT)
            else:
                sheet.paste(tile, (left + (TILE - tile.width) // 2, top + 14 + (TILE - tile.height) // 2))
            name = sample if len(sample) <= _LETTERS else f"..{sample[2 - _LETTERS :]}"
            label = manifest.label[row_of[sample]] if sample in row_of else ""
            pen.text((left, top + 14 + TILE), _plain(name), fill=_INK)
            pen.text((left, top + 26 + TILE), _plain(label), fill=_FAINT)
    return sheet


def write_sheets(manifest: Manifest, findings: Iterable[Finding], folder: Path | str) -> list[Path]:
    """Write ``<code>.png`` for every finding whose evidence names images.

    Parameters
    ----------
    manifest : Manifest
        Where the images are.
    findings : iterable of Finding
        Several of one code are numbered.
    folder : path
        Receives the sheets.

    Returns
    -------
    list of Path
        What was written.
    """
    written: list[Path] = []
    used: dict[str, int] = {}
    for finding in findings:
        cases = [case for case in finding.evidence if case.get("samples")]
        if not cases:
            continue
        used[finding.code] = used.get(finding.code, 0) + 1
        suffix = "" if used[finding.code] == 1 else f"-{used[finding.code]}"
        file = Path(folder) / f"{finding.code}{suffix}.png"
        sheet = contact_sheet(manifest, [case["samples"] for case in cases], [_title(case) for case in cases])
        with whole_file(file) as temporary:
            sheet.save(temporary, format="PNG")
        written.append(file)
    return written


def remove_sheets(folder: Path | str) -> None:
    """Remove what :func:`write_sheets` wrote before; a file of any other name stays."""
    for file in Path(folder).glob("*.png"):
        code, _, number = file.stem.rpartition("-") if file.stem[-1].isdigit() else (file.stem, "", "1")
        if code in CODES and number.isdigit():
            file.unlink()


def _title(case: Mapping[str, object]) -> str:
    """The numbers of a case: everything but the lists."""
    return "   ".join(f"{name} {value}" for name, value in case.items() if isinstance(value, str | int | float))


def _tile(manifest: Manifest, row: int | None) -> Image.Image | str:
    """A small image, or why there is none."""
    if row is None:
        return "not in the manifest"
    try:
        pixels: NDArray[np.uint8] = read_row(manifest, row)
    except ImageError as error:
        return error.reason
    tile = Image.fromarray(pixels)
    tile.thumbnail((TILE, TILE))
    return tile


def _plain(text: str) -> str:
    """Text that the built-in font can draw."""
    return text.encode("latin-1", errors="replace").decode("latin-1")
