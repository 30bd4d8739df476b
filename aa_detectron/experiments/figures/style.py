"""The common look of plots: colors, legends, color bars, and literal text."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import color_sequences
from matplotlib.artist import Artist
from matplotlib.cm import ScalarMappable
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from aa_detectron.utils.files import replacing

TAB20 = [
    to_rgb(shade) for shade in color_sequences["tab20"]
]  # Matplotlib's ten colors, each followed by a lighter one
GRAY = 14  # for omitted values, never for a model
COLORS = [
    color
    for first in (0, 1)
    for place, color in enumerate(TAB20)
    if place % 2 == first and place not in (GRAY, GRAY + 1)
]


def color(number: int) -> tuple[float, float, float]:
    """RGB, 0 to 1, for a model or variant by its number; never gray. From 18 on, colors repeat."""
    return COLORS[number % len(COLORS)]


def printable(text: str) -> str:
    r"""The text in one line, with escapes such as ``\x1b`` for characters that do not print."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def literal(text: str) -> str:
    """A name with escapes, so that Matplotlib draws exactly this name.

    Matplotlib parses the text between two dollar signs as a formula, and fails if it is not one.

    Args:
        text: name of a model, class, variant or file.
    """
    return printable(text).replace("$", r"\$")


def class_name(label: int, names: Sequence[str] | None) -> str:
    """Name of a class; its number if there are no names, or fewer than the model's classes."""
    return str(names[label]) if names and label < len(names) else str(label)


def add_bar(
    figure: Figure,
    shown: ScalarMappable,
    label: str = "",
    orientation: str = "horizontal",
    **place: Any,
) -> None:
    """Adds a color bar.

    Args:
        figure: the figure of the bar.
        shown: the return value of ``imshow``.
        label: text beside the bar.
        orientation: "horizontal" or "vertical".
        place: ``cax``, or ``ax`` and other arguments of ``Figure.colorbar``.
    """
    bar = figure.colorbar(shown, orientation=orientation, **place)
    bar.locator = MaxNLocator(3, prune="both" if orientation == "horizontal" else None)
    bar.ax.tick_params(labelsize=7)
    bar.set_label(label, size=8)


def add_legend(figure: Figure, artists: Mapping[str, Artist]) -> None:
    """Adds one legend for all panels, below them.

    Args:
        figure: the figure of the legend.
        artists: one artist for each name. Names are drawn literally; Matplotlib's own collection of
            labels would leave out names that start with an underscore.
    """
    widest = 0.5 + 0.07 * max(map(len, artists), default=0)  # inches, approximately
    columns = max(1, int(figure.get_figwidth() / widest))
    handles, labels = list(artists.values()), list(map(literal, artists))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=8)


def save_figure(path: str | PathLike, figure: Figure) -> None:
    """Writes a figure as SVG or PDF by the suffix of its file, otherwise as PNG.

    Raises:
        InputError: the file cannot be written.
    """
    suffix = Path(path).suffix.lower().removeprefix(".")
    kind = suffix if suffix in ("svg", "pdf") else "png"
    # Without a date, an SVG has the same bytes every time.
    options: dict[str, Any] = {"metadata": {"Date": None}} if kind == "svg" else {}
    with matplotlib.rc_context({"svg.hashsalt": Path(path).name}), replacing(path) as temporary:
        figure.savefig(temporary, format=kind, **options)
