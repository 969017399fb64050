"""Features of other tools, taken into a store with their ids: sealed, listed, verified and merged like our own.

Nobody knows the images behind them, so a row is found by the digest of its id and not of its image. The key is the
digest of the files, and says which encoder the files, or whoever imported them, named.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from leukfeat.data.hashing import sha256_of
from leukfeat.errors import StoreError, UsageError
from leukfeat.features.exchange import read_features
from leukfeat.features.store import KEY_SCHEMA, FeatureStore, StoredKey, leukfeat_version
from leukfeat.features.table import Features

POOLING = "imported"  # stands where the pooling of a network would

_ROWS_A_PART = 16_384


@dataclass(frozen=True)
class Imported:
    """What :func:`import_features` took in.

    Attributes
    ----------
    folder : Path
        The key's folder: what ``--features`` takes.
    encoder : str
        What computed them, as far as told.
    samples, dim, added : int
        Rows there are, length of a vector, and rows that were not there before.
    """

    folder: Path
    encoder: str
    samples: int
    dim: int
    added: int


def import_features(files: Sequence[Path], store: FeatureStore, *, encoder: str | None = None) -> Imported:
    """Take features of other tools into a store.

    Parameters
    ----------
    files : sequence of path
        What :func:`~leukfeat.features.exchange.read_features` reads; several are put below each other.
    store : FeatureStore
        Where to.
    encoder : str or None
        What computed them; None for what the files say.

    Returns
    -------
    Imported
        The same files again add nothing.

    Raises
    ------
    UsageError
        No files.
    StoreError
        A file that cannot be read, different dimensions, or an id that stands there twice.
    """
    if not files:
        raise UsageError("no files to import; name HDF5, parquet, npz or h5ad files, or a folder of HDF5 files")
    found = Features.stack([read_features(file) for file in files])
    encoder = encoder or _encoder(found)
    key = StoredKey(
        inputs={
            "architecture": encoder,
            "pooling": POOLING,
            "layer": None,
            "precision": "fp32",
            "files": sorted(digest for file in files for digest in _digests(file)),
            "schema": KEY_SCHEMA,
        },
        provenance={
            "origin": f"imported from {', '.join(file.name for file in files[:3])}" + (", …" if files[3:] else ""),
            "told": dict(found.provenance),
            "seen": found.seen.describe(),
            "versions": {"leukfeat": leukfeat_version()},
        },
    )
    digests = [hashlib.sha256(sample.encode()).hexdigest() for sample in found.sample_ids]
    missing = np.flatnonzero(~store.open(key).holds(digests))
    for start in range(0, len(missing), _ROWS_A_PART):
        some = missing[start : start + _ROWS_A_PART]
        store.append(
            key,
            [digests[row] for row in some],
            found.X[some],
            [found.sample_ids[row] for row in some],
            engine=POOLING,
            decoder="",
        )
    return Imported(store.folder(key), encoder, len(found), found.dim, len(missing))


def _encoder(features: Features) -> str:
    """What the files say computed them; different answers are no answer."""
    tables = features.provenance.get("stacked", [features.provenance])
    names = {str(table.get("encoder", table.get("backbone", "unknown"))) for table in tables}
    return names.pop() if len(names) == 1 else "unknown"


def _digests(file: Path) -> list[str]:
    try:
        inside = sorted(each for each in file.rglob("*") if each.is_file()) if file.is_dir() else [file]
        return [sha256_of(each) for each in inside]
    except OSError as error:
        raise StoreError(f"{file}: cannot be read: {error.strerror or error}") from error
