"""Work comes back whoever does it: processes, threads, Dask, Ray, and whoever of them dies."""

from __future__ import annotations

import ast
import contextlib
import math
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from leukfeat.data.manifest import Manifest
from leukfeat.errors import UnknownNameError, UsageError, WorkerError
from leukfeat.evaluation.runs import Run
from leukfeat.experiments import surroundings, workers
from leukfeat.experiments.backends import BACKENDS, Backend
from leukfeat.experiments.run import run
from leukfeat.experiments.stages import Watcher, extract_recipe
from leukfeat.experiments.surroundings import Facts, Surroundings
from leukfeat.experiments.workers import Share, Workers
from leukfeat.features.extraction import load_features
from leukfeat.features.store import FeatureStore

CHECKOUT = Path(__file__).resolve().parents[2]


# ---------------------------------------------------------------------- how processors are shared out


@pytest.mark.parametrize("n_processors", [1, 2, 3, 16, 64])
@pytest.mark.parametrize("n_fits", [2, 6, 51])
@pytest.mark.parametrize("n_bytes", [0, 17_000_000, 300_000_000, 512_000_000, 10**11])
def test_a_share_never_asks_for_more_than_there_is(n_processors: int, n_fits: int, n_bytes: int) -> None:
    share = Share.of(n_processors, n_fits, n_bytes)
    assert 1 <= share.processes <= n_fits
    assert share.threads >= 1
    assert share.processes * share.threads <= n_processors
    # one process there must be; the others together may copy half a gigabyte
    assert share.processes == 1 or share.processes * n_bytes <= 500_000_000


def test_processes_come_before_threads() -> None:
    # folds need nothing of each other, while threads wait for the slowest inner fold
    assert Share.of(4, 6, 17_000_000) == Share(4, 1)


def test_many_features_are_worked_on_by_threads() -> None:
    # 100,000 x 1,280 floats: a second process would copy them once more
    assert Share.of(4, 6, 512_000_000) == Share(1, 4)


@pytest.mark.parametrize(
    ("backend", "at_once", "share"),
    [
        (None, True, Share(4, 1)),
        (None, False, Share(1, 1)),  # a training takes the whole machine
        (Backend("loky", workers=2), True, Share(2, 2)),
        (Backend("loky", workers=2), False, Share(2, 2)),  # unless somebody says otherwise
        (Backend("threading", workers=9), True, Share(6, 1)),
    ],
)
def test_who_names_workers_gets_them(backend: Backend | None, at_once: bool, share: Share) -> None:
    with Workers(backend) as some:
        assert some.share(4, 6, 1_000, at_once=at_once) == share


# ---------------------------------------------------------------------- tasks


def dying(flags: Path, n_deaths: int) -> Callable[[int], int]:
    """Task 3 kills its process the first so many times. A function of a function, so that it travels as code."""

    def die(number: int) -> int:
        import os
        import signal

        if number == 3:
            died = len(list(flags.iterdir()))
            if died < n_deaths:
                (flags / str(died)).touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return number

    return die


@pytest.mark.parametrize("backend", [None, Backend("loky", workers=2), Backend("threading", workers=3)])
def test_every_item_is_done_once(backend: Backend | None) -> None:
    with Workers(backend) as some:
        assert sorted(some.results(math.factorial, range(7))) == [(n, math.factorial(n)) for n in range(7)]
        assert list(some.results(math.factorial, [])) == []


@pytest.mark.parametrize("backend", [Backend("loky", workers=1), Backend("loky", workers=2), Backend("threading")])
def test_an_error_of_ours_arrives_as_it_is(backend: Backend) -> None:
    with Workers(backend) as some, pytest.raises(UnknownNameError, match=r"^backend 'dusk' is not known; did you"):
        list(some.results(Backend, ["loky", "threading", "dusk", "loky"]))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_task_whose_worker_was_killed_is_done_again(tmp_path: Path) -> None:
    told: list[str] = []
    with Workers(Backend("loky", workers=2), told.append) as some:
        done = sorted(some.results(dying(tmp_path, 1), range(6)))
    assert done == [(number, number) for number in range(6)]
    (line,) = told
    assert line.startswith("a worker was lost; ")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_task_that_kills_its_worker_is_given_up_and_no_other(tmp_path: Path) -> None:
    """It is the only one that is lost when nothing else is at work, so its neighbours are not suspected."""
    with Workers(Backend("loky", workers=2)) as some:
        done = dict(some.results(dying(tmp_path, 10**6), range(6)))
    assert done == {0: 0, 1: 1, 2: 2, 3: None, 4: 4, 5: 5}
    assert len(list(tmp_path.iterdir())) == 1 + 3, "it is submitted again three times"


# ---------------------------------------------------------------------- what somebody may ask for


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"name": "loky", "address": "tcp://a:1"}, "--backend loky works on this machine; --address belongs to dask"),
        ({"name": "loky", "workers": 0}, "--workers is 0; give at least 1"),
        ({"name": "threading", "shard_size": -1}, "--shard-size is -1"),
        ({"name": "dask"}, "--backend dask needs --address, e.g. tcp://HOST:8786"),
    ],
)
def test_what_means_nothing_is_refused(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Backend(**asked)


def test_a_misspelt_backend() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'dask'"):
        Backend("dusk")


def test_a_library_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leukfeat.experiments.backends.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"needs dask, distributed, .* pip install 'leukfeat\[dask\]'"):
        Backend("dask", "tcp://localhost:8786")


def test_processors_here_are_not_counted_for_work_elsewhere(recipe: Any) -> None:
    if BACKENDS["dask"].libraries and not _installed("distributed"):
        pytest.skip("dask is not installed")
    with pytest.raises(UsageError, match="--jobs counts processors of this machine"):
        run(recipe(), n_jobs=2, backend=Backend("dask", "tcp://localhost:1"))


@pytest.mark.parametrize(
    ("name", "address", "library", "what"),
    [
        ("dask", "tcp://127.0.0.1:1", "distributed", "no Dask scheduler answers there"),
        ("dask", "no-such-file.json", "distributed", "no Dask scheduler answers there"),
        ("dask", "login1", "distributed", "an address is written HOST:PORT"),
        ("ray", "127.0.0.1:1", "ray", "no Ray cluster answers there"),
    ],
)
def test_nobody_at_the_address(
    name: str, address: str, library: str, what: str, recipe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line, in seconds, before any work."""
    if not _installed(library):
        pytest.skip(f"{library} is not installed")
    _import(name)
    monkeypatch.setattr("leukfeat.experiments.backends.CONNECTING", 1.0)
    with pytest.raises(WorkerError, match=what) as told:
        extract_recipe(recipe(), backend=Backend(name, address))
    assert str(told.value).startswith(address)
    assert "\n" not in str(told.value)


# ---------------------------------------------------------------------- what workers must have


HERE = Surroundings("0.1.0", "/work", ("/work", "/data/cells"), ("2.2.0", "1.6.0", None, None, None, None, "2.6.0"))
PYTHON = sys.version.split(" ")[0]


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (Facts("node7", "2.7.18", None), r"1 of 2 worker\(s\) cannot do this work, e.g. node7 has Python 2.7.18, and"),
        (Facts("node7", PYTHON, None), "node7 has no leukfeat, and 0.1.0 here: install the same version on every"),
        (Facts("node7", PYTHON, "0.0.9"), "node7 has leukfeat 0.0.9, and 0.1.0 here"),
        (Facts("node7", PYTHON, "0.1.0", ("/data/cells",)), "node7 has no /data/cells: share it under the same name"),
        (
            Facts("node7", PYTHON, "0.1.0", libraries=("2.2.0", "1.5.0")),
            "node7 has scikit-learn 1.5.0, and 1.6.0 here: install the same version on every worker",
        ),
        (Facts("node7", PYTHON, "0.1.0", libraries=("2.2.0", None)), "node7 has no scikit-learn, and 1.6.0 here"),
    ],
)
def test_a_worker_that_cannot_do_the_work_is_named(facts: Facts, message: str) -> None:
    with pytest.raises(WorkerError, match=message):
        HERE.refuse_unlike([Facts("node1", PYTHON, "0.1.0"), facts])


def test_like_workers_are_not_refused() -> None:
    HERE.refuse_unlike([])
    HERE.refuse_unlike([Facts("node1", PYTHON, "0.1.0")])
    # what is not installed here is not needed; a library for a GPU is the same library
    libraries = ("2.2.0", "1.6.0", "3.0.0", None, None, None, "2.6.0+cu124")
    HERE.refuse_unlike([Facts("node1", PYTHON, "0.1.0", libraries=libraries)])


def test_a_worker_without_leukfeat_can_be_asked(tmp_path: Path) -> None:
    """The question travels as code: a worker that lacks leukfeat, or has another one, could not look it up."""
    cloudpickle = pytest.importorskip("cloudpickle", reason="older joblib has a copy of its own")
    (tmp_path / "there").touch()
    asked = replace(HERE, paths=(str(tmp_path / "there"), str(tmp_path / "not-there")))
    sent = tmp_path / "probe"
    sent.write_bytes(cloudpickle.dumps(asked.probe()))
    script = (
        "import cloudpickle, pathlib, sys\n"
        "from importlib.util import find_spec\n"
        "sys.modules['leukfeat'] = None\n"
        "import importlib.util\n"
        "importlib.util.find_spec = lambda name: None if name == 'leukfeat' else find_spec(name)\n"
        "print(cloudpickle.loads(pathlib.Path(sys.argv[1]).read_bytes())())\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(sent)], capture_output=True, text=True, check=True)
    facts = Facts("node1", PYTHON, **ast.literal_eval(done.stdout))
    assert facts == Facts("node1", PYTHON, None, (str(tmp_path / "not-there"),), surroundings.library_versions())


def test_a_task_looks_for_itself_what_its_worker_lacks(tmp_path: Path) -> None:
    """A worker that came later was not asked at the beginning."""
    lacking = replace(Surroundings.here([tmp_path / "not-there"]), folder=str(tmp_path))
    number, error = workers.Task(4, math.factorial, 3, lacking)()
    assert number == 4
    assert isinstance(error, WorkerError)
    assert "not-there: share it under the same name" in str(error)


def test_a_worker_works_where_relative_names_mean_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("beside").touch()
    asked = Surroundings.here([Path("beside")])
    monkeypatch.chdir("/")
    assert workers.Task(0, os.path.exists, "beside", asked)() == (0, True)


def test_threads_of_a_worker_do_not_change_each_others_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two commands from two folders, and a worker with several threads, which is what Dask starts by default."""
    monkeypatch.chdir(tmp_path)  # put back in the end

    def seen(_: int) -> set[Path]:
        folders = set()
        for _ in range(5):
            folders.add(Path.cwd())
            time.sleep(0.01)
        return folders

    def commands() -> Iterator[workers.Task]:
        for number in range(12):
            folder = tmp_path / "ab"[number % 3 == 0]
            folder.mkdir(exist_ok=True)
            yield workers.Task(number, seen, 0, replace(Surroundings.here([]), folder=str(folder)))

    with ThreadPoolExecutor(4) as pool:
        found = dict(pool.map(lambda task: task(), commands()))
    assert found == {number: {tmp_path / "ab"[number % 3 == 0]} for number in range(12)}


def test_tasks_of_one_command_are_at_work_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    together = threading.Barrier(3)
    tasks = [workers.Task(number, together.wait, 60, Surroundings.here([])) for number in range(3)]
    with ThreadPoolExecutor(3) as pool:
        assert len(list(pool.map(lambda task: task(), tasks))) == 3


def test_a_folder_that_cannot_be_entered_keeps_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    gone = replace(Surroundings.here([]), folder=str(tmp_path / "gone"))
    with pytest.raises(FileNotFoundError):
        workers.Task(0, math.factorial, 3, gone)()
    assert workers.Task(1, math.factorial, 3, Surroundings.here([]))() == (1, 6)


def test_a_mark_is_there_as_long_as_it_is_needed(tmp_path: Path) -> None:
    with surroundings.mark(tmp_path / "store") as file:
        assert file.exists()
    assert list((tmp_path / "store").iterdir()) == []


# ---------------------------------------------------------------------- the same results


def _installed(library: str) -> bool:
    from importlib.util import find_spec

    return find_spec(library) is not None


def _import(name: str) -> None:
    """Import a cluster's library, whose own warnings at import are none of ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        __import__(f"leukfeat.experiments.{name}workers")


@pytest.fixture(scope="module")
def dask() -> Iterator[str]:
    """The address of a scheduler with two single-thread workers, in processes of their own."""
    distributed = pytest.importorskip("distributed", reason="dask is not installed")
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs="CRITICAL"
    )
    yield cluster.scheduler_address
    with contextlib.suppress(TimeoutError):  # on a machine that is busy
        cluster.close(timeout=60)


@pytest.fixture(scope="module")
def ray() -> Iterator[str]:
    """A Ray cluster of two processors in this machine, to which this process is connected."""
    pytest.importorskip("ray", reason="ray is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")  # Ray would write a token into the home folder
        _import("ray")
        import ray

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        yield "auto"
        ray.shutdown()


def told_by(made: Any, **how: Any) -> tuple[Run, list[str]]:
    lines: list[str] = []
    (folder,) = run(made, watcher=Watcher(told=lines.append), **how)
    return Run.load(folder), lines


def everywhere(recipe: Any, tmp_path: Path, backend: Backend) -> None:
    """Rows, predictions and inner predictions of a run are those of the run in this process."""
    head = {"name": "xgboost", "trials": 2, "inner_folds": 2, "params": {"reduction": "none"}}
    own = {name: str(tmp_path / f"{backend.name}-{name}") for name in ("cache", "out")}
    plain = recipe(head=head, extraction={"engine": "eager"})
    alone, _ = told_by(plain, n_jobs=1)
    other, _ = told_by(recipe(head=head, extraction={"engine": "eager"}, **own), backend=backend)
    assert alone.predictions.digest == other.predictions.digest
    assert other.environment["workers"]["backend"] == backend.name
    spec, manifest = plain.backbone[0][0], Manifest.load(plain.data.path)
    one, two = (load_features(spec, manifest, FeatureStore(root)) for root in (tmp_path / "cache", own["cache"]))
    assert one.X.tobytes() == two.X.tobytes(), "the same engine, bit for bit"


@pytest.mark.parametrize("name", ["loky", "threading"])
def test_the_backend_changes_nothing_here(name: str, recipe: Any, tmp_path: Path) -> None:
    everywhere(recipe, tmp_path, Backend(name, workers=2, shard_size=16))


def test_dask_changes_nothing(dask: str, recipe: Any, tmp_path: Path) -> None:
    everywhere(recipe, tmp_path, Backend("dask", dask, shard_size=16))


def test_ray_changes_nothing(ray: str, recipe: Any, tmp_path: Path) -> None:
    everywhere(recipe, tmp_path, Backend("ray", ray, shard_size=16))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
@pytest.mark.parametrize("name", ["dask", "ray"])
def test_a_cluster_outlives_a_worker(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Dask runs the task again by itself, so nobody here hears of it; Ray would do so for ever, and is told not to."""
    told: list[str] = []
    with Workers(Backend(name, request.getfixturevalue(name)), told.append) as some:
        done = sorted(some.results(dying(tmp_path, 1), range(6)))
    assert done == [(number, number) for number in range(6)]
    again = "a worker was lost; 1 of 1 task(s) that are left are submitted once more"
    assert told == {"dask": [], "ray": [again]}[name]


def test_the_saved_recipe_knows_no_backend(recipe: Any) -> None:
    """Who repeats a run elsewhere has another cluster, or none."""
    told_by(recipe(), backend=Backend("threading", workers=2))
    (saved,) = recipe().out.glob("*/recipe.yaml")
    assert "threading" not in saved.read_text()


def test_bad_images_are_reported_from_all_workers(dask: str, recipe: Any, cells: Manifest, tmp_path: Path) -> None:
    listed = cells.save(cells.root / "with-wrong-digests.csv")
    wrong = [3, 40]
    text = listed.read_text()
    for row in wrong:
        text = text.replace(cells.sha256[row], f"{row:064d}")
    listed.write_text(text)
    (report,) = extract_recipe(recipe(data={"path": str(listed)}), backend=Backend("dask", dask, shard_size=12))
    assert [sample for sample, _, _ in report.failed] == [cells.sample[row] for row in wrong]
    assert report.computed == 46


def test_a_cluster_without_the_data_is_told_in_a_line(
    dask: str, recipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "needed_paths", lambda manifest: [tmp_path / "not-mounted"])
    with pytest.raises(WorkerError, match=r"2 of 2 worker\(s\) cannot do this work, .*not-mounted: share it"):
        run(recipe(), backend=Backend("dask", dask))


def test_a_worker_that_leaves_while_it_is_asked_is_not_asked(dask: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clusters that adapt to their work shrink at any moment; whoever comes and gets a task looks for itself."""
    _import("dask")
    from distributed import Client

    known = Client.get_versions

    def with_one_more(client: Any) -> Any:
        versions = known(client)
        versions["workers"]["tcp://127.0.0.1:1"] = next(iter(versions["workers"].values()))
        return versions

    monkeypatch.setattr(Client, "get_versions", with_one_more)
    with Workers(Backend("dask", dask)) as some:
        assert len(some._connection.survey(Surroundings.here([]).probe())) == 2


def test_a_cluster_whose_workers_lack_the_folder_of_the_studies_is_told_in_a_line(
    dask: str, recipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would make one of its own, and share no trial with anybody."""
    asked: list[str] = []

    def insist(self: Workers, manifest: Manifest, *folders: Path) -> None:
        asked.extend(map(str, folders))
        raise WorkerError("enough")

    monkeypatch.setattr(Workers, "insist_on", insist)
    with pytest.raises(WorkerError, match="enough"):
        run(recipe(), storage=str(tmp_path / "elsewhere" / "trials.journal"), backend=Backend("dask", dask))
    assert str(tmp_path / "elsewhere") in asked


def test_a_cluster_without_workers_is_given_a_reason_to_start_some(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that adapts counts tasks; without any, it would wait for us as we wait for it."""
    distributed = pytest.importorskip("distributed", reason="dask is not installed")
    _import("dask")
    monkeypatch.setattr("leukfeat.experiments.daskworkers.COMING", 60.0)

    def wait(client: Any, n: int, timeout: float) -> None:
        ends = time.monotonic() + timeout
        while not client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.adaptive_target()):
            assert time.monotonic() < ends, "the scheduler would start no worker"
            time.sleep(0.05)
        waited.append(n)

    waited: list[int] = []
    monkeypatch.setattr(distributed.Client, "wait_for_workers", wait)  # in place of a worker, which takes its time
    with (
        distributed.LocalCluster(
            n_workers=0, dashboard_address=":0", silence_logs="CRITICAL", processes=False, protocol="tcp"
        ) as empty,
        Workers(Backend("dask", empty.scheduler_address)),
    ):
        assert waited == [1]


def test_a_cluster_with_another_leukfeat_is_told_in_a_line(
    dask: str, recipe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surroundings, "leukfeat_version", lambda: "99.0")
    with pytest.raises(
        WorkerError, match=r"2 of 2 worker\(s\) cannot do this work, .* and 99.0 here: install the same"
    ):
        extract_recipe(recipe(), backend=Backend("dask", dask))
