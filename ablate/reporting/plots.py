"""What all figures of a report share: one look, and the same bytes for the same data as SVG, PDF, PNG and CSV."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from ablate.reporting.numbers import plain_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 5.6  # inches of a figure: on a telephone its letters are still read
ALONE = 3.6  # of one with a single narrow panel
DPI = 200  # of a PNG
SCALE = 1.83  # pixels per point at which letters of 9 points are as large as the text of a page
INK, MUTED, GRID = "#1c1c1c", "#5f6368", "#e4e6e8"
# Okabe and Ito's colours, which colour-blind readers tell apart; every colour is backed by a shape or a word.
BLUE, VERMILION, GREEN, GREY, SKY, AMBER = "#0072b2", "#d55e00", "#007d5b", "#80868b", "#56b4e9", "#b97a00"
LOOKS = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "text.parse_math": False,
    "axes.formatter.useoffset": False,
    "svg.hashsalt": "ablate",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}
METADATA: dict[str, dict[str, None]] = {
    "svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
    "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
    "png": {"Software": None},
}
KINDS = tuple(METADATA)


@dataclass(frozen=True)
class Plot:
    """A figure that can be drawn, and what it shows in words and in numbers."""

    name: str  # of its files
    title: str
    alt: str  # what a reader who does not see it must know
    caption: str  # how to read it
    draw: Callable[[], Figure]
    columns: tuple[str, ...]
    data: tuple[tuple[Any, ...], ...]  # a row per thing that is drawn

    @cached_property
    def svg(self) -> bytes:
        """The figure as a file of its own, drawn once."""
        return render(self, ("svg",))["svg"]

    def csv(self) -> str:
        """The numbers of the figure; empty where there is none."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.columns)
        for row in self.data:
            writer.writerow(its if isinstance(its, str) else plain_number(its) for its in row)
        return out.getvalue()


@contextmanager
def looks() -> Iterator[None]:
    """The looks of all figures, whatever the user's own settings."""
    import matplotlib.style

    with matplotlib.style.context(["default", LOOKS]):
        yield


def sheet(width: float, height: float) -> Figure:
    """An empty figure of so many inches that makes room for its labels by itself."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def panels(
    count: int, columns: int, height: float, *, room: float = 0.0, share_x: bool = True, share_y: bool = True
) -> tuple[Figure, list[Axes]]:
    """A figure of `count` axes in rows of `columns`, each `height` inches high, and `room` inches beside them."""
    rows = -(-count // columns)
    figure = sheet(WIDTH if columns > 1 else ALONE, rows * height + room)
    axes = figure.subplots(rows, min(count, columns), squeeze=False, sharex=share_x, sharey=share_y)
    flat = list(axes.flat)
    for spare in flat[count:]:
        spare.remove()
    if share_x and count % columns and rows > 1:  # the axes above a gap carry the labels of their column
        for axis in flat[count - columns : (rows - 1) * columns]:
            axis.xaxis.set_tick_params(labelbottom=True)
    return figure, flat[:count]


def render(plot: Plot, kinds: Sequence[str] = KINDS) -> dict[str, bytes]:
    """The figure in each of these kinds: svg, pdf, png."""
    with looks():
        figure = plot.draw()
        return {kind: saved(figure, kind) for kind in kinds}


def saved(figure: Figure, kind: str) -> bytes:
    """A drawn figure without date, version or machine in it."""
    file = io.BytesIO()
    figure.savefig(file, format=kind, dpi=DPI, metadata=METADATA[kind])
    return file.getvalue()


def inline(plot: Plot) -> str:
    """The figure as an SVG element of a page: scales with its box, speaks to screen readers, ids of its own."""
    text = plot.svg.decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{plot.name}-\1"', text)
    text = re.sub(r'(xlink:href="|url\()#', rf"\1#{plot.name}-", text)
    width, height = (float(its) for its in re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)[0])
    head = (
        f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" xmlns="http://www.w3.org/2000/svg" '
        f'viewBox="0 0 {width:g} {height:g}" style="max-width: {SCALE * width:.0f}px" role="img" '
        f'aria-labelledby="{plot.name}-alt">'
        f'<title id="{plot.name}-alt">{html.escape(plot.alt)}</title>'
    )
    body = text[text.index(">") + 1 :]
    return (head + re.sub(r"\s*\n\s*", "\n", body)).strip()


def wrapped(name: str, letters: int, lines: int = 3) -> str:
    """A name in lines of so many letters; cut where it needs more lines."""
    found = wrap(name, letters, break_long_words=True) or [""]
    return "\n".join(found if len(found) <= lines else [*found[: lines - 1], found[lines - 1][: letters - 1] + "…"])
