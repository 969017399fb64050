"""A part is whole or it is told apart: one line that says which file, what is wrong, what to do."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from leukfeat.errors import StoreError
from leukfeat.features import parts
from leukfeat.features.headers import (
    SCHEMA,
    GonePartError,
    NewerPartError,
    UnreadableError,
    header_bytes,
    read_header,
)
from leukfeat.textfiles import whole_file

DIGESTS = [f"{number:064x}" for number in range(300)]
X = np.random.default_rng(0).normal(size=(300, 7)).astype(np.float32)


@pytest.fixture
def part(tmp_path: Path) -> Path:
    names = [f"é{digest[-4:]}" for digest in DIGESTS]
    return parts.write_part(tmp_path / "key", DIGESTS, X, names, engine="eager", decoder="pillow")


def read_one(part: Path, row: int) -> np.ndarray:
    out = np.empty((1, 7), np.float32)
    parts.read_rows([(read_header(part), np.array([row]), np.array([0]))], out)
    return out[0]


def flip(part: Path, place: int) -> None:
    content = bytearray(part.read_bytes())
    content[place] ^= 1
    part.write_bytes(content)


def test_what_is_written_can_be_read(part: Path) -> None:
    header = parts.check_part(part)
    assert (len(header), header.dim, header.engine, header.decoder) == (300, 7, "eager", "pillow")
    assert [digest.decode() for digest in header.sha256] == DIGESTS
    out = np.empty((3, 7), np.float32)
    parts.read_rows([(header, np.array([299, 0, 299]), np.array([0, 1, 2]))], out)
    np.testing.assert_array_equal(out, X[[299, 0, 299]])
    assert parts.read_sample_ids(header)[3] == "é0003"


def test_other_programs_read_a_part_as_plain_hdf5(part: Path) -> None:
    with h5py.File(part, "r") as found:
        np.testing.assert_array_equal(found["features"], X)
        assert found["sha256"][1].decode() == DIGESTS[1]
        assert found["sample_ids"].asstr()[2] == "é0002"


def test_nothing_else_is_left_in_the_folder(part: Path) -> None:
    assert list(part.parent.iterdir()) == [part] == parts.list_parts(part.parent)


def test_a_temporary_file_is_never_taken_for_a_part(part: Path) -> None:
    with whole_file(part) as temporary:
        temporary.write_bytes(part.read_bytes())
        (part.parent / "part-1.h5.tmp").write_bytes(part.read_bytes())
        assert parts.list_parts(part.parent) == [part]


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        parts.write_part(tmp_path, DIGESTS, X, DIGESTS, engine="", decoder="")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kept", [0, 5, 100, 1000, 20_000, -1])
def test_a_truncated_part_is_told(part: Path, kept: int) -> None:
    content = part.read_bytes()
    part.write_bytes(content[:kept])
    with pytest.raises(StoreError, match=r"part-.*truncated.*cache gc"):
        read_header(part)


def test_a_file_that_is_no_part_is_told(part: Path) -> None:
    part.write_text("sample,feature\n" * 100)
    with pytest.raises(StoreError, match=r"not a part .*schema 2"):
        read_header(part)


def test_a_foreign_hdf5_file_is_told_and_not_opened(part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(part, "w") as foreign:
        foreign["features"] = X
    monkeypatch.setattr(h5py, "File", _opens_nothing)
    with pytest.raises(StoreError, match="an HDF5 file, but not a part of a feature store"):
        parts.check_part(part)


def _opens_nothing(*_args: object, **_options: object) -> None:
    raise AssertionError("HDF5 was opened")


@pytest.mark.parametrize("where", ["first byte of HDF5", "vector", "last byte"])
def test_an_altered_part_is_never_opened_by_hdf5(part: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # the C library parses whatever it is given: a file that is not the one that was written must not reach it
    places = {"first byte of HDF5": read_header(part).start, "last byte": -1}
    flip(part, places.get(where, part.read_bytes().find(X[150].tobytes())))
    monkeypatch.setattr(h5py, "File", _opens_nothing)
    with pytest.raises(StoreError, match="do not match its checksum"):
        read_one(part, 0)
    with pytest.raises(StoreError, match="do not match its checksum"):
        parts.check_part(part)


def test_every_byte_of_the_header_counts(part: Path) -> None:
    sound = part.read_bytes()
    start = read_header(part).start
    rng = np.random.default_rng(0)
    for place in {*range(150), *rng.integers(0, start, 100).tolist(), start - 1}:
        content = bytearray(sound)
        content[place] ^= 1 << int(rng.integers(8))
        part.write_bytes(content)
        with pytest.raises(StoreError, match=r"part-"):
            read_header(part)


def settle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remember the digests of files however young they are."""
    monkeypatch.setattr("leukfeat.data.hashing._SETTLED_NS", -(10**12))


def test_an_alteration_is_found_although_the_part_was_read_before(part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # what is remembered of a part is its checksum at a size and a time; a file that was written to has another time
    settle(monkeypatch)
    np.testing.assert_array_equal(read_one(part, 150), X[150])
    flip(part, part.read_bytes().find(X[150].tobytes()))
    with pytest.raises(StoreError, match="do not match its checksum"):
        read_one(part, 150)


def test_a_part_that_was_read_before_is_not_read_again_for_its_checksum(
    part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(monkeypatch)
    parts.check_bodies([read_header(part)])
    monkeypatch.setattr(parts, "body_digest", _opens_nothing)
    parts.check_bodies([read_header(part)])
    with pytest.raises(AssertionError, match="opened"):
        parts.check_bodies([read_header(part)], reread=True)


def test_a_newer_version_is_told_and_told_apart(part: Path) -> None:
    content = part.read_bytes()
    part.write_bytes(content.replace(b"leukfeat part 2\n", b"leukfeat part 3\n", 1))
    with pytest.raises(NewerPartError, match=r"newer version of leukfeat \(schema 3, here 2\); update"):
        read_header(part)
    part.write_bytes(b"leukfeat part 4711\nwhatever comes then")
    with pytest.raises(NewerPartError, match="schema 4711"):
        read_header(part)


def test_an_older_version_is_told(part: Path) -> None:
    content = part.read_bytes()
    part.write_bytes(content.replace(b"leukfeat part 2\n", b"leukfeat part 1\n", 1))
    with pytest.raises(StoreError, match="not a part of this version"):
        read_header(part)
    assert SCHEMA == 2


def test_header_and_rows_have_to_agree(part: Path) -> None:
    # whoever computes new checksums for a false header has to fail as well
    header = read_header(part)
    body = part.read_bytes()[header.start :]
    for false in (replace(header, digests=header.digests[:299]), replace(header, dim=8)):
        part.write_bytes(header_bytes(false, len(body)) + body)
        with pytest.raises(StoreError, match="promises"):
            parts.check_part(part)
    swapped = header.digests[::-1]
    part.write_bytes(header_bytes(replace(header, digests=swapped), len(body)) + body)
    with pytest.raises(StoreError, match="contradict"):
        parts.check_part(part)


@pytest.mark.parametrize("name", ["features", "sha256", "sample_ids"])
def test_a_part_leads_nowhere_else_even_with_right_checksums(part: Path, name: str, tmp_path: Path) -> None:
    import hashlib

    header = read_header(part)
    other = tmp_path / "other.h5"
    other.write_bytes(part.read_bytes())
    with h5py.File(part, "r+") as forged:
        del forged[name]
        forged[name] = h5py.ExternalLink(str(other), name)
    body = part.read_bytes()[header.start :]
    sealed = replace(header, body=hashlib.sha256(body).hexdigest())
    part.write_bytes(header_bytes(sealed, len(body)) + body)
    with pytest.raises(StoreError, match=f"{name} is not an array of this file"):
        parts.check_part(part)
    with pytest.raises(StoreError, match=f"{name} is not an array of this file"):
        parts.read_sample_ids(read_header(part))


@pytest.mark.parametrize(
    "line", [b"", b"{}", b"[]", b'{"rows": -1}', b'{"rows": 1e300}', b"[" * 60_000, b"\xff\xfe", b'{"rows": true}']
)
def test_a_false_header_with_a_right_checksum_is_one_line(part: Path, line: bytes) -> None:
    import hashlib

    content = line + b"\n" + bytes(2**16 - 101 - len(line) - 1 - 8)
    preamble = f"leukfeat part 2\nheader {2**16:010d}\nsha256 ".encode()
    content = content.ljust(2**16 - len(preamble) - 65, b"\0")
    part.write_bytes(preamble + hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
    with pytest.raises(StoreError, match="its header cannot be read"):
        read_header(part)


@pytest.mark.parametrize("changes", [{"created": 10**400}, {"dim": 10**12}])
def test_numbers_that_no_part_can_have_are_one_line(part: Path, changes: dict[str, int]) -> None:
    header = read_header(part)
    body = part.read_bytes()[header.start :]
    part.write_bytes(header_bytes(replace(header, **changes), len(body)) + body)  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="its header cannot be read"):
        read_header(part)


def test_a_pipe_is_no_part_and_keeps_nobody_waiting(part: Path) -> None:
    os.mkfifo(part.with_name("part-0000000000001-abc.h5"))
    assert parts.list_parts(part.parent) == [part]


@pytest.mark.parametrize(("code", "kind"), [(errno.ESTALE, GonePartError), (errno.EIO, UnreadableError)])
def test_what_cannot_be_read_is_not_called_damaged(
    part: Path, code: int, kind: type[StoreError], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network file system says ESTALE where another machine has deleted a file; any other reason may pass."""
    header = read_header(part)

    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(kind):
        read_header(part)
    with pytest.raises(kind):
        parts.check_bodies([header], reread=True)


def test_digests_have_64_digits(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="'abc' is not the sha256"):
        parts.write_part(tmp_path, [DIGESTS[0], "abc"], X[:2], ["a", "b"], engine="", decoder="")


def test_a_part_that_is_gone_is_told(tmp_path: Path, part: Path) -> None:
    with pytest.raises(GonePartError, match="is gone"):
        read_header(tmp_path / "part-1.h5")
    header = read_header(part)
    part.unlink()
    with pytest.raises(GonePartError, match="is gone"):
        parts.read_rows([(header, np.array([0]), np.array([0]))], np.empty((1, 7), np.float32))
