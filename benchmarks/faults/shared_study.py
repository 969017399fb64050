"""Share one study among processes while processes are killed and the database goes away.

    python benchmarks/faults/shared_study.py                   # a journal and PostgreSQL, some minutes
    python benchmarks/faults/shared_study.py --quick --json    # under a minute

Every scenario starts several processes that fit the same head on the same generated rows with the same storage, and
does something to them. In the end there must be exactly as many finished trials as were asked for, every process that
was not killed must have the same trials, parameters and predictions to the last bit, and the password must be in
nothing that a process has printed. One process that is killed again and again must find what an undisturbed one finds.

PostgreSQL (Debian: ``apt-get install postgresql``) and ``leukfeat[postgres]`` are needed; without, only the journal is
tried, and the last line says so. Exit status 1 where something does not hold. Needs ``fork``.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from postgres import PASSWORD, Postgres, programs

# Imported before the forks, so that kills fall into the work and not into imports. Nothing is computed here: threads
# do not survive a fork.
from leukfeat.heads.storage import opened
from leukfeat.heads.tuning import TunedHead

_NAME = "shared"
_PATIENCE = 1200  # seconds
_CONTEXT = multiprocessing.get_context("fork")


def rows() -> tuple[Any, Any, Any]:
    """Generated cells: features, classes, subjects."""
    rng = np.random.default_rng(0)
    subject = np.repeat(np.arange(30), 8)
    X = rng.normal(size=(30, 64))[subject] + rng.normal(size=(240, 64))
    X[subject % 2 == 1, :3] += 1.0
    return X.astype(np.float32), subject % 2, subject


def fitted(storage: str | None, trials: int) -> str:
    """Fit a head and say what came out, in a form that can be compared."""
    X, y, groups = rows()
    head = TunedHead("logistic", n_trials=trials, inner_folds=4, storage=storage, study_name=_NAME).fit(X, y, groups)
    found = [{name: value for name, value in trial.items() if name != "seconds"} for trial in head.trials_]
    proba = hashlib.sha256(head.predict_proba(X).tobytes()).hexdigest()
    return json.dumps({"trials": found, "params": head.best_params_, "proba": proba}, sort_keys=True)


def work(storage: str | None, trials: int, file: Path) -> None:
    """What a user's process does; all that it prints goes into a file, and what came out into another."""
    with file.with_suffix(".log").open("wb") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    file.write_text(fitted(storage, trials))


@dataclass
class Scene:
    """Processes at work on one study."""

    storage: str | None
    trials: int
    moments: random.Random
    folder: Path
    workers: dict[Path, Any] = field(default_factory=dict)
    started: int = 0
    kills: int = 0

    def start(self) -> None:
        """One more process."""
        file = self.folder / f"{self.started:04}.json"
        self.started += 1
        worker = _CONTEXT.Process(target=work, args=(self.storage, self.trials, file))
        worker.start()
        self.workers[file] = worker

    def finished(self) -> int:
        """How many trials are finished."""
        with contextlib.suppress(KeyError), opened(self.storage) as storage:  # KeyError: there is no study yet
            known = storage.get_all_trials(storage.get_study_id_from_name(_NAME))
            return sum(trial.state.name in ("COMPLETE", "PRUNED") for trial in known)
        return 0

    def until(self, share: float) -> None:
        """Wait until about so many of the trials are finished, or everybody is done."""
        while self.finished() < share * self.trials and any(worker.is_alive() for worker in self.workers.values()):
            time.sleep(0.1)

    def kill_one(self) -> None:
        """Kill a process at a random moment."""
        time.sleep(self.moments.uniform(0, 0.3))
        file = self.moments.choice(sorted(self.workers))
        if self.workers[file].is_alive():
            self.kills += 1
            self.workers[file].kill()
            self.workers.pop(file).join()

    def end(self) -> tuple[list[str], list[str]]:
        """Wait for everybody: what came out, and what went wrong."""
        found, problems = [], []
        for file, worker in self.workers.items():
            worker.join(_PATIENCE)
            told = file.with_suffix(".log").read_text(errors="replace")
            if worker.exitcode == 0:
                found.append(file.read_text())
            else:
                worker.kill()
                problems.append(f"a process failed: {told.strip().splitlines()[-1:]}")
        printed = "".join(log.read_text(errors="replace") for log in self.folder.glob("*.log"))
        if PASSWORD in printed or "s3cret" in printed:
            problems.append("a password was printed")
        return found, problems


def nothing(scene: Scene, server: Postgres | None) -> None:
    """Let them work."""


def kill(scene: Scene, server: Postgres | None) -> None:
    """Kill a process a few times; another one begins in its place."""
    for share in (0.2, 0.4, 0.6, 0.8):
        scene.until(share)
        scene.kill_one()
        scene.start()


def kill_only(scene: Scene, server: Postgres | None) -> None:
    """Kill the only process again and again."""
    for share in (0.1, 0.3, 0.5, 0.7, 0.9):
        scene.until(share)
        scene.kill_one()
        if not scene.workers:
            scene.start()


def stop_server(scene: Scene, server: Postgres | None) -> None:
    """Stop the server in good order once, crash it once, each for some seconds."""
    assert server is not None
    for share, crash in ((0.25, False), (0.6, True)):
        scene.until(share)
        server.stop(crash=crash)
        time.sleep(3)
        server.start()


def play(
    name: str,
    act: Callable[[Scene, Postgres | None], None],
    storage: str,
    server: Postgres | None,
    *,
    processes: int,
    trials: int,
    seed: int,
) -> dict[str, Any]:
    """Start, disturb, wait, and look at what is left."""
    with tempfile.TemporaryDirectory() as folder:
        return _played(name, act, Scene(storage, trials, random.Random(seed), Path(folder)), server, processes)


def _played(
    name: str, act: Callable[[Scene, Postgres | None], None], scene: Scene, server: Postgres | None, processes: int
) -> dict[str, Any]:
    trials = scene.trials
    began = time.monotonic()
    for _ in range(processes):
        scene.start()
    act(scene, server)
    found, problems = scene.end()
    finished = scene.finished()
    if finished != trials:
        problems.append(f"{finished} finished trials, not {trials}")
    if len(set(found)) != 1:
        problems.append(f"{len(set(found))} different results")
    if processes == 1:
        scene.workers, scene.storage = {}, None
        scene.start()
        if scene.end()[0] != found:
            problems.append("not what an undisturbed process finds")
    return {
        "scenario": name,
        "processes": processes,
        "trials_asked": trials,
        "trials_finished": finished,
        "results": len(found),
        "different_results": len(set(found)),
        "kills": scene.kills,
        "seconds": round(time.monotonic() - began, 1),
        "problems": problems,
    }


def main() -> int:
    """Play the scenarios and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5, help="of each scenario with kills")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="few trials, one round")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the server is stopped then, too
    trials, rounds = (16, 1) if options.quick else (options.trials, options.rounds)
    results = []
    skipped = ""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        server: Postgres | None = None
        try:
            import psycopg  # noqa: F401
        except ImportError:
            skipped = "psycopg is not installed"
        else:
            if programs() is None:
                skipped = "PostgreSQL is not installed"
            else:
                server = stack.enter_context(Postgres())
        scenes = [("undisturbed", nothing, 1, options.processes), ("killed", kill, rounds, options.processes)]
        scenes.append(("the only one killed", kill_only, rounds, 1))
        for place in ("journal", "postgresql") if server else ("journal",):
            extra = [("server stopped and crashed", stop_server, 1, options.processes)] if place != "journal" else []
            for number, (name, act, times, processes) in enumerate([*scenes, *extra]):
                for turn in range(times):
                    if server is not None and place == "postgresql":
                        storage = server.fresh(f"t{number}x{turn}")
                    else:
                        storage = str(Path(folder) / f"{number}-{turn}.journal")
                    seed = options.seed + 1000 * number + turn
                    found = play(
                        f"{place}: {name}", act, storage, server, processes=processes, trials=trials, seed=seed
                    )
                    results.append(found)
                    if not options.json:
                        print(json.dumps(found), flush=True)
    sound = not any(found["problems"] for found in results)
    if options.json:
        print(json.dumps({"sound": sound, "skipped": skipped, "scenarios": results}, indent=1))
    else:
        kills = sum(found["kills"] for found in results)
        verdict = "all holds" if sound else "BROKEN"
        print(f"{len(results)} scenarios, {kills} kills; {skipped or 'none skipped'}; {verdict}")
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
