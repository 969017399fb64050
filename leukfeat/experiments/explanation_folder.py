"""The folder of an explanation: an earlier one is replaced when the new one is whole, and nobody else's files are."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from leukfeat.errors import UsageError
from leukfeat.evaluation.runs import RUN_JSON
from leukfeat.experiments.bundle import RUN_MODEL
from leukfeat.jsonfiles import parse_json
from leukfeat.textfiles import TEMPORARY

EXPLANATIONS_JSON = "explanations.json"


def explanations_of(bundle: Path | str) -> Path:
    """Where explanations of a model belong when nobody says: in its run folder, whose report shows them.

    Of a bundle that is no part of a run it is ``explanations`` in the working directory.
    """
    folder = Path(bundle)
    run = folder.parent if folder.name == RUN_MODEL else folder
    return (run if (run / RUN_JSON).is_file() else Path()) / "explanations"


def earlier_files(folder: Path) -> tuple[Path, ...]:
    """What an earlier explanation wrote into a folder; none where the folder is new or empty.

    Raises
    ------
    UsageError
        A file, or a folder that holds something else.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a folder with -o")
    record = folder / EXPLANATIONS_JSON
    if not record.is_file():
        if folder.exists() and any(folder.iterdir()):
            raise UsageError(f"{folder} is there and holds something else; name another folder with -o")
        return ()
    try:
        names = [Path(str(name)) for name in parse_json(record.read_text(encoding="utf-8"))["files"]]
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(f"{record}: cannot be read; name another folder with -o") from None
    inside = [name for name in names if ".." not in name.parts and not name.is_absolute()]
    return (*(folder / name for name in inside), record)


@contextlib.contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """An empty folder to write into, whose files take the place of an earlier explanation when the block ends well.

    Until then the earlier explanation stands as it is, and it stays where the block fails or is interrupted. Files in
    the folder that no explanation wrote stay in any case.

    Parameters
    ----------
    folder : Path
        Where the files shall be in the end.

    Yields
    ------
    Path
        Beside ``folder``, hidden.

    Raises
    ------
    UsageError
        As :func:`earlier_files`; or a file of somebody else's has the name of a new one.
    """
    old = set(earlier_files(folder))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{TEMPORARY}{folder.name[:40]}-", dir=folder.parent) as made:
        fresh = Path(made)
        yield fresh
        new = sorted(file.relative_to(fresh) for file in fresh.rglob("*") if file.is_file())
        for name in new:
            if (folder / name).exists() and folder / name not in old:
                raise UsageError(f"{folder / name} is somebody else's; name another folder with -o")
        for file in old:
            file.unlink(missing_ok=True)
        # the record last: what it lists is there
        for name in sorted(new, key=lambda name: name.name == EXPLANATIONS_JSON):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (fresh / name).replace(folder / name)
