"""What a model looked at, put in order: sheets of pictures, a table, and a few figures."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from leukfeat.experiments.explained import Looked
from leukfeat.experiments.predicted import PredictedTable

if TYPE_CHECKING:
    from leukfeat.explain.cell import Inside
    from leukfeat.explain.drawing import Panel

_COLUMNS = (
    "sample", "subject", "label", "predicted", "explained", "probability", "chosen", "seen_in_training", "network",
    "share_inside", "cell_share", "pointing",
)  # fmt: skip


@dataclass(frozen=True)
class Story:
    """Everything that was looked at, put in order for drawing and counting."""

    told: PredictedTable
    places: list[int]
    classes: list[str]
    chosen: Mapping[str, list[int]]
    looked: list[Looked]
    said: list[PredictedTable]  # for each of ``looked``, what its model predicts for the images of ``places``
    seed: int
    count: int
    layer: str | None
    class_name: str | None

    def draw(self, folder: Path) -> list[Path]:
        """Sheets, then every image on its own."""
        from leukfeat.explain.drawing import sheet, side_by_side

        files = []
        across = side_by_side(self.count) if len(self.looked) == 1 else 1
        for kind, some in self.chosen.items():
            panels = [self._panels(self.places.index(place)) for place in some]
            starts = range(0, len(panels), across)
            rows = [[*itertools.chain(*panels[start : start + across])] for start in starts]
            files += sheet(rows, self._heading(kind, len(some)), folder / f"{kind}.png", folder / f"{kind}.pdf")
        for number, place in enumerate(self.places):
            file = folder / "images" / f"{number:03d}-{self.slug(number)}.png"
            files += sheet([self._panels(number)], str(self.told.sample[place]), file)
        return files

    def slug(self, number: int) -> str:
        """A file name's worth of the sample's."""
        return re.sub(r"[^\w.]+", "-", str(self.told.sample[self.places[number]])).strip("-.")[-60:]

    def _heading(self, kind: str, shown: int) -> str:
        n = len(self.told)
        how = (
            f"{shown} of {n:,} images, drawn by chance (seed {self.seed})"
            if kind == "random"
            else f"the {shown} labelled images with the largest loss of {int((self.told.y_true != '').sum()):,}"
        )
        if seen := int(self.told.seen.sum()):
            how += f", {seen:,} of which took part in training this model"
        where = "last map" if self.layer is None else f"layer {self.layer}"
        what = f"for {self.class_name}" if self.class_name else "for the predicted class"
        methods = "; ".join(dict.fromkeys(each.method for each in self.looked))
        return f"{how}; {where}, {what}; {methods}. Each map is scaled to its own maximum."

    def _panels(self, number: int) -> list[Panel]:
        from leukfeat.explain.drawing import Panel, overlay

        place = self.places[number]
        label, subject = str(self.told.y_true[place]), str(self.told.subject[place])
        known = " ".join(filter(None, (label and f"is {label}", subject and f"of {subject}")))
        p = float(self.told.proba[place].max())
        first = f"{self._name(place)}\n{known or 'label unknown'}, said {self.told.y_pred[place]} {p:.2f}"
        panels = [Panel(self.looked[0].images[number], first)]
        for each, said in zip(self.looked, self.said, strict=True):
            found = self._inside(each, number)
            share = "" if found is None or found.share is None else f", {found.share:.0%} in cell ({found.cell:.0%})"
            title = f"{each.name[:34]}\nfor {self.classes[number]}{share}"
            if len({id(one) for one in self.said}) > 1:  # two models: each with its own answer
                title += f"\nsaid {said.y_pred[number]} {float(said.proba[number].max()):.2f}"
            panels.append(Panel(overlay(each.images[number], each.maps[number]), title))
        return panels

    def _name(self, place: int) -> str:
        name = str(self.told.sample[place]).rpartition("/")[2]
        return name if len(name) <= 28 else f"…{name[-27:]}"

    def _inside(self, each: Looked, number: int) -> Inside | None:
        from leukfeat.data.foreground import cell_mask
        from leukfeat.explain.cell import inside

        mask = cell_mask(each.images[number])
        return None if mask is None else inside(each.maps[number], mask)

    def table(self) -> list[list[object]]:
        """A header, and a row for every image and network."""
        rows: list[list[object]] = [[*_COLUMNS]]
        for number, place in enumerate(self.places):
            kinds = "+".join(kind for kind, some in self.chosen.items() if place in some)
            name = self.classes[number]
            for each, said in zip(self.looked, self.said, strict=True):
                p = float(said.proba[number, said.classes.index(name)]) if name in said.classes else None
                found = self._inside(each, number)
                pointing = None if found is None or found.pointing is None else int(found.pointing)
                measured = (None, None) if found is None else (found.share, found.cell)
                rows.append(
                    [
                        self.told.sample[place], self.told.subject[place], self.told.y_true[place],
                        said.y_pred[number], name, p, kinds, int(said.seen[number]), each.name, *measured, pointing,
                    ]
                )  # fmt: skip
        return rows

    def figures(self) -> list[dict[str, Any]]:
        """Of each network, over the images that were drawn by chance: the worst are not typical."""
        figures = []
        for each in self.looked:
            drawn = [self._inside(each, self.places.index(place)) for place in self.chosen["random"]]
            found = [one for one in drawn if one is not None and one.share is not None]
            figures.append(
                {
                    "name": each.name,
                    "method": each.method,
                    "n": len(found),
                    "mean_share_inside": mean_of([one.share for one in found]),
                    "median_share_inside": float(np.median([one.share for one in found])) if found else None,
                    "mean_cell_share": mean_of([one.cell for one in found]),
                    "pointing_game": mean_of([float(bool(one.pointing)) for one in found]),
                }
            )
        return figures

    def lines(self) -> list[str]:
        """What the figures come to."""
        told = []
        for one in self.figures():
            if one["n"]:
                told.append(
                    f"{one['name']}: {one['mean_share_inside']:.0%} of the map inside the cell (the cell is"
                    f" {one['mean_cell_share']:.0%} of the image), maximum inside in {one['pointing_game']:.0%};"
                    f" {one['n']} images drawn by chance"
                )
            else:
                told.append(f"{one['name']}: no cell on black, so nothing is said about what is inside it")
        return told


def mean_of(values: Sequence[float | None]) -> float | None:
    """The mean of what is known; None of nothing."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
