"""Features of other tools, taken into a store with their ids: sealed, listed, verified and merged like our own.

Nobody knows the images behind them, so a row is found by the digest of its id and not of its image. The key is the
digest of ids and vectors, which need not both be in the file, and says which encoder the files, or whoever imported
them, named.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from leukfeat.errors import StoreError, UsageError
from leukfeat.features.exchange import read_features
from leukfeat.features.store import IMPORTED, KEY_SCHEMA, FeatureStore, StoredKey, leukfeat_version
from leukfeat.features.table import Features

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
        A file that cannot be read, different dimensions or encoders, or an id that stands there twice.
    """
    if not files:
        raise UsageError("no files to import; name HDF5, parquet, npz or h5ad files, or a folder of HDF5 files")
    tables = [read_features(file) for file in files]
    encoder = encoder or _encoder(tables)
    found = Features.stack(tables)
    key = StoredKey(
        inputs={
            "architecture": encoder,
            "pooling": IMPORTED,
            "layer": None,
            "precision": "fp32",
            "tables": sorted(table.digest for table in tables),
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
            engine=IMPORTED,
            decoder="",
        )
    return Imported(store.folder(key), encoder, len(found), found.dim, len(missing))


def _encoder(tables: Sequence[Features]) -> str:
    """What the files say computed them: vectors of different encoders do not belong below each other."""
    told = [each for table in tables for each in table.provenance.get("stacked", [table.provenance])]
    names = sorted({str(each.get("encoder", each.get("backbone", "unknown"))) for each in told})
    if len(names) > 1:
        raise StoreError(
            f"these files are of different encoders ({', '.join(names[:5])}); import those of one at a time, or name"
            " the one with --encoder"
        )
    return names[0]
