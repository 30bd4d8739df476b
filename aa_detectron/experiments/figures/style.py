"""What plots and figures share."""

from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from aa_detectron.utils.files import replacing

TAB20 = colormaps["tab20"].colors  # matplotlib's ten colours, behind each a lighter one
GREY = 14  # stands for what is not shown, not for a model
COLOURS = [
    colour
    for first in (0, 1)
    for place, colour in enumerate(TAB20)
    if place % 2 == first and place not in (GREY, GREY + 1)
]


def add_bar(
    figure: Figure, shown, label: str = "", orientation: str = "horizontal", **place
) -> None:
    """A bar of the colours of an image.

    Args:
        figure: that it is added to.
        shown: what ``imshow`` returned.
        label: beside it.
        orientation: "horizontal" or "vertical".
        place: ``cax``, or ``ax`` and what else ``Figure.colorbar`` takes.
    """
    bar = figure.colorbar(shown, orientation=orientation, **place)
    bar.locator = MaxNLocator(3, prune="both" if orientation == "horizontal" else None)
    bar.ax.tick_params(labelsize=7)
    bar.set_label(label, size=8)


def colour(number: int) -> tuple[float, float, float]:
    """RGB, 0 to 1, of a model or variant by its place; never grey, and again from 18 on."""
    return COLOURS[number % len(COLOURS)]


def add_legend(figure: Figure) -> None:
    """A legend of all panels below them, each name once."""
    handles = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    widest = 0.5 + 0.07 * max(map(len, handles), default=0)  # inches, about
    columns = max(1, int(figure.get_figwidth() / widest))
    place = {"loc": "outside lower center", "ncols": columns, "fontsize": 8}
    figure.legend(handles.values(), handles.keys(), **place)


def save_figure(path, figure: Figure) -> None:
    """Writes a figure as PNG.

    Raises:
        InputError: the file cannot be written.
    """
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")
