"""What the fuzzers share: bytes that lead to new lines of leukfeat are kept and changed further; nothing may escape.

A target takes bytes, makes an input of them, and reads it. It may refuse the input with an error of leukfeat, or take
it. Anything else is a finding: another exception, a death of the process, more than ten seconds, too much memory.

Coverage comes from atheris (libFuzzer for Python, ``pip install atheris``). Without it the same inputs are drawn at
random from the same corpus, which finds less; the output says which it was.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

SECONDS_AN_INPUT = 10
MEGABYTES = 4096
LONGEST = 4096  # bytes of an input

Target = Callable[[bytes], bool]  # whether the input was taken; raises LeukfeatError where it was refused


class Choices:
    """Decisions taken from bytes, so that a change of a byte is a change of a decision."""

    def __init__(self, data: bytes) -> None:
        self._data, self._place = data, 0

    def number(self, below: int) -> int:
        """A whole number; 0 when the bytes are used up."""
        width = 1 if below <= 1 << 8 else 2 if below <= 1 << 16 else 4
        some = self._data[self._place : self._place + width]
        self._place += width
        return int.from_bytes(some, "little") % max(1, below)

    def one_of(self, things: Sequence[Any]) -> Any:
        """One of some things."""
        return things[self.number(len(things))]

    def more(self) -> bool:
        """Whether bytes are left."""
        return self._place < len(self._data)

    def changed(self, content: bytes) -> bytes:
        """Bytes with some flipped, cut, doubled or overwritten."""
        new = bytearray(content)
        for _ in range(1 + self.number(4)):
            if not new:
                break
            at = self.number(len(new))
            match self.number(6):
                case 0:
                    new[at] ^= 1 << self.number(8)
                case 1:
                    new[at] = self.number(256)
                case 2:
                    del new[at:]
                case 3:
                    del new[at : at + 1 + self.number(64)]
                case 4:
                    new[at:at] = new[at : at + 1 + self.number(64)]
                case _:
                    value = self.one_of((0, 1, 0x7F, 0xFF, 0x7FFFFFFF, 0xFFFFFFFF))
                    new[at : at + 4] = value.to_bytes(4, self.one_of(("little", "big")))
        return bytes(new)

    def altered(self, value: Any) -> Any:
        """A JSON value with one place of it changed."""
        places = list(_places(value))
        path = self.one_of(places)
        odd = self.one_of((None, True, -1, 0, 2**31, 2**63, 1e308, "", "x", "../x", [], {}, [[]], "é" * 300, -0.5))
        if not path:
            return odd
        new = json.loads(json.dumps(value))
        holder = new
        for step in path[:-1]:
            holder = holder[step]
        last = path[-1]
        match self.number(4):
            case 0 if isinstance(holder, dict):
                del holder[last]
            case 1 if isinstance(holder, dict):
                holder[str(odd)[:20]] = holder[last]
            case 2 if isinstance(holder, list):
                holder.insert(int(last), holder[last])
            case 3 if isinstance(holder[last], int | float) and not isinstance(holder[last], bool):
                holder[last] = holder[last] + self.one_of((-1, 1, 1000, -1000))
            case _:
                holder[last] = odd
        return new


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, part in inside:
        yield from _places(part, (*path, step))


def main(about: str, make: Callable[[Path], Target]) -> int:
    """Fuzz for some time; prints what was done and found. Exit status 1 where there is a finding.

    Parameters
    ----------
    about : str
        What it says of itself.
    make : callable(Path) -> Target
        Makes the target, which may keep files in a folder; called in every process anew.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="30 seconds")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--corpus", type=Path, help="keep the inputs that led somewhere new in this folder")
    parser.add_argument("--again", type=Path, help="read one input of an earlier run")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        return _child(options, make)
    if options.again is not None:
        with tempfile.TemporaryDirectory() as folder:
            print("taken" if make(Path(folder))(options.again.read_bytes()) else "not taken")
        return 0
    seconds = 30.0 if options.quick else options.seconds
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        corpus = options.corpus or here / "corpus"
        corpus.mkdir(parents=True, exist_ok=True)
        facts = _drive(here, corpus, seconds, options.seed)
        facts["corpus"] = len(list(corpus.iterdir()))
        for number, finding in enumerate(facts["findings"]):
            if options.corpus is not None:
                file = options.corpus.with_name(f"{options.corpus.name}-finding-{number}")
                file.write_bytes(bytes.fromhex(finding.pop("input")))
                finding["file"] = str(file)
    print(json.dumps(facts, indent=1) if options.json else _in_words(facts))
    return 1 if facts["findings"] else 0


def _in_words(facts: dict[str, Any]) -> str:
    lines = [
        f"{facts['runs']:,} inputs in {facts['seconds']:.0f} s ({facts['guided_by']}): {facts['taken']:,} taken,"
        f" {facts['refused']:,} refused; coverage {facts['coverage']}, corpus of {facts['corpus']};"
        f" {len(facts['findings'])} findings"
    ]
    return "\n".join([*lines, *(f"  {finding['what']}" for finding in facts["findings"])])


def _drive(here: Path, corpus: Path, seconds: float, seed: int) -> dict[str, Any]:
    """Children one after another until the time is up: a finding that kills one does not end the search."""
    started, total = time.monotonic(), {"runs": 0, "taken": 0, "refused": 0}
    findings: dict[str, dict[str, str]] = {}
    coverage, guided, number = "not measured", "at random", 0
    while (left := seconds - (time.monotonic() - started)) > 1:
        place = here / f"child-{number}"
        place.mkdir()
        words = [sys.executable, sys.argv[0], "--child", str(place), "--corpus", str(corpus)]
        words += ["--seconds", str(int(left)), "--seed", str(seed + number)]
        with (place / "log").open("wb") as log:
            ended = subprocess.run(words, stdout=log, stderr=log, check=False, env=_quiet()).returncode
        for line in _lines(place / "findings"):
            findings.setdefault(line["what"], line)
        done = _lines(place / "counts")
        for name in total:
            total[name] += done[-1][name] if done else 0
        guided = done[-1]["guided_by"] if done else guided
        text = (place / "log").read_text(errors="replace")
        seen = [line.split(" cov: ")[1].split()[0] for line in text.splitlines() if " cov: " in line]
        coverage = f"{max(map(int, seen))} edges" if seen else coverage
        if ended:
            artifact = next(iter(sorted(place.glob("artifact-*"))), None)
            last = (artifact or place / "last").read_bytes() if (artifact or place / "last").exists() else b""
            what = _death(ended, artifact, text)
            findings.setdefault(what, {"what": what, "input": last.hex()})
        if number > 200 or (ended and not done):
            break
        number += 1
    return {
        **total,
        "seconds": time.monotonic() - started,
        "guided_by": guided,
        "coverage": coverage,
        "findings": list(findings.values()),
    }


def _quiet() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"}


def _death(status: int, artifact: Path | None, log: str) -> str:
    kind = "" if artifact is None else artifact.name.removeprefix("artifact-").split("-")[0]
    inside = [line.strip() for line in log.splitlines() if line.startswith('  File "')]
    said = [line for line in log.splitlines() if "ERROR: libFuzzer" in line or "Fatal Python error" in line]
    return f"the process ended with {status} {kind}: {' '.join(said[:2])} {inside[0] if inside else log[-300:]}"


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def _child(options: argparse.Namespace, make: Callable[[Path], Target]) -> int:
    """Read inputs until the time is up; what is found is written down at once."""
    try:
        import atheris
    except ImportError:
        atheris = None
    place: Path = options.child
    if atheris is None:
        target = make(place)
    else:
        with atheris.instrument_imports(include=["leukfeat"]):
            target = make(place)
            # modules that are imported when they are needed are needed here; what it says of this input is heard below
            with contextlib.suppress(Exception):
                target(b"")
    from leukfeat.errors import LeukfeatError

    counts = {"runs": 0, "taken": 0, "refused": 0, "guided_by": "coverage" if atheris else "at random"}
    known: set[str] = set()

    def note() -> None:
        with (place / "counts").open("a") as stream:
            stream.write(json.dumps(counts) + "\n")

    def read(data: bytes) -> None:
        if counts["runs"] % 50 == 0:
            note()
        counts["runs"] += 1
        (place / "last").write_bytes(data)
        try:
            counts["taken"] += bool(target(data))
        except LeukfeatError as error:
            counts["refused"] += 1
            if "\n" in str(error):
                _find(place, known, f"an error of several lines: {str(error)[:200]!r}", data)
        except Exception as error:  # noqa: BLE001 (to find those that nobody thought of is what this is for)
            where = [frame for frame in traceback.extract_tb(error.__traceback__) if "leukfeat" in frame.filename]
            at = f"{Path(where[-1].filename).name}:{where[-1].lineno}" if where else "?"
            _find(place, known, f"{type(error).__name__} at {at}: {' '.join(str(error).split())[:160]}", data)

    note()
    if atheris is None:
        rng, until = random.Random(options.seed), time.monotonic() + options.seconds
        while time.monotonic() < until:
            read(rng.randbytes(rng.randrange(1, 64)))
        note()
        return 0
    flags = [f"-max_total_time={int(options.seconds)}", f"-timeout={SECONDS_AN_INPUT}", f"-rss_limit_mb={MEGABYTES}"]
    flags += [f"-seed={options.seed + 1}", f"-max_len={LONGEST}", f"-artifact_prefix={place}/artifact-"]
    atheris.Setup([sys.argv[0], *flags, str(options.corpus)], read)
    atheris.Fuzz()
    return 0


def _find(place: Path, known: set[str], what: str, data: bytes) -> None:
    key = what.split(": ")[0]
    if key not in known:
        known.add(key)
        with (place / "findings").open("a") as stream:
            stream.write(json.dumps({"what": what, "input": data.hex()}) + "\n")
