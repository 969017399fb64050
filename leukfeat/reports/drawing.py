"""How every figure of a report looks, and how it becomes SVG and PDF with its numbers beside it."""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from unicodedata import east_asian_width

from leukfeat.reports.contents import Note
from leukfeat.reports.sections import Drawing, Form
from leukfeat.reports.table import Table
from leukfeat.textfiles import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito, "Color universal design" (2008), without the yellow, which is hard to see on white
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
INK, GREY, PALE = "#1a1a1a", "#8a8a8a", "#e4e4e4"

_FOOTER_SIZE, _FOOTER_LINE, _FOOTER_SIGNS = 6.5, 0.125, 19  # points, inches a line, signs an inch
_MISSING_GLYPH = r"Glyph .* missing from"

_STYLE: Mapping[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "leukfeat",  # the same figure twice is the same file
    "pdf.fonttype": 3,  # 15 times as fast to write as 42; whoever needs fonts as such has the SVG
    "text.parse_math": False,  # names may hold dollar signs
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "legend.frameon": False,
}


@contextmanager
def styled() -> Iterator[None]:
    """The look of all figures; for making and for writing them."""
    from matplotlib import rc_context, rcdefaults, rcParams

    with rc_context(), warnings.catch_warnings():
        rcdefaults()  # whatever the caller likes, and in whatever process this is, a report looks alike
        rcParams.update(_STYLE)
        # the text of the SVG stays text, and the font that shows it is the reader's
        warnings.filterwarnings("ignore", _MISSING_GLYPH, UserWarning)
        yield


def drawn(
    name: str, title: str, caption: str, make: Callable[[], Figure], table: Table, notes: Sequence[Note] = ()
) -> Drawing:
    """A drawing of a figure.

    Parameters
    ----------
    name, title, caption, table
        Of the :class:`~leukfeat.reports.sections.Drawing`.
    make : callable
        Makes the figure; called in the style of all figures, when the drawing is asked for.
    notes : sequence of Note
        What stands in small print below the drawing, so that it stays with a figure that leaves its page.
    """
    return Drawing(name, title, caption, table, _Plot(make, tuple(notes)))


@dataclass(frozen=True, eq=False)
class _Plot:
    """A figure, made once for all forms."""

    make: Callable[[], Figure]
    notes: tuple[Note, ...]

    @cached_property
    def made(self) -> tuple[Figure, Any]:
        """The figure with its footer, and its paper."""
        figure = self.make()
        return figure, _with_footer(figure, self.notes)

    def __call__(self, form: Form) -> bytes:
        with styled():
            return _written(*self.made, form)


def svg_of(figure: Figure, notes: Sequence[Note] = ()) -> str:
    """A figure that was made in the style of all figures, as SVG."""
    return _written(figure, _with_footer(figure, notes), "svg").decode()


def line_style(number: int) -> dict[str, Any]:
    """Colour and dashes of the line of a run; 28 are different."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        # stepping by two more after each round of colours keeps every pair different for 28 runs
        "linestyle": DASHES[(number + 2 * (number // len(COLOURS))) % len(DASHES)],
    }


def marker_style(number: int) -> dict[str, Any]:
    """Colour and marker of the dots of a run."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": MARKERS[(number + number // len(COLOURS)) % len(MARKERS)],
    }


def with_legend(width: float, height: float, left: float, entries: int, top: float = 0.15) -> tuple[Figure, Axes]:
    """A figure with a drawing area of ``width`` × ``height`` inches and room for a legend of one column below it.

    The room is counted, not found by a layout engine: engines give up on names that are longer than the drawing.
    """
    from matplotlib.figure import Figure

    right, below = 0.25, 0.62 + 0.21 * entries + 0.12 * (entries > 0)
    whole = (left + width + right, top + height + below)
    figure = Figure(figsize=whole)
    axes = figure.add_axes((left / whole[0], below / whole[1], width / whole[0], height / whole[1]))
    return figure, axes


def put_legend(figure: Figure, axes: Axes, title: str | None = None) -> None:
    """The legend below the drawing area of :func:`with_legend`."""
    handles, labels = axes.get_legend_handles_labels()
    place, height = axes.get_position(), figure.get_size_inches()[1]
    figure.legend(
        handles,
        labels,
        title=title,
        alignment="left",
        title_fontproperties={"weight": "bold"},
        handlelength=3.2,
        loc="upper left",
        bbox_to_anchor=(0.12 / figure.get_size_inches()[0], place.y0 - 0.6 / height),
        borderaxespad=0,
        borderpad=0,
    )


def cut(name: str, length: int) -> str:
    """A name of bounded length; names of runs differ at both ends, so the middle goes."""
    name = printable(name)
    if len(name) <= length:
        return name
    head = (length - 1) // 2
    return f"{name[:head]}…{name[-(length - 1 - head) :]}"


def wrapped(name: str, width: int) -> str:
    """A name in lines of a width, three at most."""
    return "\n".join(textwrap.wrap(cut(name, 3 * width - 6), width)) or name


def _footer(notes: Sequence[Note], width: float) -> list[str]:
    """The notes as lines of a footer ``width`` inches wide; of many runs a note names the first and the number."""
    told = []
    for note in notes:
        others = f" and {len(note.runs) - 1} more" if len(note.runs) > 1 else ""
        told.append(f"{note.words} ({cut(note.runs[0], 52)}{others})" if note.runs else note.words)
    # East Asian signs are twice as wide, so for the count of signs each is followed by a blank of its own
    text = "".join(sign + "\0" * (east_asian_width(sign) in "WF") for sign in printable("; ".join(told)))
    return [line.replace("\0", "") for line in textwrap.wrap(text, int(_FOOTER_SIGNS * width))]


def _with_footer(figure: Figure, notes: Sequence[Note]) -> Any:
    """Write the notes below a figure; the drawing keeps its size, the paper that is returned grows."""
    from matplotlib.transforms import Bbox

    engine = figure.get_layout_engine()
    if engine is not None:  # once, not anew in every format
        engine.execute(figure)
        figure.set_layout_engine(None)
    width, height = figure.get_size_inches()
    margin = 0.1
    lines = _footer(notes, width - 2 * margin)
    below = len(lines) * _FOOTER_LINE + margin if lines else 0.0
    for number, line in enumerate(lines, start=1):
        place = (margin / width, -number * _FOOTER_LINE / height)
        figure.text(*place, line, size=_FOOTER_SIZE, color=INK, in_layout=False)
    return Bbox.from_extents(0, -below, width, height)


def _written(figure: Figure, paper: Any, form: Form) -> bytes:
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    canvas = {"svg": FigureCanvasSVG, "pdf": FigureCanvasPdf}[form](figure)
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}[form]
    stream = io.BytesIO()
    canvas.print_figure(stream, format=form, bbox_inches=paper, metadata=undated)
    return stream.getvalue()
