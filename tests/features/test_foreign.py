"""A hostile HDF5 file is one line: it is opened elsewhere, and leads nowhere."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from leukfeat.errors import StoreError
from leukfeat.features import foreign
from leukfeat.features.foreign import Reader, read_hdf5

X = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
IDS = ["a", "b", "c", "d"]


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A file somebody else may not show."""
    with h5py.File(tmp_path / "secret.h5", "w") as secret:
        secret["features"], secret["ids"] = X, IDS
    (tmp_path / "secret.bin").write_bytes(X.tobytes())
    return tmp_path / "secret.h5"


def _external_link(file: h5py.File, other: Path) -> None:
    file["features"] = h5py.ExternalLink(str(other), "features")


def _soft_link(file: h5py.File, other: Path) -> None:
    file["there"] = h5py.ExternalLink(str(other), "/")
    file["features"] = h5py.SoftLink("/there/features")


def _external_storage(file: h5py.File, other: Path) -> None:
    file.create_dataset("features", (4, 5), "f4", external=[(str(other.with_suffix(".bin")), 0, X.nbytes)])


def _virtual(file: h5py.File, other: Path) -> None:
    layout = h5py.VirtualLayout((4, 5), "f4")
    layout[:] = h5py.VirtualSource(str(other), "features", (4, 5))
    file.create_virtual_dataset("features", layout)


def _object_references(file: h5py.File, other: Path) -> None:
    file["features"] = X
    del file["ids"]
    file["ids"] = np.array([file["features"].ref] * 4, dtype=h5py.ref_dtype)


def _region_references(file: h5py.File, other: Path) -> None:
    file["features"] = X
    del file["ids"]
    file["ids"] = np.array([file["features"].regionref[:2]] * 4, dtype=h5py.regionref_dtype)


def _group(file: h5py.File, other: Path) -> None:
    file.create_group("features")


def _text_matrix(file: h5py.File, other: Path) -> None:
    file["features"] = np.array([["a", "b"]] * 4, dtype="S1")


def _never_written(file: h5py.File, other: Path) -> None:
    file.create_dataset("features", (4, 2**33), "f4", chunks=(1, 1024))


def _tiny_file_of_much(file: h5py.File, other: Path) -> None:
    file.create_dataset("features", (4, 2**20), "f4", chunks=(4, 2**10), compression="gzip")
    file["features"][:, :1024] = 0.0


def _other_filter(file: h5py.File, other: Path) -> None:
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((4, 5))
    properties.set_filter(32001, h5py.h5z.FLAG_OPTIONAL, (1, 2))  # Blosc, which is loaded from a library
    h5py.h5d.create(file.id, b"features", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((4, 5)), properties)


def _too_many_ids(file: h5py.File, other: Path) -> None:
    file["features"] = X[:2]


def _endless_id(file: h5py.File, other: Path) -> None:
    file["features"] = X
    del file["ids"]
    file["ids"] = ["a", "b", "c", "d" * 100_000]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_external_link, r"features is a link \(ExternalLink\)"),
        (_soft_link, r"features is a link \(SoftLink\)"),
        (_external_storage, "lies in other files"),
        (_virtual, "lies in other files"),
        (_object_references, "holds references"),
        (_region_references, "holds references"),
        (_group, "is a group"),
        (_text_matrix, "not numbers"),
        (_never_written, "claims"),
        (_tiny_file_of_much, "claims"),
        (_other_filter, "packed with filter 32001"),
        (_too_many_ids, "2 rows but 4 ids"),
        (_endless_id, "an id of 100,000 characters"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_leads_elsewhere_is_refused(
    spoil: Callable[[h5py.File, Path], None], reason: str, other: Path, tmp_path: Path
) -> None:
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["ids"] = IDS
        spoil(file, other)
    with pytest.raises(StoreError, match=rf"foreign\.h5: features cannot be read: .*{reason}"):
        read_hdf5(tmp_path / "foreign.h5")


def test_a_name_that_leads_elsewhere_is_not_followed_even_to_see_whether_it_is_there(
    other: Path, tmp_path: Path
) -> None:
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["features"] = X
        file["ids"] = IDS
        file["coords_elsewhere"] = h5py.ExternalLink("/dev/tty", "/")
    assert read_hdf5(tmp_path / "foreign.h5").ids == tuple(IDS)


@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}, {"compression": "lzf"}, {"shuffle": True}])
def test_ordinary_ways_to_store_a_matrix_are_read(options: dict[str, object], tmp_path: Path) -> None:
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file.create_dataset("features", data=X, maxshape=(None, 5), **options)
        file["ids"] = np.arange(4)
    found = read_hdf5(tmp_path / "foreign.h5")
    np.testing.assert_array_equal(found.X, X)
    assert found.ids == ("0", "1", "2", "3")


def _program(tmp_path: Path, code: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "program.py"
    program.write_text(code)
    monkeypatch.setattr(foreign, "_PROGRAM", program)
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["features"], file["ids"] = X, IDS
    return tmp_path / "foreign.h5"


def test_one_process_serves_many_files_and_survives_what_it_refuses(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "sound.h5", "w") as file:
        file["features"], file["ids"] = X, IDS
    (tmp_path / "spoilt.h5").write_bytes(b"nothing")
    with Reader() as reader:
        np.testing.assert_array_equal(reader.read(tmp_path / "sound.h5").X, X)
        process = reader._process
        with pytest.raises(StoreError, match="spoilt"):
            reader.read(tmp_path / "spoilt.h5")
        np.testing.assert_array_equal(reader.read(tmp_path / "sound.h5").X, X)
        assert reader._process is process


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_crash_costs_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import os, pathlib, runpy, signal\n"
        f"first = pathlib.Path({str(tmp_path / 'first')!r})\n"
        "if not first.exists():\n"
        "    first.touch()\n"
        "    os.kill(os.getpid(), signal.SIGSEGV)\n"
        f"runpy.run_path({str(foreign._PROGRAM)!r}, run_name='__main__')\n"
    )
    file = _program(tmp_path, code, monkeypatch)
    with Reader() as reader:
        with pytest.raises(StoreError, match="crashed"):
            reader.read(file)
        np.testing.assert_array_equal(reader.read(file).X, X)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_crash_of_of_the_library_is_an_error_of_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = _program(tmp_path, "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", monkeypatch)
    with pytest.raises(StoreError, match=r"the HDF5 library crashed on it \(SIGSEGV\)"):
        read_hdf5(file)


def test_a_file_that_keeps_the_library_busy_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "_PATIENCE", 0.3)
    file = _program(tmp_path, "import time\ntime.sleep(60)", monkeypatch)
    with pytest.raises(StoreError, match="takes too long"):
        read_hdf5(file)


def test_a_process_that_ends_in_the_middle_of_the_matrix_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import sys\nsys.stdin.readline()\n"
        'print(\'{"shape": [4, 5], "offset": null, "ids": null, "coords": null, "facts": {}, "names": []}\')\n'
        "print('too little')\nsys.exit('and why')"
    )
    with pytest.raises(StoreError, match="and why"):
        read_hdf5(_program(tmp_path, code, monkeypatch))


def test_damage_that_shows_only_when_the_matrix_is_read_says_so(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file.create_dataset("features", data=X, chunks=(1, 5), fletcher32=True)
        file["ids"] = IDS
    content = bytearray((tmp_path / "foreign.h5").read_bytes())
    content[content.find(X[3].tobytes())] ^= 1
    (tmp_path / "foreign.h5").write_bytes(content)
    with pytest.raises(StoreError, match="filter returned failure during read"):
        read_hdf5(tmp_path / "foreign.h5")


def test_a_matrix_of_no_numbers_does_not_spoil_the_next_file(tmp_path: Path) -> None:
    for name, matrix in (("none.h5", X[:, :0]), ("sound.h5", X)):
        with h5py.File(tmp_path / name, "w") as file:
            file["features"], file["ids"] = matrix, IDS
    with Reader() as reader:
        assert reader.read(tmp_path / "none.h5").X.shape == (4, 0)
        np.testing.assert_array_equal(reader.read(tmp_path / "sound.h5").X, X)


@pytest.mark.parametrize("program", [foreign._PROGRAM, foreign._PARQUET])
def test_the_programs_need_nothing_of_leukfeat(program: Path, tmp_path: Path) -> None:
    # they are started by path, and nothing else than the system's own modules, NumPy and h5py or pyarrow is found
    done = subprocess.run(
        [sys.executable, "-I", str(program)],
        input=b'{"file": "none.h5", "features": [], "ids": [], "mapped_from": 0, "block": 1, "largest": 1}',
        capture_output=True,
        cwd=tmp_path,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"none.h5" in done.stdout


def test_damage_anywhere_is_an_error_or_harmless(tmp_path: Path) -> None:
    # a few of many: benchmarks/faults fuzzes for longer
    with h5py.File(tmp_path / "sound.h5", "w") as file:
        file["features"], file["ids"] = X, IDS
    sound = (tmp_path / "sound.h5").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(4):
        content = bytearray(sound)
        for place in rng.integers(0, 2000, 5):
            content[place] = rng.integers(256)
        (tmp_path / "spoilt.h5").write_bytes(content)
        with contextlib.suppress(StoreError):
            assert read_hdf5(tmp_path / "spoilt.h5").X.size <= 4 * X.size
