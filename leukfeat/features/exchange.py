"""Features from and to files other tools know: HDF5, CLAM's folders, AnnData, parquet, npz. Nothing is unpickled.

The HDF5 file has what readers of CLAM, TRIDENT, STAMP and thingsvision look for: ``features`` (n, d) with the alias
``feats``, ``coords`` (zeros: a cell has no place on a slide), ``paths``, ``labels``, ``subject``, and the attributes
``encoder``, ``leukfeat_version`` and ``provenance`` (JSON).

HDF5 is read in a process of its own (:mod:`leukfeat.features.foreign`). A large matrix that lies there in one piece, as
in the files written here, is not read but mapped: processes that use it share the pages of the file.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from leukfeat.data.arrays import DAMAGED
from leukfeat.data.exposure import Seen
from leukfeat.data.manifest import Manifest
from leukfeat.errors import StoreError, UnknownNameError, UsageError
from leukfeat.features import parts
from leukfeat.features.columnar import read_npz, read_parquet, write_npz, write_parquet
from leukfeat.features.foreign import ID_NAMES, Content, Reader, read_hdf5
from leukfeat.features.hdf5_files import BAGS, write_anndata, write_clam, write_hdf5
from leukfeat.features.record import Record
from leukfeat.features.shelf import Shelf
from leukfeat.features.store import IMPORTED, PROVENANCE, leukfeat_version, read_provenance
from leukfeat.features.table import Features
from leukfeat.textfiles import sweep, temporary_name, whole_file

FILE_NAMES = "file_names.txt"  # that thingsvision writes beside its features


def write_features(
    features: Features, file: Path | str, manifest: Manifest | None = None, *, form: str | None = None
) -> Path:
    """Write features for other tools.

    Parameters
    ----------
    features : Features
        What to write.
    file : path
        It appears whole or not at all. ``"clam"`` writes a folder.
    manifest : Manifest or None
        Gives paths, labels and subjects; without it the sample id stands for the path, and the others are empty.
    form : str or None
        A name in :data:`FORMATS`; None for what the suffix says.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    UnknownNameError
        Another format, or a suffix that says none.
    UsageError
        A format, and the suffix of another or a file of another kind that would be replaced.
    StoreError
        The file cannot be written.
    """
    file = Path(file)
    chosen = _format_of(file) if form is None else _format_named(form)
    suffix = file.suffix.lower()
    if chosen.suffixes and suffix not in chosen.suffixes and (suffix in _suffixes() or file.exists()):
        # nobody could read it again, and what stands there is something else, perhaps a manifest
        raise UsageError(f"{file}: --format {form} is written to a file that ends in {' or '.join(chosen.suffixes)}")
    whole = whole_file if chosen.suffixes else _whole_folder
    try:
        with whole(file) as temporary:
            _check_room(temporary.parent, features)
            chosen.write(temporary, _record_of(features, manifest))
    except (OSError, RuntimeError) as error:  # RuntimeError: HDF5's word for a disk that is full
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise StoreError(f"{file}: features cannot be written: {reason}") from error
    return file


def _check_room(folder: Path, features: Features) -> None:
    """Say that the disk is full before HDF5 finds out, which reports pages of its own then."""
    free = shutil.disk_usage(folder).free
    if free < features.X.nbytes:
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} ({free:,} of {features.X.nbytes:,} bytes are free)")


@contextmanager
def _whole_folder(folder: Path) -> Iterator[Path]:
    """A folder that takes its name when the block ends well; one that is there is never replaced."""
    if folder.exists():
        raise StoreError(f"{folder}: is there already; name another folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    sweep(folder.parent)
    temporary = temporary_name(folder)
    try:
        yield temporary
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def read_features(file: Path | str) -> Features:
    """Read features that leukfeat or another tool wrote.

    Parameters
    ----------
    file : path
        HDF5, parquet or npz with a matrix called ``features``, ``feats``, ``embeddings`` or ``X`` and ids called
        ``sample_ids``, ``sample``, ``ids``, ``paths`` or ``filenames``; a folder with one HDF5 file a slide; or a key's
        folder in a feature store. An HDF5 file without ids takes them from ``file_names.txt`` beside it (thingsvision),
        from ``coords`` (``<file>/<x>_<y>``), or, with a single row, from its own name.

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
    if file.is_dir():
        return _read_key(file) if (file / PROVENANCE).exists() else _read_bags(file)
    form = _format_of(file)
    if not file.is_file():
        raise StoreError(f"{file}: no such feature file")
    return _features(file, form.read)


def _features(file: Path, read: Callable[[Path], Record]) -> Features:
    try:
        record = read(file)
        told = record.facts.get("seen")
        seen = Seen.from_description(told) if told else Seen(unknown=True)
        provenance = dict(record.facts.get("provenance") or {})
    except StoreError:
        raise
    except DAMAGED as error:
        raise StoreError(f"{file}: features cannot be read: {' '.join(str(error).split())}") from error
    try:
        return Features(
            X=record.X,
            sample_ids=record.columns["sample_ids"],
            seen=seen,
            provenance=provenance or {"file": file.name, "encoder": str(record.facts.get("encoder", "unknown"))},
        )
    except StoreError as error:
        raise StoreError(f"{file}: {error}") from error


def _read_bags(folder: Path) -> Features:
    """One HDF5 file a slide, or a subject: the rows of all, one below the other."""
    suffixes = FORMATS["h5"].suffixes
    files = sorted(
        file for place in (folder, folder / BAGS) for file in place.glob("*") if file.suffix.lower() in suffixes
    )
    if not files:
        raise StoreError(f"{folder}: neither HDF5 files nor a key of a feature store in this folder")
    n = min(8, os.cpu_count() or 1, len(files))
    with ThreadPoolExecutor(max_workers=n) as pool:
        tables = pool.map(_read_several, [files[start::n] for start in range(n)])
    of_file = {file: table for some in tables for file, table in some}
    return Features.stack([of_file[file] for file in files])


def _read_several(files: Sequence[Path]) -> list[tuple[Path, Features]]:
    """Files one after the other, with one process for all of them."""
    with Reader() as reader:
        return [(file, _features(file, lambda file: _hdf5_record(file, reader.read(file)))) for file in files]


def _read_key(folder: Path) -> Features:
    """All rows of a key, under the sample ids they were written with; computed ones are found by their images."""
    provenance = read_provenance(folder)
    shelf = Shelf(folder)
    digests: list[str] = []
    samples: list[str] = []
    for header, answering in zip(shelf.headers, shelf.answering(), strict=True):
        names = parts.read_sample_ids(header)
        digests += header.texts(answering)
        samples += [names[row] for row in answering]
    told = provenance.get("seen")
    try:
        seen = Seen.from_description(told) if told else Seen(unknown=True)
    except DAMAGED as error:
        raise StoreError(f"{folder / PROVENANCE}: does not say what the encoder has seen ({error})") from error
    return Features(
        X=shelf.read(digests),
        sample_ids=tuple(samples),
        seen=seen,
        provenance={"key": provenance.get("digest"), "inputs": provenance["key"], "origin": provenance.get("origin")},
        images=() if provenance["key"].get("pooling") == IMPORTED else tuple(digests),
    )


def _record_of(features: Features, manifest: Manifest | None) -> Record:
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
    return Record(features.X, columns, facts)


def _encoder(provenance: Mapping[str, Any]) -> str:
    """Name of the encoder, or of all whose vectors stand side by side."""
    side_by_side = provenance.get("concatenated")
    if side_by_side:
        return " + ".join(_encoder(part) for part in side_by_side)
    return str(provenance.get("backbone", "unknown"))


# ---------------------------------------------------------------------- HDF5


def _read_hdf5(file: Path) -> Record:
    return _hdf5_record(file, read_hdf5(file))


def _hdf5_record(file: Path, content: Content) -> Record:
    facts: dict[str, Any] = {"encoder": content.facts.get("encoder", content.facts.get("extractor", "unknown"))}
    if "provenance" in content.facts and "seen" in content.facts:
        facts |= {name: json.loads(content.facts[name]) for name in ("provenance", "seen")}
    return Record(content.X, {"sample_ids": _ids_of(file, content)}, facts)


def _ids_of(file: Path, content: Content) -> tuple[str, ...]:
    """The ids in the file, or those that the tool that wrote it keeps elsewhere."""
    if content.ids is not None:
        return content.ids
    beside = file.with_name(FILE_NAMES)
    if beside.is_file():
        names = tuple(line for line in beside.read_text(encoding="utf-8").splitlines() if line)
        if len(names) == len(content.X):
            return names
        raise StoreError(f"{beside}: {len(names)} names for the {len(content.X)} rows of {file.name}")
    if content.coords is not None:
        return tuple(f"{file.stem}/{x}_{y}" for x, y in content.coords)
    if len(content.X) == 1:
        return (file.stem,)
    looked = f"{', '.join(ID_NAMES)}, coords, and {FILE_NAMES} beside it"
    raise StoreError(f"{file}: has no sample ids; looked for {looked}; it holds {', '.join(content.names)}")


@dataclass(frozen=True)
class Format:
    """A format of feature files.

    Attributes
    ----------
    suffixes : tuple of str
        By which a file is known; none for a folder.
    read : callable(Path) -> Record
        Reads one.
    write : callable(Path, Record) -> None
        Writes one.
    """

    suffixes: tuple[str, ...]
    read: Callable[[Path], Record]
    write: Callable[[Path, Record], None]


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "h5": Format((".h5", ".hdf5"), _read_hdf5, write_hdf5),
        "clam": Format((), _read_hdf5, write_clam),
        "parquet": Format((".parquet",), read_parquet, write_parquet),
        "npz": Format((".npz",), read_npz, write_npz),
        "anndata": Format((".h5ad",), _read_hdf5, write_anndata),
    }
)


def _suffixes() -> dict[str, Format]:
    return {suffix: form for form in FORMATS.values() for suffix in form.suffixes}


def _format_of(file: Path) -> Format:
    known = _suffixes()
    if file.suffix.lower() not in known:
        raise UnknownNameError("feature file format", file.suffix or file.name, known)
    return known[file.suffix.lower()]


def _format_named(name: str) -> Format:
    if name not in FORMATS:
        raise UnknownNameError("feature file format", name, FORMATS)
    return FORMATS[name]
