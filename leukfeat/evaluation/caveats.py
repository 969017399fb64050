"""What must be said beside every number of a run."""

from __future__ import annotations

from leukfeat.data.words import COPIES_LEAK, IMAGE_LEVEL, SUBJECTS_UNKNOWN
from leukfeat.evaluation.runs import Run

SPLIT_UNRECORDED = "split not recorded: whether test subjects were trained on cannot be checked"


def caveats(run: Run) -> tuple[str, ...]:
    """The notes of a run, and those its predictions give away by themselves, most serious first.

    A run of ours carries its notes; predictions of another tool carry none, so they are derived: a subject tested in
    two folds was trained on, and so was a linked one.

    Returns
    -------
    tuple of str
        Each once.
    """
    predictions = run.predictions
    found: list[str] = []
    if run.split.get("protection") == "none" or predictions.divided_subjects:
        found.append(IMAGE_LEVEL)
    if not predictions.subjects_known:
        found.append(SUBJECTS_UNKNOWN)
    if predictions.divided_subjects:
        found.append(f"{predictions.divided_subjects} subject(s) were tested in several folds")
    elif predictions.subjects_known and predictions.divided_groups and not run.split:
        found.append(f"{predictions.divided_groups} linked group(s) stand on both sides")
    if not run.split:
        found.append(SPLIT_UNRECORDED)
    copies = [note for note in run.notes if note.startswith(COPIES_LEAK)]
    first = [words for words in (IMAGE_LEVEL, SUBJECTS_UNKNOWN) if words in (*found, *run.notes)]
    return tuple(dict.fromkeys((*copies, *first, *run.notes, *found)))
