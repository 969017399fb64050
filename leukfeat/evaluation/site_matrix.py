"""Trained at one site, tested at another: every pair of sites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from leukfeat.errors import ComparisonError
from leukfeat.evaluation.intervals import replicates
from leukfeat.evaluation.paired import Difference, difference
from leukfeat.evaluation.predictions import Predictions
from leukfeat.evaluation.resampling import Clusters
from leukfeat.evaluation.runs import Run
from leukfeat.evaluation.studies import Study
from leukfeat.evaluation.uncertainty import Estimate, Uncertainty


@dataclass(frozen=True)
class Site:
    """One data set of a matrix.

    Attributes
    ----------
    name, dataset : str
        As the recipe calls it, and as it calls itself.
    images : int
        Labelled ones.
    subjects : int or None
        None where nobody knows.
    classes : tuple of (str, int)
        Images of each class.
    on_black, near_black : float
        Share of images that are cells cut out on black, and mean share of nearly black pixels, of ``looked_at``
        images.
    looked_at : int
        Images whose background was looked at.
    """

    name: str
    dataset: str
    images: int
    subjects: int | None
    classes: tuple[tuple[str, int], ...]
    on_black: float
    near_black: float
    looked_at: int


@dataclass(frozen=True)
class SiteCell:
    """One training site and one test site.

    Attributes
    ----------
    trained_on, tested_on : str
        Names of sites; the same on the diagonal, where the site was cross-validated.
    run : str
        Folder of the run.
    measured : Estimate
        The metric.
    unit : str
        What was resampled.
    n_clusters : int
        How many of it.
    change : Difference or None
        This cell less the diagonal cell of the same test site, on the same images and resamples; None on the diagonal.
    notes : tuple of str
        Of the run.
    """

    trained_on: str
    tested_on: str
    run: str
    measured: Estimate
    unit: str
    n_clusters: int
    change: Difference | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class SiteMatrix(Study):
    """One candidate trained at every site and tested at every site.

    Attributes
    ----------
    candidate, metric : str
        What was measured.
    resampling : Uncertainty
        How intervals were made.
    sites : tuple of Site
        In the recipe's order.
    cells : tuple of SiteCell
        Row by row: all test sites of the first training site come first.
    warnings : tuple of str
        What makes the sites hard to compare.
    notes : tuple of str
        What must be said beside these numbers.
    """

    candidate: str
    metric: str
    resampling: Uncertainty
    sites: tuple[Site, ...]
    cells: tuple[SiteCell, ...]
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    kind: ClassVar[str] = "site matrix"
    file_name: ClassVar[str] = "site-matrix.json"

    def cell(self, trained_on: str, tested_on: str) -> SiteCell:
        """The cell of two sites.

        Raises
        ------
        KeyError
            No such sites.
        """
        for cell in self.cells:
            if (cell.trained_on, cell.tested_on) == (trained_on, tested_on):
                return cell
        raise KeyError((trained_on, tested_on))

    @classmethod
    def of(
        cls,
        sites: Sequence[Site],
        runs: Mapping[tuple[str, str], tuple[str, Run]],
        *,
        metric: str = "auroc",
        resampling: Uncertainty | None = None,
        warnings: Sequence[str] = (),
        notes: Sequence[str] = (),
    ) -> SiteMatrix:
        """Measure finished runs.

        Parameters
        ----------
        sites : sequence of Site
            In order.
        runs : mapping of (str, str) to (str, Run)
            By training and test site: folder of the run, and the run.
        metric : str
            What is measured.
        resampling : Uncertainty or None
            How intervals are made.
        warnings, notes : sequence of str
            See the class.

        Raises
        ------
        ComparisonError
            A pair of sites has no run, or a site's cross-validation tests images that others' models were not asked
            about.
        """
        how = resampling or Uncertainty()
        names = [site.name for site in sites]
        missing = [(one, other) for one in names for other in names if (one, other) not in runs]
        if missing:
            raise ComparisonError(f"site matrix: no run trained on {missing[0][0]} and tested on {missing[0][1]}")
        cells = {pair: cell for name in names for pair, cell in _column(name, names, runs, metric, how).items()}
        return cls(
            candidate=runs[names[0], names[0]][1].name,
            metric=metric,
            resampling=how,
            sites=tuple(sites),
            cells=tuple(cells[one, other] for one in names for other in names),
            warnings=tuple(warnings),
            notes=tuple(notes),
        )


def _column(
    tested_on: str,
    names: Sequence[str],
    runs: Mapping[tuple[str, str], tuple[str, Run]],
    metric: str,
    how: Uncertainty,
) -> dict[tuple[str, str], SiteCell]:
    """All cells of one test site, on the same resamples of its subjects."""
    own = runs[tested_on, tested_on][1].predictions
    rows = {name: _asked_as(own, runs[name, tested_on][1].predictions, name, tested_on) for name in names}
    clusters = Clusters.of(own)
    draws = how.draws(clusters)
    found = {name: replicates(predictions, [metric], draws=draws)[metric] for name, predictions in rows.items()}
    return {
        (name, tested_on): SiteCell(
            trained_on=name,
            tested_on=tested_on,
            run=runs[name, tested_on][0],
            measured=how.estimate(found[name]),
            unit=clusters.unit,
            n_clusters=len(clusters),
            change=None
            if name == tested_on
            else difference(
                found[name],
                found[tested_on],
                names=(f"{name} → {tested_on}", f"{tested_on} → {tested_on}"),
                metric=metric,
                method=how.method,
                level=how.level,
            ),
            notes=runs[name, tested_on][1].notes,
        )
        for name in names
    }


def _asked_as(own: Predictions, other: Predictions, trained_on: str, tested_on: str) -> Predictions:
    """Another model's probabilities for the rows of a site's own cross-validation, subjects as the site knows them."""
    if own is other:
        return own
    row_of = {sample: row for row, sample in enumerate(other.sample.tolist())}
    unasked = [sample for sample in own.sample.tolist() if sample not in row_of]
    if unasked or own.classes != other.classes:
        raise ComparisonError(
            f"site matrix: the model trained on {trained_on} was not asked about {len(unasked)} image(s) of"
            f" {tested_on}, or about other classes; run both again"
        )
    return replace(own, proba=other.proba[[row_of[sample] for sample in own.sample.tolist()]])
