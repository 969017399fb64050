"""What cells stand on: a site of cut-out cells beside one of fields is told from two alike."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from leukfeat.data.backgrounds import Background
from leukfeat.data.manifest import Manifest
from leukfeat.data.synthetic import synthesize


@pytest.fixture(scope="module")
def cut_out(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Twelve generated cells on black."""
    return synthesize(tmp_path_factory.mktemp("black"), n_subjects=4, n_cells=3, size=48)


def on_white(manifest: Manifest, folder: Path) -> Manifest:
    """The same cells on a bright field."""
    digests = []
    for row, name in enumerate(manifest.sample):
        image = np.array(Image.open(manifest.file(row)))
        image[image.max(axis=2) <= 8] = 235
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, "PNG")
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(stream.getvalue())
        digests.append(hashlib.sha256(stream.getvalue()).hexdigest())
    return replace(manifest, root=folder, sha256=tuple(digests))


def test_cells_on_black_are_told_from_cells_in_a_field(cut_out: Manifest, tmp_path: Path) -> None:
    black, white = Background.of(cut_out), Background.of(on_white(cut_out, tmp_path))
    assert (black.on_black, white.on_black) == (1.0, 0.0)
    assert black.near_black > 0.4
    assert white.near_black == 0
    assert black.shifted_from(white)
    assert white.shifted_from(black)
    assert not black.shifted_from(black)


def test_only_some_images_are_looked_at_and_none_is_needed(cut_out: Manifest) -> None:
    assert Background.of(cut_out, most=5).looked_at == 5
    assert Background.of(cut_out, most=5) == Background.of(cut_out, most=5)
    gone = replace(cut_out, root=Path("nowhere"))
    nothing = Background.of(gone)
    assert nothing.looked_at == 0
    assert not nothing.shifted_from(Background.of(cut_out)), "what nobody could look at is no reason for a warning"
