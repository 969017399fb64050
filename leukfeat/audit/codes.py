"""The kinds of findings there are: how bad each is, what it means and what to do. A table; the rest reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Severity = Literal["leak", "warning", "note"]

SEVERITIES: tuple[Severity, ...] = ("leak", "warning", "note")
"""From the one that stops a run to the one that is only told."""


@dataclass(frozen=True)
class Code:
    """A kind of finding.

    Attributes
    ----------
    severity : ``"leak"``, ``"warning"`` or ``"note"``
        A leak makes test results optimistic and stops a run unless it is declared or allowed; a warning is a fault
        or a danger to be judged by a person; a note is a fact that a reader has to know.
    meaning : str
        What it means, in a sentence.
    action : str
        What to do about it.
    """

    severity: Severity
    meaning: str
    action: str


_CODES: dict[str, Code] = {
    # ---------------------------------------------------------------- the data set
    "identical-images": Code(
        "note",
        "images stand in the data set more than once",
        "nothing, where a split keeps linked groups whole; else keep one of each",
    ),
    "identical-across-labels": Code(
        "warning",
        "the same pixels stand under different labels",
        "look at the contact sheet; correct or remove the wrong ones",
    ),
    "near-duplicates": Code(
        "note",
        "images show the same cell or field again: turned, mirrored, encoded anew, or with another crop",
        "look at the contact sheet; 'leukfeat audit --write-groups FILE' keeps them together under '--split grouped'",
    ),
    "near-duplicate-across-labels": Code(
        "warning",
        "images of the same cell or field stand under different labels",
        "look at the contact sheet; correct or remove the wrong ones",
    ),
    "near-duplicate-across-subjects": Code(
        "warning",
        "images of the same cell or field stand under different subject ids",
        "ask who made the ids; 'leukfeat audit --write-groups FILE' keeps such subjects together",
    ),
    "linked-subjects": Code(
        "note",
        "different subject ids share identical images: probably one person",
        "nothing, where a split keeps linked groups whole; say in the paper how many there are",
    ),
    "subjects-unknown": Code(
        "warning",
        "nobody knows whose cells these are: images of one patient may be on both sides of every split",
        "ask the publisher for subject ids; until then split by field ('leukfeat audit --write-groups FILE')",
    ),
    "unread-images": Code(
        "warning",
        "images without checksum, or that cannot be read: copies among them cannot be found",
        "restore the files, or take their rows out of the manifest",
    ),
    "one-class-subjects": Code(
        "note",
        "every subject has cells of one class only: to know the subject is to know the label",
        "keep whole subjects on one side, and compute intervals over subjects, as leukfeat does",
    ),
    "mixed-class-subjects": Code(
        "note",
        "some subjects have cells of several classes",
        "nothing, if that is so in your data; else correct labels or subject ids",
    ),
    "site-confounded": Code(
        "warning",
        "every recording site has one class only: to know the site is to know the label",
        "do not compare classes across sites without images of both from each",
    ),
    # ---------------------------------------------------------------- the split
    "image-across-folds": Code(
        "leak",
        "a sample stands in training and in test of one fold",
        "make the split anew; no sample may be trained on and tested",
    ),
    "identical-across-folds": Code(
        "leak",
        "byte-identical images stand in training and in test of one fold",
        "use '--split grouped', which keeps identical images together",
    ),
    "near-duplicate-across-folds": Code(
        "leak",
        "images of the same cell or field stand in training and in test of one fold",
        "make groups with 'leukfeat audit --write-groups FILE', and use FILE with '--split grouped'",
    ),
    "copy-across-folds": Code(
        "leak",
        "an augmented copy of a tested image stands in training",
        "split first and augment afterwards, as leukfeat does while it trains",
    ),
    "subject-across-folds": Code(
        "leak",
        "a subject stands in training and in test of one fold",
        "use '--split grouped'",
    ),
    "linked-across-folds": Code(
        "leak",
        "subject ids that share identical images stand in training and in test of one fold",
        "use '--split grouped', which keeps linked subjects together",
    ),
    "tuning-leak": Code(
        "leak",
        "what is judged while tuning or stopping shares images or subjects with what is trained on, or with the test",
        "give validation and inner folds subjects of their own",
    ),
    "finetune-leak": Code(
        "leak",
        "an encoder was trained on images or subjects that it is tested on",
        "use an encoder trained on this fold's training part only, or a public one",
    ),
    "class-absent": Code(
        "warning",
        "a class is absent from the test part of a fold: its recall, and AUROC, are undefined there",
        "use fewer folds, or get more subjects of that class",
    ),
    # ---------------------------------------------------------------- shortcuts
    "shortcut-size": Code(
        "warning",
        "the size of the cell alone predicts the label",
        "report the baseline beside every network, and its AUROC among cells of equal size",
    ),
    "shortcut-silhouette": Code(
        "warning",
        "the outline of the cell alone predicts the label",
        "report the baseline beside every network",
    ),
    "shortcut-colour": Code(
        "warning",
        "the mean colour alone predicts the label",
        "normalise stain inside the training part, or vary colour in training; report the baseline",
    ),
    "shortcut-background": Code(
        "warning",
        "what is not the cell predicts the label",
        "segment the cells, or crop to them; report the baseline",
    ),
    "shortcut-corner": Code(
        "warning",
        "the corners of the image, where scale bars stand, predict the label",
        "paint the bar out or crop it away; report the baseline",
    ),
    "shortcut-file": Code(
        "warning",
        "the size or format of the file alone predicts the label",
        "encode all images alike; report the baseline",
    ),
    "area-matched": Code(
        "note",
        "AUROC among cells of equal area",
        "report it beside the plain AUROC",
    ),
    "subject-probe": Code(
        "warning",
        "the embedding tells which subject a cell is from",
        "trust only splits that keep whole subjects on one side",
    ),
    "site-probe": Code(
        "warning",
        "the embedding tells where an image was recorded",
        "test on a site that training has not seen",
    ),
    "training-unknown": Code(
        "warning",
        "predictions do not tell what their model was trained on",
        "give the run folder, or a fold column that names the test part of each model",
    ),
    "shortcuts-unmeasured": Code(
        "note",
        "a shortcut baseline could not be computed",
        "see the reason",
    ),
}

CODES: Mapping[str, Code] = MappingProxyType(_CODES)
"""Every code there is, in the order in which findings are told within a severity."""
