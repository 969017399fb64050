"""What the README shows works as shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from leukfeat.cli import main
from leukfeat.data.synthetic import synthesize

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On generated cells, with a small network of random weights and few trials in place of a download and an hour."""
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    small = (
        code.replace('"efficientnet_b0"', '"test_efficientnet", weights="random"')
        .replace("n_trials=50", "n_trials=1, inner_folds=2")
        .replace('TunedHead("svm")', 'TunedHead("svm", n_trials=1, inner_folds=2)')
    )
    assert small.count("n_trials=1") == 2
    monkeypatch.chdir(tmp_path)
    synthesize("C-NMC_Leukemia", n_subjects=12, n_cells=2, size=40)
    exec(compile(small, "README.md", "exec"), {})
    assert "<html" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_subjects_can_be_read_from_paths_as_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (expression,) = re.findall(r"init my-cells --subjects-from '(.+?)'", README)
    for label in ("ALL", "HEM"):
        for number in range(3):
            folder = tmp_path / "my-cells" / label / f"patient_{label == 'ALL':d}{number}"
            folder.mkdir(parents=True)
            (folder / "cell.png").write_bytes(f"{label}{number}".encode())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(["init", "my-cells", "--dataset", "folders", "--subjects-from", expression])
    assert not caught.value.code
    assert "subjects: 6 (3 ALL + 3 HEM)" in capsys.readouterr().out


def test_every_command_of_the_table_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    for line in re.findall(r"^\| `leukfeat ([^`]+)`", README, flags=re.MULTILINE):
        words = line.replace("\\|", " ").split()
        verb = words[:2] if words[0] in ("data", "cache") else words[:1]
        with pytest.raises(SystemExit) as caught:
            main([*verb, "--help"])
        assert not caught.value.code, line
