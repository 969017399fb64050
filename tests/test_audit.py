"""``leukfeat audit``: exit status, what it prints, what it writes, and the groups that a split then uses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from leukfeat.cli import main
from leukfeat.data.manifest import Manifest
from leukfeat.data.splits import SplitPlan
from leukfeat.data.synthetic import synthesize


def leukfeat(*arguments: str | Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Run the command line in this process: exit status, stdout, stderr."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return int(caught.value.code or 0), said.out, said.err


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """24 generated cells of 8 subjects."""
    return synthesize(tmp_path_factory.mktemp("drawn") / "cells", n_subjects=8, n_cells=3, size=48)


@pytest.fixture
def cells(drawn: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a copy of them, without subjects, and one cell once more, turned."""
    monkeypatch.chdir(tmp_path)
    for row, label in enumerate(drawn.label):
        target = tmp_path / "cells" / label / Path(drawn.sample[row]).name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(drawn.file(row), target)
    first = sorted((tmp_path / "cells" / "ALL").iterdir())[0]
    Image.open(first).transpose(Image.Transpose.ROTATE_90).save(first.with_name("turned.png"))
    return tmp_path / "cells"


def test_near_duplicates_are_written_as_groups_that_a_split_uses(
    cells: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The way of a set without subject ids: audit, groups, a split by field, and no leak of images left."""
    status, out, _ = leukfeat("audit", cells, "--subjects", "unknown", "--write-groups", "groups.csv", capsys=capsys)
    assert status == 0, "folds by image announce what they do"
    assert "[near-duplicates] 1 groups of near-duplicates (2 images" in out
    assert "turned.png" in out
    assert Path("audit/near-duplicates.png").is_file()
    status, out, err = leukfeat("audit", "groups.csv", "--folds", "2", "--json", "-o", "again", capsys=capsys)
    assert (status, err) == (0, "")
    facts = json.loads(out)
    assert facts["leaks"] == []
    assert "near-duplicates" in {one["code"] for one in facts["findings"]}
    assert "near-duplicate-across-folds" not in {one["code"] for one in facts["findings"]}
    assert json.loads(Path("again/audit.json").read_text())["findings"] == facts["findings"]


def test_groups_can_be_written_by_the_words_in_which_they_will_be_used(
    cells: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """'--split grouped' needs groups, and '--write-groups' is how to get them: together they are no contradiction."""
    wanted = ["audit", cells, "--subjects", "unknown", "--split", "grouped", "--folds", "2"]
    status, _, err = leukfeat(*wanted, capsys=capsys)
    assert (status, "needs subjects" in err) == (1, True)
    status, out, _ = leukfeat(*wanted, "--write-groups", "groups.csv", capsys=capsys)
    assert status == 0
    assert Path("groups.csv").is_file()
    assert "split: per-image" in out


def test_an_undeclared_leak_gives_exit_status_one_unless_it_is_allowed(
    drawn: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    split = SplitPlan.per_image(drawn, n_folds=2).save(tmp_path / "by-image.csv")
    wanted = ["audit", drawn.root / "cells.csv", "--split", split, "--basic"]
    status, out, _ = leukfeat(*wanted, capsys=capsys)
    assert status == 1
    assert "leak [subject-across-folds] 8 subject(s) in training and test" in out
    status, out, _ = leukfeat(*wanted, "--allow", "subject-across-folds", capsys=capsys)
    assert status == 0
    assert "(allowed)" in out
    status, out, _ = leukfeat(*wanted[:2], "--split", "per-image", "--basic", capsys=capsys)
    assert status == 0
    assert "leak, declared by the split [subject-across-folds]" in out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--split", "groupd"], "did you mean 'grouped'"),
        (["--allow", "subject-across-fold"], "did you mean 'subject-across-folds'"),
        (["--basic", "--write-groups", "g.csv"], "--write-groups needs the images"),
        (["--run", "no-such-run"], "not a run"),
    ],
)
def test_a_mistake_gets_one_clear_line(
    options: list[str], said: str, drawn: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    status, _, err = leukfeat("audit", drawn.root / "cells.csv", *options, capsys=capsys)
    assert status in (1, 2)
    assert said in err
    assert err.count("\n") == 1


def test_switching_off_and_asking_for_an_audit_exclude_each_other(
    drawn: Manifest, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = leukfeat(
        "fit-head", drawn.root / "cells.csv", "--no-audit", "--audit", "full", "--head", "logistic", capsys=capsys
    )
    assert status == 2
    assert "--no-audit and --audit full exclude each other" in err
