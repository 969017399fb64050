"""Features in npz and parquet files. Nothing is unpickled."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leukfeat.errors import StoreError
from leukfeat.features import foreign
from leukfeat.features.foreign import FEATURE_NAMES, ID_NAMES, memory_of_machine
from leukfeat.features.record import Record
from leukfeat.jsonfiles import parse_json


def write_npz(file: Path, record: Record) -> None:
    """Arrays of text and numbers, one for each column; facts as JSON."""
    columns = {name: np.array(column, dtype=np.str_) for name, column in record.columns.items()}
    facts = {name: np.array(json.dumps(value, sort_keys=True)) for name, value in record.facts.items()}
    with file.open("wb") as stream:
        np.savez(stream, features=record.X, **columns, **facts)  # type: ignore[arg-type]


def read_npz(file: Path) -> Record:
    """What :func:`write_npz` or another tool wrote.

    Raises
    ------
    StoreError
        Features or ids are missing, or it would not fit into memory.
    ValueError, OSError, zipfile.BadZipFile
        Not such a file, or with pickled objects in it.
    """
    with zipfile.ZipFile(file) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > memory_of_machine():
        raise StoreError(f"{file}: {size / 1e9:,.1f} GB when unpacked, more than this machine has memory")
    with np.load(file, allow_pickle=False) as found:
        X = found[_one_of(file, "features", FEATURE_NAMES, found)]
        ids = found[_one_of(file, "sample ids", ID_NAMES, found)]
        facts = {name: json.loads(str(found[name])) for name in ("encoder", "provenance", "seen") if name in found}
    return Record(X, {"sample_ids": _texts(ids)}, facts)


def write_parquet(file: Path, record: Record) -> None:
    """A table with a list of numbers in each row; facts as JSON in its metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    vectors = pa.FixedSizeListArray.from_arrays(pa.array(record.X.reshape(-1)), max(1, record.X.shape[1]))
    table = pa.table({**{name: list(column) for name, column in record.columns.items()}, "features": vectors})
    pq.write_table(table.replace_schema_metadata({"leukfeat": json.dumps(dict(record.facts), sort_keys=True)}), file)


def read_parquet(file: Path) -> Record:
    """What :func:`write_parquet` or another tool wrote.

    Raises
    ------
    StoreError
        Not such a file, features or ids are missing, or vectors have different lengths.
    ValueError
        The facts of leukfeat in it are none.
    """
    content = foreign.read_parquet(file)
    facts = parse_json(content.facts.get("leukfeat", "{}"))
    return Record(content.X, {"sample_ids": content.ids or ()}, facts)


def _one_of(file: Path, what: str, names: tuple[str, ...], found: Any) -> str:
    name = next((name for name in names if name in found), None)
    if name is None:
        raise StoreError(f"{file}: has no {what}; looked for {', '.join(names)}; it holds {', '.join(found)}")
    return name


def _texts(ids: NDArray[Any]) -> tuple[str, ...]:
    return tuple(value.decode() if isinstance(value, bytes) else str(value) for value in ids.tolist())
