"""The common look of plots: colors, legends, color bars, and text that stays as it is."""

from collections.abc import Mapping
from os import PathLike
from typing import Any

from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from aa_detectron.utils.files import replacing

TAB20 = colormaps["tab20"].colors  # Matplotlib's ten colors, each followed by a lighter one
GRAY = 14  # stands for values that are left out, never for a model
COLORS = [
    color
    for first in (0, 1)
    for place, color in enumerate(TAB20)
    if place % 2 == first and place not in (GRAY, GRAY + 1)
]


def color(number: int) -> tuple[float, float, float]:
    """RGB, 0 to 1, of a model or variant by its place; never gray. From 18 on, colors repeat."""
    return COLORS[number % len(COLORS)]


def printable(text: str) -> str:
    r"""The text in one line, with escapes such as ``\x1b`` for characters that do not print."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def literal(text: str) -> str:
    """A name as Matplotlib has to get it in order to draw exactly this name.

    Matplotlib takes the text between two dollar signs for a formula, and fails if it is none.

    Args:
        text: any name: of a model, a class, a variant, a file.
    """
    return printable(text).replace("$", r"\$")


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
    place = {"loc": "outside lower center", "ncols": columns, "fontsize": 8}
    figure.legend(list(artists.values()), list(map(literal, artists)), **place)


def save_figure(path: str | PathLike, figure: Figure) -> None:
    """Writes a figure as PNG.

    Raises:
        InputError: the file cannot be written.
    """
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")
