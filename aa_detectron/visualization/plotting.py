"""What the figures share."""

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from aa_detectron.utils.files import replacing


def shared_places(models: dict[str, dict]) -> list[str]:
    """The places that all models have, without shortcuts, in order."""
    first, *others = models.values()
    shared = [place for place in first if all(place in other for other in others)]
    return [place for place in shared if not place.endswith("shortcut")]


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


def save_figure(path, figure: Figure) -> None:
    """Writes a figure as PNG.

    Raises:
        InputError: the file cannot be written.
    """
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")
