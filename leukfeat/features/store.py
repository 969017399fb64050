"""The feature store: a folder a key, immutable parts in it, rows found by the sha256 of the image.

Layout::

    <root>/resolved/<question>.json          what a backbone came to, so that a warm run needs no torch
    <root>/engines/                          networks as engines want them, exported or compiled once
    <root>/<readable>-<key12>/provenance.json  the inputs of the key, in full
    <root>/<readable>-<key12>/part-*.h5        rows; never modified, only added

Any number of processes and machines may read and add at the same time: a part appears under its name when it is whole.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leukfeat.backbones.resolution import Resolution
from leukfeat.backbones.spec import canonical_json
from leukfeat.errors import StoreError
from leukfeat.features import parts
from leukfeat.textfiles import write_text

PROVENANCE = "provenance.json"
RESOLVED = "resolved"
ENGINES = "engines"
PRECISIONS = ("fp32", "float16", "bfloat16")


@dataclass(frozen=True)
class FeatureKey:
    """Everything vectors depend on, known before any is computed.

    Attributes
    ----------
    resolution : Resolution
        Network, weights and preprocessing.
    precision : str
        ``"fp32"``, ``"float16"`` or ``"bfloat16"``.
    """

    resolution: Resolution
    precision: str = "fp32"

    @cached_property
    def inputs(self) -> dict[str, Any]:
        """What is hashed, as JSON types."""
        return {**self.resolution.identity(), "precision": self.precision, "schema": parts.SCHEMA}

    @cached_property
    def digest(self) -> str:
        """sha256 over the inputs."""
        return key_digest(self.inputs)

    @property
    def folder_name(self) -> str:
        """Readable beginning and the first 12 digits of the digest; a function of the inputs alone."""
        inputs = self.inputs
        words = [inputs["architecture"], inputs["pooling"]] + ([inputs["layer"]] if inputs["layer"] else [])
        readable = re.sub(r"[^A-Za-z0-9_.]+", "_", "-".join(words))[:60]
        return f"{readable}-{self.digest[:12]}"


def key_digest(inputs: Mapping[str, Any]) -> str:
    """sha256 over the inputs of a key."""
    return hashlib.sha256(canonical_json(dict(inputs)).encode()).hexdigest()


class Shelf:
    """The parts of one key as they were when it was opened.

    Parameters
    ----------
    folder : Path
        The key's folder; it need not exist yet.

    Raises
    ------
    StoreError
        A part cannot be trusted.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.headers = [parts.read_header(file) for file in parts.list_parts(folder)]
        dims = {header.dim for header in self.headers if len(header)}
        if len(dims) > 1:
            raise StoreError(f"{folder}: parts of different dimensions {sorted(dims)}; run leukfeat cache verify")
        self.dim = dims.pop() if dims else None
        self._place: dict[bytes, tuple[int, int]] = {}
        for number, header in enumerate(self.headers):
            for row, digest in enumerate(header.sha256.tolist()):
                self._place.setdefault(digest, (number, row))  # the oldest part answers, so an answer never changes

    def __len__(self) -> int:
        return len(self._place)

    def __contains__(self, sha256: str) -> bool:
        return sha256.encode() in self._place

    def read(self, sha256: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of images.

        Parameters
        ----------
        sha256 : sequence of str
            Hexadecimal digests, each of them stored; the same one may stand there twice.

        Returns
        -------
        ndarray of shape (len(sha256), d), float32

        Raises
        ------
        StoreError
            An image is not stored, or a part is damaged.
        """
        missing = next((digest for digest in sha256 if digest not in self), None)
        if missing is not None:
            raise StoreError(f"{self.folder}: no features of image {missing[:12]}…; run leukfeat extract")
        found = np.array([self._place[digest.encode()] for digest in sha256], dtype=np.int64).reshape(-1, 2)
        X = np.empty((len(found), self.dim or 0), dtype=np.float32)
        for number in np.unique(found[:, 0]):
            places = np.flatnonzero(found[:, 0] == number)
            parts.read_rows(self.headers[number].file, found[places, 1], X, places)
        return X


class FeatureStore:
    """Vectors kept on disk, found again by the content of the image.

    Parameters
    ----------
    root : path
        Its folder; made when something is written.

    Raises
    ------
    StoreError
        The path is something else than a folder.
    """

    def __init__(self, root: Path | str = "cache") -> None:
        self.root = Path(root)
        if self.root.exists() and not self.root.is_dir():
            raise StoreError(f"{self.root}: not a folder; name a folder with --cache")

    def __repr__(self) -> str:
        return f"FeatureStore({str(self.root)!r})"

    @property
    def resolved(self) -> Path:
        """Where the answers of :func:`leukfeat.backbones.resolution.resolve` are remembered."""
        return self.root / RESOLVED

    @property
    def engines(self) -> Path:
        """Where engines keep networks that they have exported or compiled."""
        return self.root / ENGINES

    def folder(self, key: FeatureKey) -> Path:
        """Where a key's parts are."""
        return self.root / key.folder_name

    def open(self, key: FeatureKey) -> Shelf:
        """What is stored under a key.

        Raises
        ------
        StoreError
            A part cannot be trusted, or the folder belongs to another key.
        """
        folder = self.folder(key)
        if folder.is_dir() and (folder / PROVENANCE).exists():
            kept = read_provenance(folder)["key"]
            if key_digest(kept) != key.digest:
                raise StoreError(f"{folder / PROVENANCE}: belongs to another key; run leukfeat cache verify")
        return Shelf(folder)

    def append(
        self,
        key: FeatureKey,
        sha256: Sequence[str],
        X: NDArray[np.float32],
        sample_ids: Sequence[str],
        *,
        engine: str,
        decoder: str,
    ) -> Path:
        """Add rows as a new part.

        Parameters
        ----------
        key : FeatureKey
            What the vectors depend on.
        sha256 : sequence of str
            Digest of each row's image.
        X : ndarray of shape (n, d), float32
            Finite vectors.
        sample_ids : sequence of str
            A hint for people.
        engine, decoder : str
            What computed and what decoded.

        Returns
        -------
        Path
            The part.

        Raises
        ------
        StoreError
            Rows and digests differ in number, or the store cannot be written.
        """
        if X.ndim != 2 or not len(X) == len(sha256) == len(sample_ids):
            raise StoreError(f"{self.root}: {X.shape} vectors for {len(sha256)} images and {len(sample_ids)} samples")
        folder = self.folder(key)
        try:
            if not (folder / PROVENANCE).exists():
                with write_text(folder / PROVENANCE) as stream:
                    json.dump(_provenance(key), stream, indent=1, sort_keys=True)
                    stream.write("\n")
            return parts.write_part(folder, sha256, X, sample_ids, engine=engine, decoder=decoder)
        except OSError as error:
            raise StoreError(
                f"{folder}: cannot be written: {error.strerror or error}; choose another --cache or make room"
            ) from error

    def key_folders(self) -> list[Path]:
        """Folders of all keys."""
        if not self.root.is_dir():
            return []
        return sorted(folder for folder in self.root.iterdir() if (folder / PROVENANCE).is_file())


def read_provenance(folder: Path) -> dict[str, Any]:
    """The provenance of a key's folder.

    Raises
    ------
    StoreError
        It is missing or unreadable.
    """
    file = folder / PROVENANCE
    try:
        provenance = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(provenance, dict) or not isinstance(provenance["key"], dict):
            raise TypeError("holds no key")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{file}: cannot be read ({error}); run leukfeat cache gc --yes, which moves the folder aside"
        ) from error
    return provenance


def leukfeat_version() -> str:
    """The installed version; ``"source"`` where leukfeat runs from a checkout."""
    try:
        return importlib.metadata.version("leukfeat")
    except importlib.metadata.PackageNotFoundError:
        return "source"


def _provenance(key: FeatureKey) -> dict[str, Any]:
    resolution = key.resolution
    return {
        "key": key.inputs,
        "digest": key.digest,
        "origin": resolution.origin,
        "versions": {**resolution.versions, "leukfeat": leukfeat_version()},
    }
