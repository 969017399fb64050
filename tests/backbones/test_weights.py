"""Headers of weights files are read without torch; a download that cannot be is said to be one."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from leukfeat.backbones.weights import fetch, read_header
from leukfeat.errors import WeightsError


def test_a_header_says_what_the_file_holds(weights_file: Callable[..., Path]) -> None:
    header = read_header(weights_file(mean=[0.1, 0.2, 0.3]))
    assert header.architecture == "test_efficientnet"
    assert header.field("mean") == [0.1, 0.2, 0.3]
    assert header.field("std") is None
    assert header.shapes["classifier.weight"][0] == 1000


def test_weights_without_record_may_have_seen_anything(weights_file: Callable[..., Path]) -> None:
    assert read_header(weights_file()).seen.unknown


def test_our_own_record_of_seen_images_is_read(weights_file: Callable[..., Path]) -> None:
    # a fine-tuned encoder must not come back as a frozen one
    seen = read_header(weights_file(leukfeat_seen={"images": ["ab"], "groups": ["7"]})).seen
    assert (seen.images, seen.groups, seen.unknown) == (frozenset({"ab"}), frozenset({"7"}), False)


def test_the_real_weights_name_their_architecture(shared: Path) -> None:
    header = read_header(shared / "weights" / "mobilenetv2_100.same_pad.safetensors")
    assert header.architecture == "mobilenetv2_100"
    assert header.field("model_args") == {"pad_type": "same"}


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such weights file"):
        read_header(tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04 a zip, as torch.save writes",
        struct.pack("<Q", 10) + b"{not json}",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 10) + b'{"a": "b"}',
        struct.pack("<Q", 1 << 60) + b"{}",
    ],
)
def test_what_is_no_safetensors_file_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "odd.safetensors"
    file.write_bytes(content)
    with pytest.raises(WeightsError, match="not a safetensors file"):
        read_header(file)


def test_a_truncated_file_is_refused(weights_file: Callable[..., Path]) -> None:
    file = weights_file()
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="truncated or damaged"):
        read_header(file)


def test_metadata_that_is_no_json_is_named(weights_file: Callable[..., Path]) -> None:
    with pytest.raises(WeightsError, match="metadata entry mean"):
        read_header(weights_file(mean="0.5 0.5 0.5")).field("mean")


@pytest.fixture
def _empty_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    # nobody listens at the discard port, on any machine
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)


@pytest.mark.usefixtures("_empty_hub")
def test_offline_is_said_soon_and_what_to_do() -> None:
    started = time.monotonic()
    with pytest.raises(WeightsError, match=r"offline\); pass a file"):
        fetch("timm/nothing", "pass a file")
    assert time.monotonic() - started < 10  # the hub's own client goes on for half a minute


@pytest.mark.usefixtures("_empty_hub")
@pytest.mark.parametrize(
    ("failure", "told"),
    [
        ("GatedRepoError", "accept terms"),
        ("RepositoryNotFoundError", "no such repository"),
        ("RemoteEntryNotFoundError", "never loaded"),
        ("HfHubHTTPError", "download failed"),
    ],
)
def test_other_failures_are_not_called_offline(failure: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub import errors

    from leukfeat.backbones import weights

    kind = getattr(errors, failure, None) or errors.EntryNotFoundError

    def refuse(*_args: object, **_options: object) -> None:
        error = kind.__new__(kind)
        error.args = ("the server said no",)
        raise error

    monkeypatch.setattr(weights, "_probe", lambda *_args, **_options: None)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    with pytest.raises(WeightsError, match=told) as caught:
        fetch("org/model", "pass a file")
    assert "offline" not in str(caught.value)


@pytest.mark.usefixtures("_empty_hub")
def test_what_was_downloaded_before_needs_no_network(tmp_path: Path) -> None:
    repository = tmp_path / "hub" / "models--org--model"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    file = repository / "snapshots" / "abc" / "config.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({}))
    assert fetch("org/model", "", "config.json") == file
