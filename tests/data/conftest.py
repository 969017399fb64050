"""Small manifests and image files for the tests of data."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from leukfeat.data.manifest import Manifest


@pytest.fixture
def make_manifest() -> Callable[..., Manifest]:
    """Build a manifest from rows (subject, label[, what the image shows[, official part]])."""

    def make(rows: Iterable[tuple[str, ...]], **columns: object) -> Manifest:
        rows = [(*row, *("", "")[len(row) - 2 :]) for row in rows]
        sample = tuple(f"{number:05d}.png" for number in range(len(rows)))
        shown = [row[2] or f"image {number}" for number, row in enumerate(rows)]
        return Manifest(
            sample=sample,
            path=sample,
            label=tuple(row[1] for row in rows),
            subject=tuple(row[0] for row in rows),
            sha256=tuple(hashlib.sha256(what.encode()).hexdigest() for what in shown),
            official=tuple(row[3] for row in rows),
            **columns,  # type: ignore[arg-type]
        )

    return make


@pytest.fixture
def make_files(tmp_path: Path) -> Callable[..., Path]:
    """Write files, each with its own name as content, into one folder."""

    def make(*names: str) -> Path:
        for name in names:
            file = tmp_path / "data" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(name.encode())
        return tmp_path / "data"

    return make
