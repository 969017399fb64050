"""``leukfeat audit-claims`` from the outside: its table, its files, its exit status."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from leukfeat.cli import main

POSSIBLE = """
paper: {title: On cells (Doe 2024)}
claims:
  - name: Table 1
    test: {counts: {ALL: 60, HEM: 40}, positive: ALL}
    unit: percent
    decimals: 1
    rows:
      ours: {accuracy: 91.0, sensitivity: 95.0}
"""
IMPOSSIBLE = POSSIBLE.replace("Doe 2024", "Roe 2024").replace("91.0", "99.0")


def run(*arguments: str | Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        main(["audit-claims", *map(str, arguments)])
    said = capsys.readouterr()
    return int(caught.value.code or 0), said.out, said.err


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    monkeypatch.chdir(tmp_path)
    Path("possible.yaml").write_text(POSSIBLE)
    Path("impossible.yaml").write_text(IMPOSSIBLE)
    return Path("possible.yaml"), Path("impossible.yaml")


def test_possible_claims_end_with_zero(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(files[0], capsys=capsys)
    assert status == 0
    assert "Doe 2024: Table 1 (60 ALL + 40 HEM; rounding only)" in out
    assert "one matrix fits: TP 57, FN 3, FP 6, TN 34" in out
    assert "(allowed 0.0005, needs rounding alone)" in out


def test_the_claim_file_of_the_documentation_is_read(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Every key that the page shows is one, and its figures agree with each other."""
    page = (Path(__file__).resolve().parents[1] / "docs" / "claims.md").read_text(encoding="utf-8")
    [example] = re.findall(r"^```yaml\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    files[0].write_text(example, encoding="utf-8")
    status, out, err = run(files[0], capsys=capsys)
    assert status == 0, err
    assert out.count("\n  attainable") == 6


def test_one_impossible_claim_ends_with_one(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(*files, capsys=capsys)
    assert status == 1
    assert "2 parts of the claims of 2 papers: 1 attainable, 1 impossible" in out
    assert "as labelled it needs a tolerance of" in out


def test_the_tolerance_of_the_command_line_counts(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(files[1], "--tolerance", "0.05", capsys=capsys)
    assert status == 0
    assert "tolerance 0.05" in out


def test_json_is_json_and_the_status_the_same(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(*files, "--json", "-o", "here", capsys=capsys)
    possible, impossible = json.loads(out)
    assert (status, possible["possible"], impossible["possible"]) == (1, True, False)
    [judgement] = possible["claims"][0]["judgements"]
    assert judgement["nearest"] == {"tp": 57, "fn": 3, "fp": 6, "tn": 34}
    assert json.loads(Path("here/claims.json").read_text()) == [possible, impossible]


def test_the_table_is_written_three_ways(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    run(*files, "-o", "here", capsys=capsys)
    rows = list(csv.DictReader(Path("here/claims.csv").read_text().splitlines()))
    assert [row["verdict"] for row in rows] == ["attainable", "impossible"]
    assert [row["allowed difference"] for row in rows] == ["0.0005", "0.0005"]
    assert "| Doe 2024 | Table 1 | ours | attainable |" in Path("here/claims.md").read_text()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (POSSIBLE.replace("60", "-60"), "no number of images"),
        (POSSIBLE.replace("91.0", "191.0"), "no share from 0 to 1"),
        ("", "found NoneType"),
    ],
)
def test_a_bad_file_is_told_in_one_line(
    text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    status, out, err = run(file, capsys=capsys)
    assert (status, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
