"""Weights files without torch: what a safetensors header says, and where a download lies.

References
----------
"Safetensors format", Hugging Face: eight bytes of length, a JSON header, then the tensors one after another.
"""

from __future__ import annotations

import struct
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leukfeat.data.exposure import Seen
from leukfeat.errors import WeightsError
from leukfeat.jsonfiles import parse_json

SEEN_FIELD = "leukfeat_seen"  # metadata of weights that leukfeat trained: what Seen.describe() gives
NETWORK_FIELD = "leukfeat_network"  # and what stands around the trunk: attention, pooling, inputs, classifier
OURS = "leukfeat."  # how the names of tensors begin that are not the trunk's

_LONGEST_HEADER = 100_000_000  # bytes, the format's own limit
_PROBE_SECONDS = 4.0
_HUB_FILE = "model.safetensors"


@dataclass(frozen=True)
class WeightsHeader:
    """What a weights file says about itself.

    Attributes
    ----------
    file : Path
        The file.
    metadata : mapping of str to str
        ``architecture``, ``mean``, ``std``, ``input_size``, ``model_args`` … where stated, values as JSON.
    shapes : mapping of str to tuple of int
        Shape of every tensor.
    """

    file: Path
    metadata: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]

    @property
    def architecture(self) -> str | None:
        """The timm model the weights are for."""
        return self.metadata.get("architecture")

    def field(self, name: str) -> Any:
        """One metadata entry as a value; None where it is not stated.

        Raises
        ------
        WeightsError
            The entry is not JSON.
        """
        text = self.metadata.get(name)
        if text is None:
            return None
        try:
            return parse_json(text)
        except ValueError as error:
            raise WeightsError(f"{self.file}: its metadata entry {name} is {text[:60]!r}, which is no JSON") from error

    @property
    def seen(self) -> Seen:
        """What trained these weights: leukfeat's own record, else unknown.

        Raises
        ------
        WeightsError
            The record has a gap.
        """
        record = self.field(SEEN_FIELD)
        if not isinstance(record, dict):
            return Seen(unknown=True)
        try:
            return Seen.from_description(record)
        except (KeyError, TypeError) as error:
            raise WeightsError(
                f"{self.file}: its metadata entry {SEEN_FIELD} does not list images and groups ({error}); get it again"
            ) from error


def read_header(file: Path) -> WeightsHeader:
    """Read the header of a safetensors file.

    Raises
    ------
    WeightsError
        No such file, not a safetensors file, or a truncated one.
    """
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            start = stream.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if not 2 <= length <= min(_LONGEST_HEADER, size - 8):
                raise WeightsError(f"{file}: not a safetensors file, or a truncated one ({size:,} bytes)")
            header = parse_json(stream.read(length))
    except FileNotFoundError:
        raise WeightsError(f"{file}: no such weights file; check the path given with --weights") from None
    except OSError as error:
        raise WeightsError(f"{file}: weights cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(f"{file}: not a safetensors file: its header is no JSON") from error
    try:
        metadata = dict(header.pop("__metadata__", {}))
        shapes = {name: tuple(tensor["shape"]) for name, tensor in header.items()}
        end = max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{file}: not a safetensors file: its header does not describe tensors") from error
    if size != 8 + length + end:
        raise WeightsError(
            f"{file}: {size:,} bytes where its header promises {8 + length + end:,}: truncated or damaged; get it again"
        )
    return WeightsHeader(file=file, metadata=metadata, shapes=shapes)


def fetch(repository: str, instead: str, file_name: str = _HUB_FILE) -> Path:
    """A file of a hub repository, from the local download cache or from the network.

    Parameters
    ----------
    repository : str
        ``organisation/model``, optionally ``@revision``.
    instead : str
        What the user can do without the network, for the error.
    file_name : str
        The file wanted.

    Raises
    ------
    WeightsError
        Offline; no such repository or file; not allowed. The message tells which.
    """
    import huggingface_hub as hub
    from huggingface_hub import constants, errors

    identity, _, revision = repository.partition("@")
    try:
        cached = hub.try_to_load_from_cache(identity, file_name, revision=revision or None)
        if isinstance(cached, str):
            return Path(cached)
        # The hub's client retries for half a minute where there is no network; one short question spares that.
        _probe(constants.ENDPOINT, offline=bool(constants.HF_HUB_OFFLINE))
        return Path(hub.hf_hub_download(identity, file_name, revision=revision or None))
    except errors.GatedRepoError as error:
        raise WeightsError(
            f"{identity}: its owner asks every user to accept terms first; accept them on the model's page, run"
            f" 'hf auth login', or {instead}"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise WeightsError(
            f"{identity}: the hub has no such repository, or not for this user; check the name, or {instead}"
        ) from error
    except (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError, _OfflineError) as error:
        raise WeightsError(
            f"{identity}: weights are not on this machine and the hub cannot be reached (offline); {instead}"
        ) from error
    except errors.EntryNotFoundError as error:
        raise WeightsError(
            f"{identity}: has no {file_name}; pickled weights are never loaded, so convert them to safetensors and"
            f" {instead}"
        ) from error
    except (errors.HfHubHTTPError, errors.HFValidationError, OSError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise WeightsError(f"{identity}: download failed: {reason}; try again, or {instead}") from error


class _OfflineError(OSError):
    """The hub did not answer."""


def _probe(endpoint: str, *, offline: bool) -> None:
    """Ask the hub for a sign of life."""
    if offline:
        raise _OfflineError("HF_HUB_OFFLINE is set")
    try:
        with urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=_PROBE_SECONDS):
            pass
    except urllib.error.HTTPError:
        return  # any answer at all is an answer
    except OSError as error:
        raise _OfflineError(str(error)) from error
