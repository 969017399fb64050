"""Audits around a run: what always runs before any work, what runs when asked, and what a run keeps of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from leukfeat.audit.codes import CODES
from leukfeat.audit.data_set import duplicate_findings, manifest_findings
from leukfeat.audit.findings import Finding, check_codes, in_order, refuse
from leukfeat.audit.leakage import split_findings
from leukfeat.data.manifest import Manifest
from leukfeat.data.splits import SplitPlan
from leukfeat.errors import LeakageError, SplitError
from leukfeat.textfiles import write_text

if TYPE_CHECKING:
    from leukfeat.audit.duplicates import Duplicates
    from leukfeat.audit.shortcuts import ShortcutReport

Level = Literal["basic", "full", "none"]
Progress = Callable[[str, int, int], None]

AUDIT_JSON = "audit.json"
MEASUREMENTS_CSV = "measurements.csv"
NOT_AUDITED = "not audited: nobody checked for identical images, linked subjects, or subjects on both sides"

_KEPT = 5  # cases of a finding that a run file keeps; audit.json keeps all
_OF_NEAR_DUPLICATES = ("near-duplicate-across-folds", "near-duplicate-across-labels")


@dataclass(frozen=True, eq=False)
class Audit:
    """What an audit has found, and what was accepted.

    Attributes
    ----------
    dataset : str
        For messages.
    level : ``"basic"``, ``"full"`` or ``"none"``
        What was checked.
    findings : tuple of Finding
        Worst first.
    allowed : tuple of str
        Codes of leaks that the user accepts.
    duplicates : Duplicates or None
        What the search found, at level ``full``.
    shortcuts : ShortcutReport or None
        What the baselines scored, at level ``full`` and with a split.
    """

    dataset: str
    level: Level
    findings: tuple[Finding, ...] = ()
    allowed: tuple[str, ...] = ()
    duplicates: Duplicates | None = field(default=None, repr=False)
    shortcuts: ShortcutReport | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "allowed", check_codes(self.allowed))
        object.__setattr__(self, "findings", in_order(self.findings))

    @property
    def leaks(self) -> tuple[Finding, ...]:
        """Leaks that nothing declares and nobody allows."""
        return tuple(one for one in self.findings if one.stops and one.code not in self.allowed)

    @property
    def notes(self) -> tuple[str, ...]:
        """What must stand beside every number of a run: what was switched off, allowed, or found in images."""
        if self.level == "none":
            return (NOT_AUDITED,)
        allowed = [one for one in self.findings if one.stops and one.code in self.allowed]
        seen = [one for one in self.findings if one.code in _OF_NEAR_DUPLICATES and one not in allowed]
        return (
            *(f"leak allowed by --allow {one.code}: {one.words}" for one in allowed),
            *(f"{one.code}: {one.words}" for one in seen),
        )

    def refuse(self) -> None:
        """Stop where there is a leak that is neither declared nor allowed.

        Raises
        ------
        LeakageError
            One line: the code, what was found, an example, and how to go on.
        """
        refuse(self.findings, self.allowed, where=self.dataset)

    def record(self) -> dict[str, Any]:
        """What a run file keeps: the findings with a few cases each; JSON types."""
        found = []
        for one in self.findings:
            facts = one.to_dict()
            found.append({**facts, "evidence": facts["evidence"][:_KEPT], "cases": len(one.evidence)})
        return {"level": self.level, "allowed": list(self.allowed), "findings": found}

    def to_dict(self) -> dict[str, Any]:
        """Everything, with all evidence; JSON types."""
        facts: dict[str, Any] = {
            "dataset": self.dataset,
            "level": self.level,
            "allowed": list(self.allowed),
            "leaks": [one.code for one in self.leaks],
            "findings": [one.to_dict() for one in self.findings],
        }
        if self.shortcuts is not None:
            facts["shortcuts"] = [one.to_dict() for one in self.shortcuts.shortcuts.values()]
        return facts

    def lines(self) -> list[str]:
        """The findings for people: what, and below it what to do."""
        if not self.findings:
            return [f"audit ({self.level}): nothing found"]
        lines = [
            f"audit ({self.level}): {len(self.findings)} finding(s), {len(self.leaks)} of them leaks that stop a run"
        ]
        for one in self.findings:
            allowed = " (allowed)" if one.stops and one.code in self.allowed else ""
            lines.append(f"{one}{allowed}")
            if one.samples:
                lines.append(f"    e.g. {', '.join(one.samples[:3])}")
            if one.severity != "note":
                lines.append(f"    {one.action}")
        return lines

    def save(self, folder: Path | str, manifest: Manifest) -> list[Path]:
        """Write ``audit.json``, a contact sheet for every finding that names images, and what was measured.

        Sheets of an earlier audit in the folder are removed: what was mended must not look as if it were still there.
        """
        from leukfeat.audit.contact_sheets import remove_sheets, write_sheets

        remove_sheets(folder)
        with write_text(Path(folder) / AUDIT_JSON) as stream:
            json.dump(self.to_dict(), stream, indent=1, ensure_ascii=False)
        pictured = self.findings if has_images(manifest) else ()
        sheets = write_sheets(manifest, pictured, folder)
        measured = [] if self.shortcuts is None else [self.shortcuts.measurements.save(Path(folder) / MEASUREMENTS_CSV)]
        return [Path(folder) / AUDIT_JSON, *sheets, *measured]


def audit_basic(manifest: Manifest, plan: SplitPlan | None, allowed: Iterable[str] = ()) -> Audit:
    """Check hashes, links and folds; no image is read.

    Parameters
    ----------
    manifest : Manifest
        The data.
    plan : SplitPlan or None
        The folds; None checks the data alone.
    allowed : iterable of str
        Codes of leaks that are accepted.

    Returns
    -------
    Audit
        Not yet refused: see :meth:`Audit.refuse`.
    """
    found = [*manifest_findings(manifest), *_of_plan(manifest, plan, None)]
    return Audit(manifest.dataset, "basic", tuple(found), tuple(allowed))


def audit_full(
    manifest: Manifest,
    plan: SplitPlan | None,
    allowed: Iterable[str] = (),
    *,
    embeddings: NDArray[np.floating] | None = None,
    extra: Iterable[Finding] = (),
    progress: Progress | None = None,
) -> Audit:
    """Check everything: also near-duplicates, shortcut baselines, and what an embedding tells.

    Parameters
    ----------
    manifest, plan, allowed
        As in :func:`audit_basic`.
    embeddings : ndarray of shape (n, d) or None
        An embedding of each row of the manifest, NaN where there is none: they propose near-duplicates, and are asked
        whether they tell subject and site.
    extra : iterable of Finding
        What was found elsewhere, e.g. in a run.
    progress : callable(what, done, total) or None
        Called on the way.

    Returns
    -------
    Audit
        Not yet refused. Where no image is there, as with a list of checksums, it says so and checks the rest.
    """
    from leukfeat.audit.duplicates import find_duplicates

    found = [*extra, *manifest_findings(manifest)]
    if not has_images(manifest):
        words = f"no image of {len(manifest):,} is there: near-duplicates and shortcuts were not looked for"
        found += [Finding.of("unread-images", words), *_of_plan(manifest, plan, None)]
        return Audit(manifest.dataset, "full", tuple(found), tuple(allowed))
    duplicates = find_duplicates(manifest, embeddings=embeddings, progress=progress)
    found += [*duplicate_findings(duplicates), *_of_plan(manifest, plan, duplicates)]
    if embeddings is not None:
        found += _probed(manifest, embeddings, progress)
    shortcuts = None if plan is None else _shortcuts(manifest, plan, found, progress)
    return Audit(manifest.dataset, "full", tuple(found), tuple(allowed), duplicates, shortcuts)


def audit_as_told(
    manifest: Manifest, plan: SplitPlan, level: Level, allowed: Iterable[str], progress: Progress | None = None
) -> Audit:
    """Audit at a level, and stop where there is a leak that is neither declared nor allowed.

    Raises
    ------
    LeakageError
        There is one.
    """
    if level == "none":
        return Audit(manifest.dataset, "none", (), tuple(allowed))
    if level == "full":
        audit = audit_full(manifest, plan, allowed, progress=progress)
    else:
        audit = audit_basic(manifest, plan, allowed)
    audit.refuse()
    return audit


def has_images(manifest: Manifest) -> bool:
    """Whether any of the files is there; of a list of checksums none is."""
    return any(manifest.file(row).is_file() for row in range(len(manifest)))


def findings_of(record: Mapping[str, Any]) -> tuple[Finding, ...]:
    """The findings that a run kept; those with a code of another version are passed over."""
    return tuple(Finding.from_dict(facts) for facts in record.get("findings", ()) if facts.get("code") in CODES)


def _of_plan(manifest: Manifest, plan: SplitPlan | None, duplicates: Duplicates | None) -> tuple[Finding, ...]:
    if plan is None:
        return ()
    return split_findings(manifest, plan.folds, kind=plan.kind, protection=plan.protection, duplicates=duplicates)


def _probed(manifest: Manifest, embeddings: NDArray[np.floating], progress: Progress | None) -> list[Finding]:
    """Whether embeddings tell subject and site."""
    from leukfeat.audit.probes import probe_sites, probe_subjects

    rows = np.flatnonzero(np.isfinite(embeddings).all(axis=1))
    found = []
    for done, probe in enumerate((probe_subjects, probe_sites), start=1):
        if progress is not None:
            progress("probes", done - 1, 2)
        found.append(probe(embeddings[rows], manifest, rows).finding())
        if progress is not None:
            progress("probes", done, 2)
    return [finding for finding in found if finding is not None]


def _shortcuts(
    manifest: Manifest, plan: SplitPlan, found: list[Finding], progress: Progress | None
) -> ShortcutReport | None:
    """The baselines on the folds of the plan; their findings are added to those found."""
    from leukfeat.audit.shortcuts import shortcut_suite

    try:
        report = shortcut_suite(manifest, plan, progress=progress)
    except (SplitError, LeakageError) as error:
        found.append(Finding.of("shortcuts-unmeasured", str(error)))
        return None
    found.extend(report.findings)
    return report
