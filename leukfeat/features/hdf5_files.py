"""HDF5 files for other tools: one for CLAM, TRIDENT, STAMP and thingsvision, a folder for CLAM, one for AnnData.

Only writing happens here; what others wrote is read by :mod:`leukfeat.features.foreign`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from leukfeat.data.words import UNKNOWN
from leukfeat.errors import StoreError
from leukfeat.features.record import Record
from leukfeat.textfiles import write_csv

BAGS = "h5_files"  # folder of a CLAM export with one file a slide

_TEXT = h5py.string_dtype("utf-8")


def write_hdf5(file: Path, record: Record) -> None:
    """One file: ``features`` with the alias ``feats``, ``coords`` (zeros: a cell has no place on a slide), columns."""
    with h5py.File(file, "w", locking=False) as out:
        features = out.create_dataset("features", data=record.X)  # in one piece, so that it can be mapped
        out["feats"] = features  # a second name for the same numbers
        out.create_dataset("coords", data=np.zeros((len(record.X), 2), dtype=np.int64))
        for name, column in record.columns.items():
            out.create_dataset(name, data=list(column), dtype=_TEXT)
        _write_facts(out, record.facts)
        # attributes are limited to 64 kB, and a fine-tuned encoder may have seen many images
        out.create_dataset("seen", data=json.dumps(record.facts["seen"]), dtype=_TEXT)


def _write_facts(out: h5py.File, facts: Mapping[str, Any]) -> None:
    out.attrs["encoder"], out.attrs["leukfeat_version"] = facts["encoder"], facts["leukfeat_version"]
    out.attrs["provenance"] = json.dumps(facts["provenance"], sort_keys=True)


def write_clam(folder: Path, record: Record) -> None:
    """A folder as CLAM's bags: ``h5_files/<slide>.h5`` for each subject, and ``dataset.csv`` (case, slide, label).

    A subject whose images have several labels becomes a bag for each; without subjects every image is a bag.

    References
    ----------
    Lu et al., "Data-efficient and weakly supervised computational pathology on whole-slide images", Nature Biomedical
    Engineering 5 (2021), 10.1038/s41551-020-00682-w; the layout is that of their program's ``features`` folder.
    """
    subjects, labels, samples = (record.columns[name] for name in ("subject", "labels", "sample_ids"))
    rows_of: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row, (subject, label, sample) in enumerate(zip(subjects, labels, samples, strict=True)):
        rows_of[sample if subject in ("", UNKNOWN) else subject, label].append(row)
    labels_of: dict[str, int] = defaultdict(int)
    for subject, _ in rows_of:
        labels_of[subject] += 1
    (folder / BAGS).mkdir(parents=True)
    table: list[Sequence[str]] = [("case_id", "slide_id", "label")]
    for (subject, label), rows in rows_of.items():
        slide = _file_name(subject if labels_of[subject] == 1 else f"{subject}-{label}")
        write_hdf5(folder / BAGS / f"{slide}.h5", record.rows(np.array(rows, dtype=np.int64)))
        table.append((subject, slide, label))
    if len({slide.casefold() for _, slide, _ in table}) < len(table):
        raise StoreError(f"{folder}: two subjects would have files of the same name; rename one of them")
    write_csv(folder / "dataset.csv", table)


def _file_name(name: str) -> str:
    """A name that is a file name everywhere; one that had to be changed ends in a digest, so that it stays unique."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "_", name).lstrip(".")[:100]
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def write_anndata(file: Path, record: Record) -> None:
    """One ``.h5ad`` file: ``X``, and in ``obs`` sample ids, paths, labels and subjects.

    References
    ----------
    AnnData's on-disk format, version 0.1.0, https://anndata.readthedocs.io/en/latest/fileformat-prose.html
    """
    with h5py.File(file, "w", locking=False) as out:
        _encoded(out, "anndata", "0.1.0")
        _encoded(out.create_dataset("X", data=record.X), "array", "0.2.0")
        columns = {name: column for name, column in record.columns.items() if name != "sample_ids"}
        _write_frame(out, "obs", record.columns["sample_ids"], columns)
        _write_frame(out, "var", tuple(str(number) for number in range(record.X.shape[1])), {})
        for name in ("layers", "obsm", "obsp", "uns", "varm", "varp"):
            _encoded(out.create_group(name), "dict", "0.1.0")
        for name, value in record.facts.items():
            text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
            _encoded(out["uns"].create_dataset(name, data=text, dtype=_TEXT), "string", "0.2.0")
        _write_facts(out, record.facts)


def _write_frame(out: h5py.File, name: str, index: Sequence[str], columns: Mapping[str, Sequence[str]]) -> None:
    frame = out.create_group(name)
    _encoded(frame, "dataframe", "0.2.0")
    frame.attrs["_index"] = "_index"
    frame.attrs["column-order"] = np.array(list(columns), dtype=_TEXT)
    for column, values in {"_index": index, **columns}.items():
        _encoded(frame.create_dataset(column, data=list(values), dtype=_TEXT), "string-array", "0.2.0")


def _encoded(stored: h5py.HLObject, kind: str, version: str) -> None:
    stored.attrs["encoding-type"], stored.attrs["encoding-version"] = kind, version
