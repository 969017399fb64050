"""Headers of weights files are read without torch; a download that cannot be is said to be one."""

from __future__ import annotations

import json
import socket
import struct
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


@pytest.mark.parametrize("record", [{}, {"images": ["ab"]}, {"images": "ab", "groups": []}])
def test_a_record_with_a_gap_is_not_taken_for_nothing_seen(
    weights_file: Callable[..., Path], record: dict[str, object]
) -> None:
    with pytest.raises(WeightsError, match="leukfeat_seen"):
        _ = read_header(weights_file(leukfeat_seen=record)).seen


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
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    # nobody listens at the discard port, on any machine
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


@pytest.fixture
def attempts(_empty_hub: None, monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """Every attempt to reach anybody, by how many seconds it was ready to wait; all are refused."""
    waits: list[float | None] = []

    def refuse(_address: object, timeout: float | None = None, *_args: object, **_options: object) -> None:
        waits.append(timeout)
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(socket, "create_connection", refuse)
    return waits


def test_offline_is_said_after_one_short_question_and_what_to_do(attempts: list[float | None]) -> None:
    # the hub's own client tries again and again for half a minute
    with pytest.raises(WeightsError, match=r"offline\); pass a file"):
        fetch("timm/nothing", "pass a file")
    (seconds,) = attempts
    assert seconds is not None
    assert seconds <= 5


def test_a_hub_that_is_switched_off_is_not_even_asked(
    attempts: list[float | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    # the hub's client decides what switches it off (HF_HUB_OFFLINE and its spellings), so that one rule holds
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match="offline"):
        fetch("timm/nothing", "pass a file")
    assert attempts == []


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
