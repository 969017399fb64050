"""Let the disk fill up, be read-only, be closed to the user, and change under the commands' feet.

    python benchmarks/faults/full_disk.py

Every command that writes is run on a small tmpfs (root), with a quota (root, where the kernel has it), and on a folder
that the user may not write to. It has to end with exit status 1 or 2 and one line that names the file and the reason,
never with a traceback; what stood there before has to stand there after, sound; and after the disk has grown, the
same command has to give what an undisturbed run gives. Prints a line a scenario; exit status 1 where one does not hold.
What this machine cannot do is told and left out.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

NOBODY = "65534"
ROOT = Path(__file__).resolve().parents[2]
BACKBONE = ("--backbone", "test_efficientnet", "--weights", "random")
FIT = ("fit-head", "cells.csv", *BACKBONE, "--head", "tree", "--trials", "2", "--folds", "2", "--seed", "0")


class UnableError(Exception):
    """This machine cannot stage a scenario."""


def _bound() -> list[str]:
    """A prefix of a command: without root's right to read and write whatever it likes."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        raise UnableError("root obeys no permissions, and there is no setpriv to make it")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"]


def _nobody() -> list[str]:
    """A prefix of a command: another user without any right."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        raise UnableError("another user can only be tried by root, with setpriv")
    prefix = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--"]
    if subprocess.run([*prefix, sys.executable, "-c", "import h5py"], capture_output=True, check=False).returncode:
        raise UnableError("another user cannot run this Python")
    return prefix


_USERS: Mapping[str, Callable[[], list[str]]] = {"same": list, "bound": _bound, "nobody": _nobody}


class Stage:
    """A folder of cells, and commands that are run on it.

    Parameters
    ----------
    here : Path
        Working directory of the commands.
    """

    def __init__(self, here: Path) -> None:
        self.here = here

    def run(self, *words: str, user: str = "same") -> subprocess.CompletedProcess[str]:
        """Run a command of leukfeat.

        Parameters
        ----------
        *words : str
            After ``leukfeat``.
        user : str
            "same"; "bound", who is the same but has to obey the permissions of files even as root; or "nobody".
        """
        command = [*_USERS[user](), sys.executable, "-m", "leukfeat", *words]
        environment = {
            **os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(self.here / "home"), "XDG_CACHE_HOME": str(self.here / "home" / user),
        }  # fmt: skip
        return subprocess.run(command, cwd=self.here, env=environment, capture_output=True, text=True, check=False)

    def must(self, *words: str, user: str = "same") -> str:
        """Run a command that has to work."""
        done = self.run(*words, user=user)
        if done.returncode:
            raise AssertionError(f"{' '.join(words)}: ended with {done.returncode}: {done.stderr[-300:]}")
        return done.stdout

    def refuses(self, *words: str, said: str, user: str = "same") -> str:
        """Run a command that has to fail with one clear line."""
        done = self.run(*words, user=user)
        if done.returncode not in (1, 2):
            raise AssertionError(f"{' '.join(words)}: ended with {done.returncode}")
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        told = [*lines, *(line for line in done.stdout.splitlines() if "failed:" in line)]
        if "Traceback" in done.stderr or len(lines) > 1 or not any(said in line for line in told):
            raise AssertionError(f"{' '.join(words)}: said {told[-3:]}, not one line with {said!r}")
        return next(line for line in told if said in line)


def digests(folder: Path) -> Mapping[str, str]:
    """Content of every file below a folder; what is still being written has no name yet."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not file.name.startswith(".")
    }


@contextlib.contextmanager
def small_disk(place: Path, size: str, options: str = "") -> Iterator[Callable[[str], None]]:
    """A tmpfs; gives a function that mounts it anew with other options."""
    if os.geteuid() != 0:
        raise UnableError("a small disk can only be mounted by root")
    place.mkdir(exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=1777{options}", "tmpfs", str(place)]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        raise UnableError(f"this kernel, or this container, mounts no tmpfs{f' with {options[1:]}' if options else ''}")

    def remount(new: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{new}", str(place)], check=True, capture_output=True)

    try:
        yield remount
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False, capture_output=True)


# ---------------------------------------------------------------------- scenarios


def full_store(stage: Stage) -> str:
    """The feature store's disk is full in the middle of an extraction."""
    with small_disk(stage.here / "disk", "200k") as remount:
        filler = stage.here / "disk" / "filler"
        stage.must("extract", "some.csv", *BACKBONE, "--cache", "disk/cache")
        before = digests(stage.here / "disk")
        free = os.statvfs(stage.here / "disk")
        filler.write_bytes(bytes(max(0, (free.f_bavail - 1) * free.f_frsize)))
        line = stage.refuses("extract", "cells.csv", *BACKBONE, "--cache", "disk/cache", said="No space left")
        filler.unlink()
        left = {name: digest for name, digest in digests(stage.here / "disk").items() if name in before}
        if left != before:
            raise AssertionError("what was stored before is not there as it was")
        stage.must("cache", "verify", "--cache", "disk/cache")
        remount("size=50m")
        stage.must("extract", "cells.csv", *BACKBONE, "--cache", "disk/cache")
        stage.must("cache", "verify", "--cache", "disk/cache")
        stage.must("cache", "export", "cells.csv", *BACKBONE, "--cache", "disk/cache", "-o", "after.npz")
        stage.must("cache", "export", "cells.csv", *BACKBONE, "--cache", "cache", "-o", "whole.npz")
        _same_features(stage.here / "after.npz", stage.here / "whole.npz")
    return line


def full_run_folder(stage: Stage) -> str:
    """The disk of the run folder is full when the model is kept; the same command finishes the run later."""
    command = (*FIT, "--cache", "cache", "--out", "disk/runs")
    with small_disk(stage.here / "disk", "48k") as remount:
        line = stage.refuses(*command, said="No space left")
        remount("size=50m")
        stage.must(*command)
        _same_predictions(stage, "disk/runs")
    return line


def full_output(stage: Stage) -> str:
    """A manifest, a feature file, predictions and a report on a full disk: what was there stays."""
    with small_disk(stage.here / "disk", "12k") as remount:
        (stage.here / "disk" / "cells.csv").write_text("path,label,subject\n")
        (stage.here / "disk" / "filler").write_bytes(bytes(4096))
        before = digests(stage.here / "disk")
        lines = [
            stage.refuses("data", "prepare", "cells.csv", "-o", "disk/cells.csv", said="No space left"),
            stage.refuses(
                "cache", "export", "cells.csv", *BACKBONE, "--cache", "cache", "-o", "disk/f.h5", said="disk"
            ),
            stage.refuses("predict", _model(stage), "cells.csv", "-o", "disk/predictions.csv", said="No space left"),
            stage.refuses("compare", str(Path(_model(stage)).parent), "-o", "disk/report", said="No space left"),
        ]
        after = {
            name: digest for name, digest in digests(stage.here / "disk").items() if not name.startswith("report/")
        }
        if after != before:
            raise AssertionError(f"left on the disk: {sorted(set(after) - set(before))}, or changed")
        remount("size=50m")
        stage.must("predict", _model(stage), "cells.csv", "-o", "disk/predictions.csv")
    return lines[0]


def read_only_store(stage: Stage) -> str:
    """A store on a read-only disk still answers; only what is not in it cannot be added."""
    with small_disk(stage.here / "disk", "50m") as remount:
        shutil.copytree(stage.here / "cache", stage.here / "disk" / "cache")
        shutil.rmtree(stage.here / "home", ignore_errors=True)
        remount("ro")
        before = digests(stage.here / "disk")
        told = stage.must("extract", "cells.csv", *BACKBONE, "--cache", "disk/cache")
        if " 0 computed" not in told:
            raise AssertionError(f"a warm store was not used: {told[-200:]}")
        stage.must("cache", "verify", "--cache", "disk/cache")
        line = stage.refuses("extract", "more.csv", *BACKBONE, "--cache", "disk/cache", said="Read-only file system")
        if digests(stage.here / "disk") != before:
            raise AssertionError("the store has changed")
    return line


def quota(stage: Stage) -> str:
    """The user's quota is used up."""
    with small_disk(stage.here / "disk", "50m", ",usrquota_block_hardlimit=64k") as _:
        _open_to_all(stage.here)
        return stage.refuses(
            "extract", "cells.csv", *BACKBONE, "--cache", "disk/cache", said="quota exceeded", user="nobody"
        )


def no_permission(stage: Stage) -> str:
    """A store, a folder and an image whose permissions forbid it: read where one may, named where one may not."""
    shutil.copytree(stage.here / "cache", stage.here / "closed")
    places = [stage.here / "closed", *(folder for folder in (stage.here / "closed").rglob("*") if folder.is_dir())]
    image = min((stage.here / "more").rglob("*.png"))
    for place in places:
        place.chmod(0o555)
    image.chmod(0)
    try:
        told = stage.must("extract", "cells.csv", *BACKBONE, "--cache", "closed", user="bound")
        if " 0 computed" not in told:
            raise AssertionError(f"a warm store was not used: {told[-200:]}")
        lines = [
            stage.refuses(
                "extract", "more.csv", *BACKBONE, "--cache", "closed", said="Permission denied", user="bound"
            ),
            stage.refuses("data", "prepare", "cells", "-o", "closed/cells.csv", said="Permission denied", user="bound"),
            stage.refuses(
                "predict",
                _model(stage),
                "more.csv",
                "--ignore-labels",
                "-o",
                "p.csv",
                said="Permission denied",
                user="bound",
            ),
        ]
    finally:
        image.chmod(0o644)
        for place in places:
            place.chmod(0o755)
    return lines[0]


def vanished(stage: Stage) -> str:
    """A file goes away between listing and reading: it is named, the others are stored."""
    shutil.copytree(stage.here / "more", stage.here / "going")
    stage.must("data", "prepare", "going", "-o", "going.csv", "--subjects", "unknown")
    gone = sorted((stage.here / "going").rglob("*.png"))[0]
    gone.unlink()
    line = stage.refuses("extract", "going.csv", *BACKBONE, "--cache", "cache-going", said="no such file")
    stage.must("extract", "going.csv", *BACKBONE, "--cache", "cache-going", "--skip-errors")
    stage.must("cache", "verify", "--cache", "cache-going")
    return line


def changed(stage: Stage) -> str:
    """A file is another one when it is read than when it was listed: it is named, and nothing of it is stored."""
    shutil.copytree(stage.here / "more", stage.here / "turning")
    stage.must("data", "prepare", "turning", "-o", "turning.csv", "--subjects", "unknown")
    first, second = sorted((stage.here / "turning").rglob("*.png"))[:2]
    content = second.read_bytes()
    first.write_bytes(content[: len(content) // 2] + first.read_bytes()[len(content) // 2 :])
    line = stage.refuses("extract", "turning.csv", *BACKBONE, "--cache", "cache-turning", said="content changed")
    stage.must("cache", "verify", "--cache", "cache-turning")
    return line


SCENARIOS: Mapping[str, Callable[[Stage], str]] = {
    "full store": full_store,
    "full run folder": full_run_folder,
    "full output": full_output,
    "read-only store": read_only_store,
    "quota": quota,
    "no permission": no_permission,
    "vanished": vanished,
    "changed": changed,
}
QUICK = ("full store", "read-only store", "vanished", "changed")


# ---------------------------------------------------------------------- what they share


def prepare(here: Path) -> Stage:
    """Cells of two folders, a warm store, and a run."""
    stage = Stage(here)
    stage.must("data", "synth", "cells", "--subjects", "8", "--cells", "10", "--size", "48", "--seed", "0")
    stage.must("data", "synth", "other", "--subjects", "4", "--cells", "3", "--size", "48", "--seed", "9")
    shutil.copytree(here / "other" / "images", here / "more" / "a")
    shutil.copytree(here / "other" / "images", here / "more" / "b")
    for number, file in enumerate(sorted((here / "more").rglob("*.png"))):
        file.unlink() if number % 2 == ("b" in file.parts) else None
    stage.must("data", "prepare", "cells", "-o", "cells.csv")
    stage.must("data", "prepare", "more", "-o", "more.csv", "--subjects", "unknown")
    lines = (here / "cells.csv").read_text().splitlines(keepends=True)
    random.Random(0).shuffle(body := lines[1:])
    (here / "some.csv").write_text("".join([lines[0], *body[:4]]))
    stage.must("extract", "cells.csv", *BACKBONE, "--cache", "cache")
    stage.must(*FIT, "--cache", "cache", "--out", "runs")
    return stage


def _model(stage: Stage) -> str:
    return str(next((stage.here / "runs").glob("*/model")).relative_to(stage.here))


def _open_to_all(here: Path) -> None:
    for folder in [*here.parents, here]:
        if folder != Path("/") and folder.stat().st_mode & 0o005 != 0o005:
            folder.chmod(folder.stat().st_mode | 0o055)
    (here / "home").mkdir(exist_ok=True)
    (here / "home").chmod(0o777)


def _same_features(one: Path, other: Path) -> None:
    import numpy as np

    with np.load(one) as a, np.load(other) as b:
        if not np.array_equal(a["sample_ids"], b["sample_ids"]) or not np.array_equal(a["features"], b["features"]):
            raise AssertionError("the features are not those of an undisturbed run")


def _same_predictions(stage: Stage, runs: str) -> None:
    mine = next((stage.here / runs).glob("*/predictions.csv")).read_bytes()
    if mine != next((stage.here / "runs").glob("*/predictions.csv")).read_bytes():
        raise AssertionError("the predictions are not those of an undisturbed run")


def main() -> int:
    """Stage every scenario."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=", ".join(QUICK))
    parser.add_argument("--only", choices=SCENARIOS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    chosen = [options.only] if options.only else QUICK if options.quick else SCENARIOS
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that small disks are taken away again
    told: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        stage = prepare(Path(folder))
        for name in chosen:
            try:
                told[name] = {"held": SCENARIOS[name](stage).strip()}
            except UnableError as reason:
                told[name] = {"left out": str(reason)}
            except AssertionError as problem:
                told[name] = {"broken": str(problem)}
            if not options.json:
                print(f"{name}: {'; '.join(f'{what}: {words}' for what, words in told[name].items())}", flush=True)
    if options.json:
        print(json.dumps(told, indent=1))
    return 1 if any("broken" in each for each in told.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
