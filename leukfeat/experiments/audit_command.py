"""One audit of a data set, and of what was made with it: the work behind ``leukfeat audit``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from leukfeat.audit.field_groups import with_field_groups
from leukfeat.audit.findings import Finding
from leukfeat.audit.leakage import exposure_findings
from leukfeat.data.manifest import Manifest
from leukfeat.data.splits import SplitPlan
from leukfeat.errors import SplitError, UsageError
from leukfeat.experiments.audited_runs import run_findings
from leukfeat.experiments.auditing import MEASUREMENTS_CSV, Audit, audit_basic, audit_full
from leukfeat.experiments.recipe import Recipe
from leukfeat.experiments.sections import SplitSection
from leukfeat.experiments.stages import Watcher, make_split, open_data


@dataclass(frozen=True)
class Asked:
    """What an audit shall look at besides a data set and its split.

    Attributes
    ----------
    run, features, weights : Path or None
        A run folder or predictions file; features with ids; weights that leukfeat has trained.
    full : bool
        Whether images are looked at.
    needs_groups : bool
        Whether groups of near-duplicates are wanted, which only a full audit finds.
    """

    run: Path | None = None
    features: Path | None = None
    weights: Path | None = None
    full: bool = True
    needs_groups: bool = False


@dataclass(frozen=True)
class AuditedData:
    """An audit with the data set, and perhaps the run, that it is about."""

    manifest: Manifest
    audit: Audit
    run: Path | None = None

    def save(self, folder: Path, groups: Path | None) -> list[Path]:
        """Write ``audit.json``, contact sheets and, where a file is named for it, the manifest with field groups.

        An audited run folder gets what was measured of its images, for its report.
        """
        written = self.audit.save(folder, self.manifest)
        if self.run is not None and self.run.is_dir() and self.audit.shortcuts is not None:
            written.append(self.audit.shortcuts.measurements.save(self.run / MEASUREMENTS_CSV))
        if groups is not None and self.audit.duplicates is not None:
            written.append(with_field_groups(self.audit.duplicates).save(groups))
        return written


def audit_data(recipe: Recipe, asked: Asked, watcher: Watcher | None = None) -> AuditedData:
    """Audit the data and the split that a recipe means.

    Where the recipe leaves the split at its default and that cannot be made, because nobody knows the subjects or
    there are too few, the data alone is audited, or folds by image stand in for the shortcut baselines.

    Parameters
    ----------
    recipe : Recipe
        Its data, split and audit sections count.
    asked : Asked
        What else.
    watcher : Watcher or None
        What to tell on the way.

    Raises
    ------
    UsageError
        Groups are wanted of an audit that looks at no images.
    """
    if asked.needs_groups and not asked.full:
        raise UsageError("--write-groups needs the images; leave out --basic")
    watcher = watcher or Watcher()
    manifest = open_data(recipe, watcher)
    plan = _plan(manifest, recipe.split, watcher, needs_groups=asked.needs_groups)
    extra: list[Finding] = []
    if asked.weights is not None and plan is not None:
        from leukfeat.backbones.weights import read_header

        extra += exposure_findings(manifest, plan.folds, read_header(asked.weights).seen, str(asked.weights))
    allowed = recipe.audit.allow
    if not asked.full:
        audit = audit_basic(manifest, plan, allowed)
        audit = replace(audit, findings=(*extra, *audit.findings))
        return AuditedData(manifest, _with_run(audit, manifest, asked.run), asked.run)
    embeddings = None if asked.features is None else _embeddings(manifest, asked.features)
    audit = audit_full(manifest, plan, allowed, embeddings=embeddings, extra=extra, progress=watcher.auditing)
    return AuditedData(manifest, _with_run(audit, manifest, asked.run), asked.run)


def _with_run(audit: Audit, manifest: Manifest, run: Path | None) -> Audit:
    """An audit of the data with what is wrong with a run on them."""
    if run is None:
        return audit
    return replace(audit, findings=(*audit.findings, *run_findings(manifest, run, audit.duplicates)))


def _plan(manifest: Manifest, split: SplitSection, watcher: Watcher, *, needs_groups: bool) -> SplitPlan | None:
    """The split that is meant; by image, or none, where nothing was said and subjects do not allow one.

    The groups that a grouped split needs may be what is being written.
    """
    try:
        plan = make_split(manifest, split)
    except SplitError as error:
        without_groups = needs_groups and split.kind == "grouped" and not manifest.groups_known
        if split.model_fields_set - {"seed"} and not without_groups:
            raise
        try:
            plan = SplitPlan.per_image(manifest, split.folds, split.repeats, split.seed)
        except SplitError:
            watcher.told(f"no split is audited: {error}")
            return None
    for line in plan.describe():
        watcher.told(line)
    return plan


def _embeddings(manifest: Manifest, file: Path) -> NDArray[np.float32]:
    """A vector for each row, NaN where the file has none."""
    from leukfeat.features.exchange import read_features

    features = read_features(file)
    rows = np.flatnonzero(features.rows_for(manifest) >= 0)
    vectors = features.X_for(manifest, rows)
    whole = np.full((len(manifest), vectors.shape[1]), np.nan, dtype=np.float32)
    whole[rows] = vectors
    return whole
