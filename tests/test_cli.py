"""The command line: every verb, its help, its exit status, and one clear line for every mistake."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

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
    first = ["data synth", "data prepare", "init", "extract", "fit-head"]
    order = [*first, *(name for name in sorted(EXAMPLES) if name not in first)]
    assert set(order) == {" ".join(words) for words in COMMANDS}
    for name in order:
        line = EXAMPLES[name]
        if name in (
            "extract",
            "fit-head",
            "cache export",
        ):  # their cells.csv is that of the generated cells, small enough for a test
            Path("cells.csv").unlink(missing_ok=True)
            assert leukfeat("data", "prepare", "my-cells", capsys=capsys)[0] == 0
            line = line.replace("efficientnet_b0", "test_efficientnet")
        words = shlex.split(line)[1:]
        if "runs/*" in words:
            words[words.index("runs/*") : words.index("runs/*") + 1] = [str(path) for path in Path("runs").iterdir()]
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
    trials = next(Path("runs").iterdir()) / "trials.csv"
    assert ",2,COMPLETE" in trials.read_text().upper() or ",2,PRUNED" in trials.read_text().upper()
    assert ",3,COMPLETE" not in trials.read_text().upper(), "the recipe's entry for this head says three trials"
    status, out, _ = leukfeat("compare", capsys=capsys)
    assert status == 0
    assert Path("report/report.html").is_file()
    status, _, err = leukfeat("init", ".", capsys=capsys)
    assert (status, "--overwrite replaces it" in err) == (2, True)


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
