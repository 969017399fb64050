"""Who is trained on and who is tested: splits that keep subjects whole, and say so when they do not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from leukfeat.data import drawn, shipped
from leukfeat.data.copies import leak_of_copies
from leukfeat.data.crossing import crossing_links, crossing_owners, shared_with_test
from leukfeat.data.description import cautions
from leukfeat.data.folds import Fold
from leukfeat.data.manifest import Manifest
from leukfeat.data.splitfiles import fold_columns, read_folds, write_folds
from leukfeat.data.words import IMAGE_LEVEL, protection_in_words
from leukfeat.errors import SplitError

__all__ = ["Fold", "Protection", "SplitPlan"]

Protection = Literal["linked-subject", "subject", "none"]


@dataclass(frozen=True, eq=False)
class SplitPlan:
    """A list of folds over the samples of a manifest.

    Attributes
    ----------
    manifest : Manifest
        What is split.
    folds : tuple of Fold
        In order of repeat and number.
    kind : str
        How it was made: ``grouped``, ``subject``, ``official``, ``holdout``, ``reserved``, ``fixed-test``,
        ``per-image`` or ``file``.
    protection : ``"linked-subject"``, ``"subject"`` or ``"none"``
        What never stands on two sides of a fold.
    notes : tuple of str
        What a reader of any result has to know about this split. Where augmented copies cross, that comes first,
        whoever made the folds.

    Raises
    ------
    SplitError
        A fold's parts overlap, a training part lacks a class, a row has no label, or the parts share a group that
        ``protection`` promises to keep whole.
    """

    manifest: Manifest
    folds: tuple[Fold, ...]
    kind: str
    protection: Protection
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.folds:
            raise SplitError(f"{self.kind} split of {self.manifest.dataset}: no folds")
        code_of = {name: code for code, name in enumerate(("", *self.manifest.classes))}
        code = np.array([code_of[name] for name in self.manifest.label])
        owner = {"linked-subject": self.manifest.group, "subject": self.manifest.subject, "none": None}[self.protection]
        tested: set[tuple[int, int]] = set()
        for fold in self.folds:
            where = f"{self.kind} split of {self.manifest.dataset}, repeat {fold.repeat} fold {fold.number}"
            rows = np.concatenate([fold.train, fold.validation, fold.test])
            if len(np.unique(rows)) < len(rows):
                raise SplitError(f"{where}: a sample stands in two parts")
            if (unlabelled := rows[code[rows] == 0]).size:
                raise SplitError(f"{where}: sample {self.manifest.sample[unlabelled[0]]} has no label")
            if not len(fold.test):
                raise SplitError(f"{where}: the test part is empty")
            asked = {(fold.repeat, int(row)) for row in fold.test}
            if again := tested & asked:
                sample = self.manifest.sample[min(again)[1]]
                raise SplitError(f"{where}: sample {sample} is tested in another fold of the same repeat too")
            tested |= asked
            if (lacking := np.setdiff1d(code[rows], code[fold.train])).size:
                name = self.manifest.classes[lacking[0] - 1]
                raise SplitError(f"{where}: class {name!r} is absent from the training part")
            if owner is not None and (shared := sorted(crossing_owners([fold], owner))):
                raise SplitError(
                    f"{where}: {len(shared)} {self.protection} group(s) stand on two sides, e.g. {shared[0]!r};"
                    " a grouped split keeps them whole"
                )
        leak = leak_of_copies(self.manifest, self.folds)
        object.__setattr__(self, "notes", tuple(dict.fromkeys((*leak, *self.notes))))

    # ------------------------------------------------------------------ ways to make one

    @classmethod
    def grouped(cls, manifest: Manifest, n_folds: int = 5, n_repeats: int = 1, seed: int = 0) -> SplitPlan:
        """Cross-validation with whole linked subjects in every fold; each sample is tested once a repeat.

        Raises
        ------
        SplitError
            Subjects are unknown and nothing else groups the images, or a class has fewer groups than folds.
        """
        folds = drawn.cross_validation(manifest, n_folds, n_repeats, seed, whole="group")
        return cls(manifest, folds, "grouped", "linked-subject", cautions(manifest))

    @classmethod
    def by_subject(cls, manifest: Manifest, n_folds: int = 5, n_repeats: int = 1, seed: int = 0) -> SplitPlan:
        """Cross-validation with whole subjects, whatever their ids are linked to: only to measure what links do.

        Two ids under which the same image stands may be tested and trained on; the notes count the links that cross.
        The protection is what the folds really hold: where no link crosses, linked subjects are whole too.

        Raises
        ------
        SplitError
            Subjects are unknown, or a class has fewer of them than there are folds.
        """
        folds = drawn.cross_validation(manifest, n_folds, n_repeats, seed, whole="subject")
        return cls._shipped(manifest, folds, "subject", ())

    @classmethod
    def per_image(cls, manifest: Manifest, n_folds: int = 5, n_repeats: int = 1, seed: int = 0) -> SplitPlan:
        """Cross-validation that ignores subjects, as many papers do: only to reproduce them."""
        folds = drawn.cross_validation(manifest, n_folds, n_repeats, seed, whole="image")
        return cls(manifest, folds, "per-image", "none", (IMAGE_LEVEL, *cautions(manifest)))

    @classmethod
    def holdout(
        cls,
        manifest: Manifest,
        fractions: Sequence[float] = (0.6, 0.2, 0.2),
        n_repeats: int = 1,
        seed: int = 0,
        *,
        per_image: bool = False,
    ) -> SplitPlan:
        """One training, validation and test part a repeat, whole linked subjects in each.

        Parameters
        ----------
        fractions : three numbers
            Shares of train, validation and test, in any unit; validation may be 0.
        per_image : bool
            Ignore subjects (reproduction only).

        Raises
        ------
        SplitError
            A class has too few groups to stand in every part.
        """
        folds = drawn.holdout(manifest, fractions, n_repeats, seed, per_image=per_image)
        if per_image:
            return cls(manifest, folds, "holdout", "none", (IMAGE_LEVEL, *cautions(manifest)))
        return cls(manifest, folds, "holdout", "linked-subject", cautions(manifest))

    @classmethod
    def reserved(
        cls,
        manifest: Manifest,
        n_folds: int = 7,
        seed: int = 0,
        train: drawn.TrainsOn = "rest",
        validation: float = 0.2,
    ) -> SplitPlan:
        """Grouped folds of which the last is always the test part; every other one makes a fold of the plan.

        A sample of the test part is tested in every fold of the plan, so each is a repeat of its own, and results
        are means over the ``n_folds - 1`` models.

        Parameters
        ----------
        n_folds : int
            Folds that the linked subjects are dealt into, the reserved one included.
        seed : int
            Seeds the dealing.
        train : ``"rest"`` or ``"one"``
            ``"rest"``: fold k is the validation part, all others but the reserved one are the training part.
            ``"one"``: fold k alone is trained on.
        validation : float
            Share of the one fold's subjects that are its validation part; not used with ``"rest"``.

        Raises
        ------
        SplitError
            Subjects are unknown and nothing else groups the images, or a class has too few groups.

        References
        ----------
        Both readings of the seven-fold protocol of Ullah et al. on C-NMC, whose lists of folds are not published.
        """
        folds = drawn.reserved(manifest, n_folds, seed, train, validation)
        tested = folds[0].test
        groups = len({manifest.group[row] for row in tested})
        note = f"one test part of {len(tested)} images ({groups} groups) is used for all {len(folds)} folds"
        return cls(manifest, folds, "reserved", "linked-subject", (note, *cautions(manifest)))

    @classmethod
    def official(cls, manifest: Manifest) -> SplitPlan:
        """The folds, or the train and test parts, that the data set ships with.

        Linked subjects that cross the parts are noted, not refused: the split is what the literature used. Where a
        data set ships folds and further parts (C-NMC: ``prelim``), the folds are the split; see :meth:`fixed_test`.

        Raises
        ------
        SplitError
            The manifest has no official parts that make a split.
        """
        folds, notes = shipped.official(manifest)
        return cls._shipped(manifest, folds, "official", notes)

    @classmethod
    def fixed_test(
        cls,
        manifest: Manifest,
        test_part: str,
        validation: float = 0.0,
        validation_by: shipped.DividedBy = "subject",
        seed: int = 0,
    ) -> SplitPlan:
        """Test on one official part, e.g. C-NMC's ``prelim``, and train on all others not made for testing.

        Parameters
        ----------
        test_part : str
            The official part.
        validation : float
            Share of that part that becomes the validation part; 0 for none.
        validation_by : ``"subject"`` or ``"image"``
            What stays whole when it is divided. By image (reproduction only), validation and test share subjects, so
            that the plan protects nobody and says which parts share whom.
        seed : int
            Seeds that division.

        Raises
        ------
        SplitError
            No such part, or it cannot be divided as asked.
        """
        folds, notes = shipped.fixed_test(manifest, test_part, validation, validation_by, seed)
        return cls._shipped(manifest, folds, "fixed-test", notes)

    @classmethod
    def from_file(cls, manifest: Manifest, file: Path | str) -> SplitPlan:
        """Read a split: a CSV with ``sample`` and one column a fold (``fold_0`` …, or ``repeat_0_fold_0`` …).

        A cell is ``train``, ``val``, ``test`` or empty (not used). The protection is what the parts really hold.

        Raises
        ------
        SplitError
            Unknown samples, unknown words, or parts that overlap.
        """
        folds = read_folds(Path(file), manifest.sample, manifest.dataset)
        used = np.unique(np.concatenate([part for fold in folds for part in (fold.train, fold.validation, fold.test)]))
        unused = len(np.setdiff1d(manifest.labelled, used))
        return cls._shipped(
            manifest, folds, "file", (f"{unused} labelled images stand in no fold of the split file",) if unused else ()
        )

    @classmethod
    def _shipped(cls, manifest: Manifest, folds: tuple[Fold, ...], kind: str, notes: tuple[str, ...]) -> SplitPlan:
        """A plan whose folds may divide linked groups: its protection is found out, and what crosses is noted."""
        crossing = crossing_owners(folds, manifest.group)
        protection: Protection = "none"
        if manifest.groups_known:
            if not crossing:
                protection = "linked-subject"
            elif manifest.subjects_known and not crossing_owners(folds, manifest.subject):
                protection = "subject"
        if manifest.subjects_known and crossing:
            notes += (_what_crosses(manifest, folds, crossing),)
        if protection == "none":
            notes += (IMAGE_LEVEL,)
        return cls(manifest, folds, kind, protection, (*notes, *cautions(manifest)))

    # ------------------------------------------------------------------ use

    def split(
        self, X: object = None, y: object = None, groups: object = None
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """scikit-learn's splitter: yield (training rows with validation, test rows)."""
        for fold in self.folds:
            yield np.sort(np.concatenate([fold.train, fold.validation])), fold.test

    def get_n_splits(self, X: object = None, y: object = None, groups: object = None) -> int:
        """scikit-learn's count of splits."""
        return len(self.folds)

    @cached_property
    def digest(self) -> str:
        """sha256 over the parts of every fold, by sample name."""
        seal = hashlib.sha256()
        for name, part in fold_columns(self.folds).items():
            seal.update(f"{name}\x1f".encode())
            cells = sorted(f"{self.manifest.sample[row]}\x1f{word}" for row, word in part.items())
            seal.update("\x1e".join(cells).encode())
        return seal.hexdigest()

    def save(self, file: Path | str) -> Path:
        """Write the split as :meth:`from_file` reads it."""
        return write_folds(Path(file), self.manifest.sample, self.folds)

    def describe(self) -> list[str]:
        """What was made, a line each."""
        repeats = len({fold.repeat for fold in self.folds})
        sizes = ", ".join(
            "/".join(str(len(part)) for part in (fold.train, fold.validation, fold.test) if len(part))
            for fold in self.folds[: len(self.folds) // repeats]
        )
        head = f"split: {self.kind}, {len(self.folds) // repeats} fold(s)"
        head += f" × {repeats} repeats" if repeats > 1 else ""
        kept = protection_in_words(self.protection, subjects_known=self.manifest.subjects_known)
        return [f"{head}; {kept}; rows {sizes}", *self.notes]


def _what_crosses(manifest: Manifest, folds: Sequence[Fold], crossing: set[str]) -> str:
    """Which groups, and between which parts; a validation part is learned from too, by whoever refits on it."""
    trained = {name for fold in folds for name in shared_with_test(fold, manifest.group)[0]}
    judged = {name for fold in folds for name in shared_with_test(fold, manifest.group)[1]}
    if judged and not trained:
        return (
            f"validation and test share {len(judged)} linked group(s), training and test none: a model that is refitted"
            " on the validation part, or chosen by it, has met test subjects"
        )
    links = [str(link) for link in crossing_links(folds, manifest.subject, manifest.links)]
    return f"{len(crossing)} linked group(s) stand on both sides" + (
        f"; links that cross: {', '.join(links)}" if links else ""
    )
