"""Features from and to files other tools know: HDF5, parquet, npz. Nothing is ever unpickled.

The HDF5 file has what readers of CLAM, TRIDENT, STAMP and thingsvision look for: ``features`` (n, d) with the alias
``feats``, ``coords`` (zeros: a cell has no place on a slide), ``paths``, ``labels``, ``subject``, and the attributes
``encoder``, ``leukfeat_version`` and ``provenance`` (JSON).

A large matrix that lies in one piece in an HDF5 file, as in those written here, is not read but mapped: processes that
use it share the pages of the file.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from leukfeat.data.exposure import Seen
from leukfeat.data.manifest import Manifest
from leukfeat.errors import StoreError, UnknownNameError
from leukfeat.features.store import leukfeat_version
from leukfeat.features.table import Features
from leukfeat.textfiles import whole_file

FEATURE_NAMES = ("features", "feats", "embeddings")
ID_NAMES = ("sample_ids", "sample", "ids", "paths", "filenames")

_MAPPED_FROM = 64 * 2**20  # bytes; a smaller matrix is read, so that whoever writes over the file does no harm
_BLOCK = 16 * 2**20  # bytes that are read and converted at a time


@dataclass(frozen=True)
class _Record:
    """Features as any of the formats holds them."""

    X: NDArray[np.float32]
    columns: Mapping[str, tuple[str, ...]]  # text columns, one entry a row
    facts: Mapping[str, Any]  # encoder, leukfeat_version, provenance, seen


def write_features(features: Features, file: Path | str, manifest: Manifest | None = None) -> Path:
    """Write features; the suffix chooses the format.

    Parameters
    ----------
    features : Features
        What to write.
    file : path
        Ends in ``.h5``, ``.hdf5``, ``.parquet`` or ``.npz``. It appears whole or not at all.
    manifest : Manifest or None
        Gives paths, labels and subjects; without it the sample id stands for the path, and the others are empty.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    UnknownNameError
        Another suffix.
    StoreError
        The file cannot be written.
    """
    file = Path(file)
    form = _format_of(file)
    try:
        with whole_file(file) as temporary:
            form.write(temporary, _record_of(features, manifest))
    except OSError as error:
        raise StoreError(f"{file}: features cannot be written: {error.strerror or error}") from error
    return file


def read_features(file: Path | str) -> Features:
    """Read features that leukfeat or another tool wrote.

    Parameters
    ----------
    file : path
        HDF5, parquet or npz with a matrix called ``features``, ``feats`` or ``embeddings`` and ids called
        ``sample_ids``, ``sample``, ``ids``, ``paths`` or ``filenames``.

    Returns
    -------
    Features
        What the encoder has seen is unknown unless leukfeat wrote it into the file.

    Raises
    ------
    UnknownNameError
        Another suffix.
    StoreError
        The file is missing, damaged, lacks features or ids, or holds values that are not finite.
    """
    file = Path(file)
    form = _format_of(file)
    if not file.is_file():
        raise StoreError(f"{file}: no such feature file")
    try:
        record = form.read(file)
        told = record.facts.get("seen")
        seen = Seen.from_description(told) if told else Seen(unknown=True)
    except StoreError:
        raise
    except (OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
        raise StoreError(f"{file}: features cannot be read: {' '.join(str(error).split())}") from error
    provenance = dict(record.facts.get("provenance") or {})
    try:
        return Features(
            X=record.X,
            sample_ids=record.columns["sample_ids"],
            seen=seen,
            provenance=provenance or {"file": file.name, "encoder": str(record.facts.get("encoder", "unknown"))},
        )
    except StoreError as error:
        raise StoreError(f"{file}: {error}") from error


def _record_of(features: Features, manifest: Manifest | None) -> _Record:
    columns = {"sample_ids": features.sample_ids, "paths": features.sample_ids}
    columns |= {name: ("",) * len(features) for name in ("labels", "subject")}
    if manifest is not None:
        row_of = {sample: row for row, sample in enumerate(manifest.sample)}
        foreign = [sample for sample in features.sample_ids if sample not in row_of]
        if foreign:
            raise StoreError(f"{manifest.dataset}: has no sample {foreign[0]!r}; these features are of other data")
        rows = [row_of[sample] for sample in features.sample_ids]
        named = {"paths": manifest.path, "labels": manifest.label, "subject": manifest.subject}
        columns |= {name: tuple(column[row] for row in rows) for name, column in named.items()}
    facts = {
        "encoder": _encoder(features.provenance),
        "leukfeat_version": leukfeat_version(),
        "provenance": dict(features.provenance),
        "seen": features.seen.describe(),
    }
    return _Record(features.X, columns, facts)


def _encoder(provenance: Mapping[str, Any]) -> str:
    """Name of the encoder, or of all whose vectors stand side by side."""
    side_by_side = provenance.get("concatenated")
    if side_by_side:
        return " + ".join(_encoder(part) for part in side_by_side)
    return str(provenance.get("backbone", "unknown"))


# ---------------------------------------------------------------------- HDF5


def _write_hdf5(file: Path, record: _Record) -> None:
    text = h5py.string_dtype("utf-8")
    with h5py.File(file, "w", locking=False) as out:
        features = out.create_dataset("features", data=record.X)  # in one piece, so that it can be mapped
        out["feats"] = features  # a second name for the same numbers
        out.create_dataset("coords", data=np.zeros((len(record.X), 2), dtype=np.int64))
        for name, column in record.columns.items():
            out.create_dataset(name, data=list(column), dtype=text)
        facts = record.facts
        out.attrs["encoder"], out.attrs["leukfeat_version"] = facts["encoder"], facts["leukfeat_version"]
        out.attrs["provenance"] = json.dumps(facts["provenance"], sort_keys=True)
        # attributes are limited to 64 kB, and a fine-tuned encoder may have seen many images
        out.create_dataset("seen", data=json.dumps(facts["seen"]), dtype=text)


def _read_hdf5(file: Path) -> _Record:
    with h5py.File(file, "r", locking=False) as found:
        X = _mapped_or_read(file, found[_one_of(file, "features", FEATURE_NAMES, found)])
        if X.ndim == 3 and X.shape[0] == 1:
            X = X[0]  # one bag of instances, as some slide tools write it
        ids = found[_one_of(file, "sample ids", ID_NAMES, found)][()]
        facts: dict[str, Any] = {"encoder": found.attrs.get("encoder", "unknown")}
        if "provenance" in found.attrs and "seen" in found:
            facts["provenance"] = json.loads(found.attrs["provenance"])
            facts["seen"] = json.loads(found["seen"].asstr()[()])
    return _Record(X, {"sample_ids": _texts(ids)}, facts)


def _mapped_or_read(file: Path, stored: Any) -> NDArray[Any]:
    """A matrix of an HDF5 file: a map of the file where that is possible, else float32 that were read in blocks."""
    offset = None if stored.external or stored.is_virtual else stored.id.get_offset()  # None of chunks
    if offset is not None and stored.dtype == np.float32 and stored.dtype.isnative and stored.nbytes >= _MAPPED_FROM:
        return np.memmap(file, dtype=np.float32, mode="r", offset=offset, shape=stored.shape)
    if stored.ndim != 2 or stored.dtype.kind not in "fiu":
        return np.asarray(stored[()])
    X = np.empty(stored.shape, dtype=np.float32)
    rows = max(1, _BLOCK // max(1, stored.dtype.itemsize * stored.shape[1]))
    for start in range(0, len(X), rows):
        block = np.s_[start : min(start + rows, len(X))]
        stored.read_direct(X, block, block)
    return X


# ---------------------------------------------------------------------- npz


def _write_npz(file: Path, record: _Record) -> None:
    columns = {name: np.array(column, dtype=np.str_) for name, column in record.columns.items()}
    facts = {name: np.array(json.dumps(value, sort_keys=True)) for name, value in record.facts.items()}
    with file.open("wb") as stream:
        np.savez(stream, features=record.X, **columns, **facts)  # type: ignore[arg-type]


def _read_npz(file: Path) -> _Record:
    with np.load(file, allow_pickle=False) as found:
        X = found[_one_of(file, "features", FEATURE_NAMES, found)]
        ids = found[_one_of(file, "sample ids", ID_NAMES, found)]
        facts = {name: json.loads(str(found[name])) for name in ("encoder", "provenance", "seen") if name in found}
    return _Record(X, {"sample_ids": _texts(ids)}, facts)


# ---------------------------------------------------------------------- parquet


def _write_parquet(file: Path, record: _Record) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    vectors = pa.FixedSizeListArray.from_arrays(pa.array(record.X.reshape(-1)), max(1, record.X.shape[1]))
    table = pa.table({**{name: list(column) for name, column in record.columns.items()}, "features": vectors})
    pq.write_table(table.replace_schema_metadata({"leukfeat": json.dumps(dict(record.facts), sort_keys=True)}), file)


def _read_parquet(file: Path) -> _Record:
    import pyarrow.parquet as pq

    table = pq.read_table(file)
    named = {name: name for name in table.column_names}
    vectors = table.column(_one_of(file, "features", FEATURE_NAMES, named)).combine_chunks()
    lengths = (
        np.unique(np.diff(np.asarray(vectors.offsets))) if hasattr(vectors, "offsets") else [vectors.type.list_size]
    )
    if len(lengths) > 1 or vectors.null_count:
        raise StoreError(f"{file}: its vectors have different lengths or gaps")
    values = vectors.flatten().to_numpy(zero_copy_only=False)
    ids = table.column(_one_of(file, "sample ids", ID_NAMES, named)).to_pylist()
    facts = json.loads((table.schema.metadata or {}).get(b"leukfeat", b"{}"))
    return _Record(values.reshape(table.num_rows, -1), {"sample_ids": _texts(np.array(ids, dtype=object))}, facts)


# ---------------------------------------------------------------------- what the formats share


@dataclass(frozen=True)
class _Format:
    read: Callable[[Path], _Record]
    write: Callable[[Path, _Record], None]


FORMATS: Mapping[str, _Format] = MappingProxyType(
    {
        ".h5": _Format(_read_hdf5, _write_hdf5),
        ".hdf5": _Format(_read_hdf5, _write_hdf5),
        ".npz": _Format(_read_npz, _write_npz),
        ".parquet": _Format(_read_parquet, _write_parquet),
    }
)


def _format_of(file: Path) -> _Format:
    if file.suffix.lower() not in FORMATS:
        raise UnknownNameError("feature file format", file.suffix or file.name, FORMATS)
    return FORMATS[file.suffix.lower()]


def _one_of(file: Path, what: str, names: tuple[str, ...], found: Any) -> str:
    name = next((name for name in names if name in found), None)
    if name is None:
        raise StoreError(f"{file}: has no {what}; looked for {', '.join(names)}; it holds {', '.join(found)}")
    return name


def _texts(ids: NDArray[Any]) -> tuple[str, ...]:
    return tuple(value.decode() if isinstance(value, bytes) else str(value) for value in ids.tolist())
