"""The command line: every verb, its help, its exit status, and one clear line for every mistake."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image

from leukfeat.cli import app, main

ROOT = Path(__file__).resolve().parents[1]
TINY = ["--backbone", "test_efficientnet", "--weights", "random"]


def leaves(command: object, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], object]:
    """Every command that does something, by its words."""
    inner = getattr(command, "commands", None)
    if inner is None:
        return {path: command}
    return {words: leaf for name, sub in inner.items() for words, leaf in leaves(sub, (*path, name)).items()}


COMMANDS = leaves(typer.main.get_command(app))
EXAMPLES = {
    " ".join(words): line.strip().removeprefix("Example: ")
    for words, command in COMMANDS.items()
    for line in (command.help or "").splitlines()  # type: ignore[attr-defined]
    if line.strip().startswith("Example: ")
}

# what an example costs, not what it says: the smallest network, fewer cells and trials
SHORTER = {
    "efficientnet_b0": "test_efficientnet",
    "resnet18": "test_efficientnet",
    "--cells 20": "--cells 1",
    "--trials 10": "--trials 2",
}


def leukfeat(*arguments: str | Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Run the command line in this process: exit status, stdout, stderr."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return int(caught.value.code or 0), said.out, said.err


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """A working directory with a small folder of generated cells."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LEUKFEAT_CACHE", raising=False)
    status, _, _ = leukfeat(
        "data", "synth", "my-cells", "--subjects", "12", "--cells", "3", "--size", "40", capsys=capsys
    )
    assert status == 0
    return tmp_path


def test_help_is_quick_because_nothing_heavy_is_loaded() -> None:
    code = (
        "import sys\nfrom leukfeat.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'timm', 'sklearn', 'pandas', 'numpy', 'optuna', 'matplotlib', 'pydantic', 'h5py'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "compare" in done.stdout


def test_compare_loads_no_torch(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Predictions can be re-reported for ever, on a machine without torch or boosters."""
    Path("p.csv").write_text("sample,y_true,proba_ALL,proba_HEM\na,ALL,.9,.1\nb,HEM,.2,.8\n")
    code = (
        "import sys\nfrom leukfeat.cli import main\n"
        "try: main(['compare', 'p.csv', '--positive', 'ALL'])\nexcept SystemExit as error: assert not error.code\n"
        "print(sorted({'torch', 'timm', 'xgboost', 'lightgbm', 'optuna', 'h5py'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip().splitlines()[-1] == "[]"


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_is_documented_with_an_example(words: tuple[str, ...]) -> None:
    command = COMMANDS[words]
    assert "Example: leukfeat " + " ".join(words) in " ".join((command.help or "").split())  # type: ignore[attr-defined]
    for parameter in command.params:  # type: ignore[attr-defined]
        assert parameter.name == "help" or parameter.help, f"{words}: {parameter.name} has no help"


def test_the_examples_of_the_help_run(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the order a newcomer would type them."""
    (study / "C-NMC_Leukemia").mkdir()
    for part, label, subject in (("fold_0", "all", "1"), ("fold_1", "hem", "H1")):
        folder = study / "C-NMC_Leukemia" / "training_data" / part / label
        folder.mkdir(parents=True)
        Image.new("RGB", (40, 40), (90, 30, 120 if label == "all" else 60)).save(
            folder / f"UID_{subject}_1_1_{label}.bmp"
        )
    (study / "configs").mkdir()
    recipe = {
        "data": {"path": "my-cells"},
        "split": {"folds": 3},
        "backbone": {"name": "test_efficientnet", "weights": "random"},
        "head": [{"name": "knn", "trials": 2}, {"name": "tree", "trials": 2}],
        "out": "quick",
    }
    (study / "configs" / "quickstart.yaml").write_text(json.dumps(recipe))
    figures = {"accuracy": "0.90", "sensitivity": "0.95"}
    claim = {
        "name": "Table 1",
        "test": {"counts": {"ALL": 60, "HEM": 40}, "positive": "ALL"},
        "rows": {"ours": figures},
    }
    (study / "claims.yaml").write_text(json.dumps({"claims": [claim]}))
    first = ["data synth", "data prepare", "init", "extract", "fit-head"]
    order = [*first, *(name for name in sorted(EXAMPLES) if name not in first)]
    assert set(order) == {" ".join(words) for words in COMMANDS}
    for name in order:
        if name == "cache merge":
            shutil.copytree("cache", "colleague/cache")
        line = EXAMPLES[name]
        for long, short in SHORTER.items():
            line = line.replace(long, short)
        if name in (
            "extract",
            "fit-head",
            "cache export",
        ):  # their cells.csv is that of the generated cells, small enough for a test
            Path("cells.csv").unlink(missing_ok=True)
            assert leukfeat("data", "prepare", "my-cells", capsys=capsys)[0] == 0
        kept = next(iter(sorted(Path("runs").glob("[!.]*/model"))), Path("runs/none"))
        line = line.replace("runs/mine/model", str(kept)).replace("new-cells", "my-cells")
        words = shlex.split(line)[1:]
        if "runs/*" in words:
            words[words.index("runs/*") : words.index("runs/*") + 1] = [
                str(path) for path in Path("runs").glob("[!.]*")
            ]
        status, out, err = leukfeat(*words, capsys=capsys)
        assert status == 0, f"{line}: {out}{err}"


def test_the_three_commands_work_bare_after_init(
    study: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    status, out, _ = leukfeat("init", "my-cells", capsys=capsys)
    assert status == 0
    assert "leukfeat.yaml" in out
    monkeypatch.chdir(study / "my-cells")
    recipe = Path("leukfeat.yaml").read_text()
    Path("leukfeat.yaml").write_text(
        recipe.replace("name: efficientnet_b0", "name: test_efficientnet")
        .replace("imagenet ", "random ")
        .replace("trials: 30", "trials: 3")
    )
    status, out, _ = leukfeat("extract", capsys=capsys)
    assert (status, "36 computed" in out) == (0, True)
    status, out, err = leukfeat("fit-head", "--head", "xgboost", capsys=capsys)
    assert status == 0, err
    trials = next(Path("runs").glob("*/trials.csv"))
    assert ",2,COMPLETE" in trials.read_text().upper() or ",2,PRUNED" in trials.read_text().upper()
    assert ",3,COMPLETE" not in trials.read_text().upper(), "the recipe's entry for this head says three trials"
    status, out, _ = leukfeat("compare", capsys=capsys)
    assert status == 0
    assert Path("report/report.html").is_file()
    status, _, err = leukfeat("init", ".", capsys=capsys)
    assert (status, "--overwrite replaces it" in err) == (2, True)


def test_flags_override_the_standing_recipe(study: Path) -> None:
    """A flag replaces what it is an alternative to, and an entry keeps what no flag speaks of."""
    from leukfeat.cli.options import backbones_of, heads_of, recipe_of

    Path("leukfeat.yaml").write_text(
        json.dumps(
            {
                "data": {"path": "my-cells", "subjects_from": "(S)"},
                "split": {"kind": "file", "file": "split.csv"},
                "backbone": [{"name": "resnet18", "weights": "random", "pooling": "max"}, "vgg16"],
                "head": [{"name": "svm", "trials": 7}, {"name": "knn", "trials": 3}],
            }
        )
    )
    plain = recipe_of(None, {})
    assert [len(plain.backbone), len(plain.head), plain.split.kind] == [2, 2, "file"]
    changed = recipe_of(
        None,
        {
            "split.kind": "grouped",
            "data.subjects": "unknown",
            "backbone": backbones_of({"backbone": ["resnet18"], "pooling": "avg"}),
            "head": heads_of(None, None, trials=2, metric=None),
        },
    )
    assert (changed.split.kind, changed.split.file) == ("grouped", None)
    assert (changed.data.subjects, changed.data.subjects_from) == ("unknown", None)
    ((spec,),) = changed.backbone
    assert (spec.name, spec.weights, spec.pooling) == ("resnet18", "random", "avg")
    assert [(head.name, head.trials) for head in changed.head] == [("svm", 2), ("knn", 2)]
    given = recipe_of(None, {"features": Path("x.h5")})
    assert (given.backbone, given.features) == ((), Path("x.h5"))
    elsewhere = recipe_of(Path("my-cells"), {"head": heads_of(Path("my-cells"), ["svm"])})
    assert elsewhere.head[0].trials == 30, "with DATA the standing recipe does not answer"


def test_extract_again_computes_nothing(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = json.loads(leukfeat("extract", "my-cells", *TINY, "--json", capsys=capsys)[1])
    again = json.loads(leukfeat("extract", "my-cells", *TINY, "--json", capsys=capsys)[1])
    assert (first[0]["computed"], first[0]["hits"]) == (36, 0)
    assert (again[0]["computed"], again[0]["hits"]) == (0, 36)


def test_a_bad_image_costs_only_itself(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (study / "classes" / "ALL").mkdir(parents=True)
    (study / "classes" / "HEM").mkdir()
    for number in range(4):
        for label, blue in (("ALL", 120), ("HEM", 60)):
            Image.new("RGB", (40, 40), (number, 30, blue)).save(study / "classes" / label / f"s{number}_1.png")
    (study / "classes" / "ALL" / "s0_2.png").write_bytes(b"no image")
    (study / "classes" / "HEM" / "s1_2.png").write_bytes(b"")
    command = ["extract", "classes", *TINY, "--subjects-from", r"(\w+/s\d)_"]
    status, out, _ = leukfeat(*command, capsys=capsys)
    assert status == 1
    assert "8 computed, 0 hits, 2 failed" in out
    assert "failed: ALL/s0_2.png:" in out
    assert "failed: HEM/s1_2.png:" in out
    status, out, _ = leukfeat(*command, "--skip-errors", capsys=capsys)
    assert (status, "0 computed, 8 hits, 2 failed" in out) == (0, True)
    fit = [
        "fit-head",
        *command[1:],
        "--head",
        "tree",
        "--trials",
        "1",
        "--folds",
        "2",
        "--jobs",
        "1",
        "--positive",
        "ALL",
    ]
    status, out, err = leukfeat(*fit, capsys=capsys)
    assert status == 1
    assert "2 image(s) could not be read" in err
    status, out, err = leukfeat(*fit, "--skip-errors", capsys=capsys)
    assert status == 0, err
    assert "2 of 10 images are missing" in out


def test_words_of_doubt_stay_on_every_output(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit = [
        "fit-head",
        "my-cells",
        "--dataset",
        "folders",
        "--subjects",
        "unknown",
        *TINY,
        "--head",
        "tree",
        "--trials",
        "1",
        "--jobs",
        "1",
        "--positive",
        "ALL",
    ]
    (study / "plain").mkdir()
    for label in ("ALL", "HEM"):
        (study / "plain" / label).mkdir()
    for number, path in enumerate(sorted((study / "my-cells").rglob("*.png"))):
        path.rename(study / "plain" / ("ALL" if number % 2 else "HEM") / path.name)
    fit[1] = "plain"
    status, _, err = leukfeat(*fit, capsys=capsys)
    assert status == 1
    assert "a grouped split needs subjects" in err
    status, out, err = leukfeat(*fit, "--split", "per-image", "--folds", "3", capsys=capsys)
    assert status == 0, err
    words = ("subjects unknown: images of one patient may be on both sides", "image-level: optimistic")
    assert all(word in out for word in words)
    assert leukfeat("compare", capsys=capsys)[0] == 0
    for name in ("report.html", "report.md"):
        text = (study / "report" / name).read_text(encoding="utf-8")
        assert all(word in text for word in words), name


def test_interrupting_is_told_and_keeps_what_is_finished(
    study: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("leukfeat.experiments.stages.extract_recipe", interrupted)
    status, _, err = leukfeat("extract", "my-cells", *TINY, capsys=capsys)
    assert status == 130
    assert "the same command goes on" in err


def test_nothing_of_the_users_is_written_over(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A picture, a note, or a manifest with a column of one's own."""
    picture = next((study / "my-cells").rglob("*.png"))
    before = picture.read_bytes()
    status, _, err = leukfeat("data", "prepare", "my-cells", "-o", picture, capsys=capsys)
    assert (status, "is no manifest" in err) == (2, True)
    assert picture.read_bytes() == before
    cells = study / "my-cells" / "cells.csv"
    lines = cells.read_text().splitlines()
    cells.write_text("\n".join([f"{lines[0]},doctor", *(f"{line},me" for line in lines[1:])]) + "\n")
    mine = cells.read_text()
    assert leukfeat("init", "my-cells", capsys=capsys)[0] == 0
    assert cells.read_text() == mine


def test_unfinished_runs_are_left_out_of_a_comparison_and_named(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit = ["fit-head", "my-cells", *TINY, "--head", "tree", "--trials", "1", "--folds", "2", "--jobs", "1"]
    assert leukfeat(*fit, capsys=capsys)[0] == 0
    (study / "runs" / "stopped").mkdir()
    (study / "runs" / "stopped" / "recipe.yaml").write_text("name: stopped\n")
    status, _, err = leukfeat("compare", *sorted(study.glob("runs/[!.]*")), capsys=capsys)
    assert status == 0
    assert "stopped: unfinished; run its command again" in err


def test_features_that_lack_samples_stop_a_run(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert leukfeat("extract", "my-cells", *TINY, capsys=capsys)[0] == 0
    assert leukfeat("cache", "export", "my-cells", *TINY, "-o", "all.npz", capsys=capsys)[0] == 0
    whole = np.load("all.npz")
    names = [name for name in ("features", "feats", "sample_ids", "paths") if name in whole]
    np.savez("part.npz", **{name: whole[name][:30] for name in names})
    fit = [
        "fit-head",
        "my-cells",
        "--features",
        "part.npz",
        "--head",
        "tree",
        "--trials",
        "1",
        "--folds",
        "2",
        "--jobs",
        "1",
    ]
    status, _, err = leukfeat(*fit, capsys=capsys)
    assert (status, "6 of 36 labelled images have no row in the features given" in err) == (1, True)
    status, out, err = leukfeat(*fit, "--skip-errors", capsys=capsys)
    assert status == 0, err
    assert "6 of 36 images are missing" in out


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["extract", "nowhere", "--backbone", "resnet18"], 1, "nowhere: no such file or folder"),
        (["extract"], 2, "no DATA given and no leukfeat.yaml here"),
        (["extract", "my-cells"], 2, "no backbone given"),
        (["extract", "my-cells", "--backbone", "efficientnet_b00"], 2, "did you mean 'efficientnet_b0'?"),
        (["extract", "my-cells", *TINY, "--pooling", "avgg"], 2, "did you mean 'avg'?"),
        (["extract", "my-cells", "--backbone", "resnet18", "--weights", "no.safetensors"], 1, "no.safetensors"),
        (["extract", "my-cells", "--backbone", "resnet18", "--weights", "model.pth"], 1, "never loaded"),
        (["fit-head", "my-cells", *TINY, "--head", "xgbost"], 2, "did you mean 'xgboost'?"),
        (["fit-head", "my-cells", *TINY], 2, "no head given"),
        (["fit-head", "my-cells", *TINY, "--head", "svm", "--folds", "7"], 1, "at most 6 folds are possible"),
        (["fit-head", "my-cells", *TINY, "--head", "svm", "--split", "groupd"], 2, "groupd"),
        (["fit-head", "my-cells", *TINY, "--head", "svm", "--split", "official"], 1, "no official split"),
        (["fit-head", "my-cells", *TINY, "--head", "svm", "--split-file", "no.csv"], 1, "no.csv: no such file"),
        (["fit-head", "my-cells", *TINY, "--head", "svm", "--positive", "AML"], 2, "'AML' is not a label"),
        (["fit-head", "my-cells", *TINY, "--head", "svm", "--metric", "acuracy"], 2, "did you mean 'accuracy'?"),
        (["fit-head", "my-cells", "--features", "nowhere.h5", "--head", "svm"], 1, "nowhere.h5"),
        (["extract", "my-cells", "--backbone", "resnet18", "--weights", "imagnet"], 2, "did you mean 'imagenet'?"),
        (["run", "nowhere.yaml"], 2, "nowhere.yaml: no such recipe"),
        (["compare", "nowhere"], 1, "nowhere"),
        (["compare"], 1, "runs"),
        (["data", "prepare", "my-cells", "--dataset", "cnmx"], 2, "did you mean 'cnmc'?"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_clear_line(
    study: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, message: str
) -> None:
    found, _, err = leukfeat(*arguments, capsys=capsys)
    assert (found, message in err) == (status, True), err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1, err
    assert not (study / "report").exists()


def test_the_shim_of_a_checkout_is_the_command_line() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "cli.py"), "--version"], capture_output=True, text=True, check=True
    )
    module = subprocess.run([sys.executable, "-m", "leukfeat", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == module.stdout
    assert done.stdout.startswith("leukfeat ")
