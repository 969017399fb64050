"""Fuzz the reader of feature parts, guided by coverage.

    python benchmarks/faults/fuzz_parts.py --seconds 600

A part is changed in its header, in its HDF5, or both. Three kinds of input: as it is, which must be refused whenever a
byte differs; with the digest of the header made right again, so that what is behind it is reached; and with all digests
made right, so that HDF5 itself opens what nobody wrote. Of a part that is taken the rows are read. Nothing may escape
but :class:`leukfeat.errors.LeukfeatError`.

The last kind is beyond what a store promises: a digest that fits is made by whoever can write to the store. It is here
because HDF5 may end the process, and one should know how often; ``--unforged`` leaves it out.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from pathlib import Path

import numpy as np
from fuzzing import Choices, Target, main

_BODY = re.compile(rb'"body": "([0-9a-f]{64})"')
_BYTES = re.compile(rb'"bytes": (\d+)')
_PREAMBLE = re.compile(rb"leukfeat part \d+\nheader (\d{10})\nsha256 ([0-9a-f]{64})\n")
FORGED = "LEUKFEAT_UNFORGED" not in os.environ  # children inherit it


def make(folder: Path) -> Target:
    """The target: a changed part, read in every way there is."""
    os.environ["XDG_CACHE_HOME"] = str(folder / "user-cache")
    from leukfeat.features import parts

    rng = np.random.default_rng(0)
    digests = [hashlib.sha256(bytes([number])).hexdigest() for number in range(40)]
    X = rng.normal(size=(40, 8)).astype(np.float32)
    seed_file = parts.write_part(
        folder, digests, X, [f"cell {n}" for n in range(40)], engine="eager", decoder="pillow", created=1.0
    )
    seed = seed_file.read_bytes()
    place = Path("/dev/shm" if Path("/dev/shm").is_dir() else folder) / f"part-fuzz-{os.getpid()}.h5"

    def read(data: bytes) -> bool:
        choices = Choices(data)
        how = choices.number(3 if FORGED else 2)
        changed = _changed(seed, choices, forged=how)
        place.write_bytes(changed)
        try:
            header = parts.check_part(place)
            parts.read_sample_ids(header)
            out = np.full((len(header), header.dim), np.nan, dtype=np.float32)
            rows = np.arange(len(header))
            parts.read_rows([(header, rows, rows)], out)
        finally:
            place.unlink(missing_ok=True)
        if how == 0 and changed != seed:
            raise AssertionError("a part that is not the one that was written was taken")
        return True

    return read


def _changed(seed: bytes, choices: Choices, *, forged: int) -> bytes:
    start = int(_PREAMBLE.match(seed)[1])  # type: ignore[index]
    header, body = seed[:start], seed[start:]
    if choices.number(2):
        header = choices.changed(header)
    if choices.number(2) or header == seed[:start]:
        body = choices.changed(body)
    if forged == 2:
        digest = hashlib.sha256(body).hexdigest().encode()
        header = _BODY.sub(b'"body": "' + digest + b'"', header)
        header = _BYTES.sub(
            lambda found: b'"bytes": ' + str(len(body)).encode().ljust(len(found[1]))[: len(found[1])], header
        )
    if forged and (found := _PREAMBLE.match(header)):
        seal = hashlib.sha256(header[found.end() :]).hexdigest().encode()
        header = header[: found.start(2)] + seal + header[found.end(2) :]
    return header + body


if __name__ == "__main__":
    if "--unforged" in sys.argv:
        sys.argv.remove("--unforged")
        os.environ["LEUKFEAT_UNFORGED"] = "1"
    sys.exit(main(__doc__ or "", make))
