"""Which files of a folder a report wrote, so that the next one there leaves none of them behind."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from leukfeat.textfiles import write_text

INVENTORY = "report-files.txt"


def keep_inventory(folder: Path | str, written: Iterable[Path]) -> Path:
    """Record what was written into a folder, and remove what only an earlier report wrote there.

    A table of pairs that an earlier report of two runs left behind would pass for one of this report. Files that no
    report has recorded stay.

    Parameters
    ----------
    folder : path
        Of the report.
    written : iterable of Path
        Its files, all in the folder.

    Returns
    -------
    Path
        The record, a name a line.
    """
    record = Path(folder) / INVENTORY
    names = sorted({file.name for file in written})
    for name in _recorded(record):
        if name not in names and Path(name).name == name:  # a plain name: nothing outside the folder is touched
            (record.parent / name).unlink(missing_ok=True)
    with write_text(record) as stream:
        stream.write("".join(f"{name}\n" for name in names))
    return record


def _recorded(record: Path) -> list[str]:
    try:
        return record.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):  # none, or somebody else's: then nothing is removed
        return []
