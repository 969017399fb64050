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

from leukfeat.data.crossing import crossing_links, crossing_owners
from leukfeat.data.description import cautions
from leukfeat.data.folds import Fold, grouped_folds, grouped_parts
from leukfeat.data.manifest import Manifest
from leukfeat.data.splitfiles import fold_columns, read_folds, write_folds
from leukfeat.data.words import IMAGE_LEVEL, protection_in_words
from leukfeat.errors import SplitError, UsageError

__all__ = ["Fold", "Protection", "SplitPlan"]

Protection = Literal["linked-subject", "subject", "none"]

_NO_ROWS = np.zeros(0, dtype=np.int64)


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
        How it was made: ``grouped``, ``official``, ``holdout``, ``fixed-test``, ``per-image`` or ``file``.
    protection : ``"linked-subject"``, ``"subject"`` or ``"none"``
        What never stands on two sides of a fold.
    notes : tuple of str
        What a reader of any result has to know about this split.

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

    # ------------------------------------------------------------------ ways to make one

    @classmethod
    def grouped(cls, manifest: Manifest, n_folds: int = 5, n_repeats: int = 1, seed: int = 0) -> SplitPlan:
        """Cross-validation with whole linked subjects in every fold; each sample is tested once a repeat.

        Raises
        ------
        SplitError
            Subjects are unknown and nothing else groups the images, or a class has fewer groups than folds.
        """
        _needs_groups(manifest, "grouped")
        return cls(
            manifest,
            tuple(_cross_validation(manifest, n_folds, n_repeats, seed, per_image=False)),
            "grouped",
            "linked-subject",
            cautions(manifest),
        )

    @classmethod
    def per_image(cls, manifest: Manifest, n_folds: int = 5, n_repeats: int = 1, seed: int = 0) -> SplitPlan:
        """Cross-validation that ignores subjects, as many papers do: only to reproduce them."""
        return cls(
            manifest,
            tuple(_cross_validation(manifest, n_folds, n_repeats, seed, per_image=True)),
            "per-image",
            "none",
            (IMAGE_LEVEL, *cautions(manifest)),
        )

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
        shares = np.asarray(fractions, dtype=float)
        if shares.shape != (3,) or not np.isfinite(shares).all() or (shares < 0).any() or not shares[0] * shares[2]:
            raise UsageError(
                f"--fractions {'/'.join(f'{f:g}' for f in fractions)}: give train/validation/test such as 60/20/20"
            )
        if not per_image:
            _needs_groups(manifest, "holdout")
        rows, label = _labelled(manifest)
        groups, unit = _groups_of(manifest, rows, per_image=per_image)
        folds = []
        for repeat, own_seed in _seeds(seed, n_repeats):
            try:
                part = grouped_parts(label, groups, shares.tolist(), own_seed, unit=unit)
            except SplitError as error:
                raise SplitError(f"{manifest.dataset}: {error}") from None
            folds.append(Fold(repeat, 0, rows[part == 0], rows[part == 1], rows[part == 2]))
        notes = cautions(manifest)
        return cls(
            manifest,
            tuple(folds),
            "holdout",
            "none" if per_image else "linked-subject",
            (IMAGE_LEVEL, *notes) if per_image else notes,
        )

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
        part = np.asarray(manifest.official)
        labelled = np.isin(np.arange(len(manifest)), manifest.labelled)
        names = sorted(set(part[labelled]) - {""})
        cv = [name for name in names if name.startswith("fold_")]
        if len(cv) >= 2:
            used = np.isin(part, cv) & labelled
            folds = tuple(
                Fold(0, number, _rows(used & (part != name)), _NO_ROWS, _rows(used & (part == name)))
                for number, name in enumerate(cv)
            )
            left_out = sorted(set(names) - set(cv))
            notes = (f"official folds; not used: {', '.join(left_out)}",) if left_out else ()
        elif "train" in names and (tests := [name for name in names if name.startswith("test")]):
            parts = ([name] for name in ("train", "val"))
            train, val, test = (_rows(labelled & np.isin(part, some)) for some in (*parts, tests))
            folds = (Fold(0, 0, train, val, test),)
            notes = (f"tested on the official parts {' and '.join(tests)} together",) if len(tests) > 1 else ()
        else:
            raise SplitError(
                f"{manifest.dataset}: no official split; parts found: {', '.join(names) or 'none'}."
                " Use --split grouped, or --split fixed-test --test-part NAME"
            )
        return cls._shipped(manifest, folds, "official", notes)

    @classmethod
    def fixed_test(cls, manifest: Manifest, test_part: str) -> SplitPlan:
        """Test on one official part, e.g. C-NMC's ``prelim``, and train on all others not made for testing."""
        part = np.asarray(manifest.official)
        labelled = np.isin(np.arange(len(manifest)), manifest.labelled)
        if not (labelled & (part == test_part)).any():
            parts = sorted(set(part[labelled]) - {""})
            raise SplitError(
                f"{manifest.dataset}: no labelled images in official part {test_part!r};"
                f" parts: {', '.join(parts) or 'none'}"
            )
        # other parts that were made for testing are not trained on
        train = labelled & (part != test_part) & ~np.char.startswith(part, "test")
        fold = Fold(0, 0, _rows(train), _NO_ROWS, _rows(labelled & (part == test_part)))
        return cls._shipped(manifest, (fold,), "fixed-test", (f"tested on the official part {test_part}",))

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
        """A plan whose folds come from outside: its protection is found out, and what crosses is noted."""
        crossing = crossing_owners(folds, manifest.group)
        protection: Protection = "none"
        if manifest.groups_known:
            if not crossing:
                protection = "linked-subject"
            elif manifest.subjects_known and not crossing_owners(folds, manifest.subject):
                protection = "subject"
        if manifest.subjects_known and crossing:
            links = [str(link) for link in crossing_links(folds, manifest.subject, manifest.links)]
            notes += (
                f"{len(crossing)} linked group(s) stand on both sides"
                + (f"; links that cross: {', '.join(links)}" if links else ""),
            )
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


def _cross_validation(
    manifest: Manifest, n_folds: int, n_repeats: int, seed: int, *, per_image: bool
) -> Iterator[Fold]:
    if n_folds < 2:
        raise UsageError(f"--folds {n_folds}: at least 2 are needed")
    rows, label = _labelled(manifest)
    groups, unit = _groups_of(manifest, rows, per_image=per_image)
    for repeat, own_seed in _seeds(seed, n_repeats):
        try:
            fold_of = grouped_folds(label, groups, n_folds, own_seed, unit=unit)
        except SplitError as error:
            raise SplitError(f"{manifest.dataset}: {error}") from None
        for number in range(n_folds):
            yield Fold(repeat, number, rows[fold_of != number], _NO_ROWS, rows[fold_of == number])


def _labelled(manifest: Manifest) -> tuple[NDArray[np.int64], NDArray[np.str_]]:
    """Rows with a label, and their labels, of at least two classes."""
    if len(manifest.classes) < 2:
        raise SplitError(
            f"{manifest.dataset}: only one class ({', '.join(manifest.classes) or 'none'}); two are needed"
        )
    return manifest.labelled, np.asarray(manifest.label)[manifest.labelled]


def _groups_of(manifest: Manifest, rows: NDArray[np.int64], *, per_image: bool) -> tuple[NDArray[np.str_] | None, str]:
    """What is kept whole, and what one of it is called."""
    if per_image:
        return None, "image"
    linked = "linked subject" if manifest.links else "subject"
    return np.asarray(manifest.group)[rows], linked if manifest.subjects_known else "group"


def _needs_groups(manifest: Manifest, kind: str) -> None:
    if not manifest.groups_known:
        raise SplitError(
            f"{manifest.dataset}: a {kind} split needs subjects, and they are unknown; give a column subject or group,"
            f" or use --split per-image and accept the words '{IMAGE_LEVEL}' in every output"
        )


def _rows(chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.flatnonzero(chosen).astype(np.int64)


def _seeds(seed: int, n_repeats: int) -> Iterator[tuple[int, int]]:
    """Every repeat and a seed of its own."""
    if n_repeats < 1:
        raise UsageError(f"--repeats {n_repeats}: at least 1 is needed")
    for repeat in range(n_repeats):
        yield repeat, int(np.random.SeedSequence([seed, repeat]).generate_state(1)[0])
