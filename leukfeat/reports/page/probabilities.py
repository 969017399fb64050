"""Probabilities and what is done with them: calibration, decisions, operating points."""

from __future__ import annotations

from functools import partial

from leukfeat.evaluation.calibration import Calibrated
from leukfeat.evaluation.decision import decision_curve
from leukfeat.evaluation.reliability import N_BINS, Of, Reliability, reliability
from leukfeat.reports.figures.curves import decision_drawing
from leukfeat.reports.figures.reliability import PANELS, reliability_drawing
from leukfeat.reports.page.material import Material
from leukfeat.reports.processes import of_each
from leukfeat.reports.sections import Section


def calibration(material: Material) -> Section | None:
    """Reliability diagrams before and after, and every statistic."""
    diagrams = {name: kinds for name, kinds in _diagrams(material).items() if "before" in kinds}
    table = material.tables.get("calibration")
    if not diagrams or table is None:
        return None
    one = next(iter(diagrams.values()))["before"]
    left_out = f" The best {PANELS} of {len(diagrams)} runs." if len(diagrams) > PANELS else ""
    method = material.inside.asked.calibration
    about = f"{one.title}. Bars: 95 % intervals over {material.units}. Below: cells in each bin.{left_out}"
    drawing = reliability_drawing(diagrams, method, about, material.notes)
    return Section("reliability", "Calibration", tables=(table,), drawings=(drawing,))


def _diagrams(material: Material) -> dict[str, dict[str, Reliability]]:
    """By run, ``"before"`` and ``"after"``, as far as they are defined."""
    shown = {(run.name, "before"): run.predictions for run in material.runs}
    after = material.inside.calibrations.items()
    shown |= {(name, "after"): one.predictions for name, one in after if isinstance(one, Calibrated)}
    of: Of = "positive" if material.positive else "top-label"
    draw = partial(reliability, of=of, n_bins=N_BINS, draws=material.by_cell.draws)
    found = of_each(draw, list(shown.values()), rows=sum(map(len, shown.values())))
    diagrams: dict[str, dict[str, Reliability]] = {}
    for (name, kind), one in zip(shown, found, strict=True):
        if not one.reason:
            diagrams.setdefault(name, {})[kind] = one
    return diagrams


def decisions(material: Material) -> Section | None:
    """Is acting on the model better than acting on all or on nobody?"""
    if material.positive is None:
        return None
    after = {run.name: material.inside.calibrations[run.name] for run in material.runs}
    rows = [
        one.predictions if isinstance(one, Calibrated) else run.predictions
        for run, one in zip(material.runs, after.values(), strict=True)
    ]
    curve_of = partial(decision_curve, draws=material.by_cell.draws, level=material.by_cell.how.level)
    found = zip(after, of_each(curve_of, rows, rows=sum(map(len, rows))), strict=True)
    curves = {name: curve for name, curve in found if not curve.reason}
    if not curves:
        return None
    words = tuple(f"{name}: {_useful(curve.useful)}." for name, curve in curves.items())
    shares = {f"{curve.prevalence:.0%}" for curve in curves.values()}
    calibrated = all(isinstance(one, Calibrated) for one in after.values())
    of = f"probabilities after {material.inside.asked.calibration}" if calibrated else "probabilities as predicted"
    about = (
        f"Net benefit is hits less false alarms weighted by the odds of the threshold (Vickers and Elkin 2006); {of},"
        f" where {', '.join(sorted(shares))} of cells are {material.positive}."
        f" Bands: pointwise {material.by_cell.how.percent} of the resamples of {material.units}."
    )
    drawing = decision_drawing(curves, about, material.positive, material.notes)
    return Section("decision", drawing.title, points=words, drawings=(drawing,))


def _useful(ranges: tuple[tuple[float, float], ...]) -> str:
    if not ranges:
        return "at no threshold better than acting on all cells and on none"
    told = " and ".join(f"{low:.2f} to {high:.2f}" if high > low else f"{low:.2f}" for low, high in ranges)
    return f"better than acting on all cells and on none at thresholds {told}"


def operating(material: Material) -> Section | None:
    """What the chosen thresholds reach outside, or why there are none."""
    names = ("operating-points", "predictive-values")
    tables = tuple(material.tables[name] for name in names if name in material.tables)
    if not tables:
        return None
    reached = any(table.rows for table in tables)
    return Section("operating" if reached else "no-operating-point", "Operating points", tables=tables)
