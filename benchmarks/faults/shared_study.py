"""Share one study among processes while processes are killed and the database goes away.

    python benchmarks/faults/shared_study.py                   # a journal and PostgreSQL, some minutes
    python benchmarks/faults/shared_study.py --quick --json    # under a minute

Every scenario starts several processes that fit the same head on the same generated rows with the same storage, and
does something to them. In the end there must be exactly as many finished trials as were asked for, every process that
was not killed must have the same trials, parameters and predictions to the last bit, and the password must be in
nothing that a process has printed. One process that is killed again and again must find what an undisturbed one finds.

PostgreSQL (Debian: ``apt-get install postgresql``) and ``leukfeat[postgres]`` are needed; without, only the journal is
tried, and the last line says so. Exit status 1 where something does not hold.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from postgres import PASSWORD, Postgres, programs

from leukfeat.heads.storage import opened
from leukfeat.heads.tuning import TunedHead

_STORAGE = "SHARED_STUDY_STORAGE"  # in the environment: a list of processes shows arguments
_NAME = "shared"
_PATIENCE = 1200  # seconds


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


@dataclass
class Scene:
    """Processes at work on one study."""

    storage: str
    trials: int
    processes: int
    moments: random.Random
    workers: list[subprocess.Popen[str]] = field(default_factory=list)
    kills: int = 0

    def start(self) -> None:
        """One more process."""
        command = [sys.executable, __file__, "--work", "--trials", str(self.trials)]
        environment = {**os.environ, _STORAGE: self.storage, "OMP_NUM_THREADS": "1"}
        self.workers.append(
            subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path.cwd()
            )
        )

    def finished(self) -> int:
        """How many trials are finished."""
        with contextlib.suppress(KeyError), opened(self.storage) as storage:
            known = storage.get_all_trials(storage.get_study_id_from_name(_NAME))
            return sum(trial.state.name in ("COMPLETE", "PRUNED") for trial in known)
        return 0

    def until(self, share: float) -> None:
        """Wait until about so many of the trials are finished, or everybody is done."""
        while self.finished() < share * self.trials and any(worker.poll() is None for worker in self.workers):
            time.sleep(0.3)

    def kill_one(self) -> None:
        """Kill a process at a random moment."""
        time.sleep(self.moments.uniform(0, 0.3))
        victim = self.moments.choice(self.workers)
        if victim.poll() is None:
            self.kills += 1
            victim.kill()
            victim.communicate()
            self.workers.remove(victim)

    def end(self) -> tuple[list[str], list[str]]:
        """Wait for everybody: what came out, and what went wrong."""
        found, problems = [], []
        for worker in self.workers:
            out, told = worker.communicate(timeout=_PATIENCE)
            if worker.returncode:
                problems.append(f"a process failed: {told.strip().splitlines()[-1:]}")
            else:
                found.append(out.strip())
            if PASSWORD in out + told or "s3cret" in out + told:
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
    scene = Scene(storage, trials, processes, random.Random(seed))
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
    if processes == 1 and found and found[0] != fitted(None, trials):
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
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        print(fitted(os.environ[_STORAGE], options.trials))
        return 0
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
