"""What the figures share."""

from matplotlib.figure import Figure

from aa_detectron.utils.files import replacing


def shared_places(models: dict[str, dict]) -> list[str]:
    """The places that all models have, without shortcuts, in order."""
    first, *others = models.values()
    shared = [place for place in first if all(place in other for other in others)]
    return [place for place in shared if not place.endswith("shortcut")]


def show_bar(figure: Figure, shown, axes, label: str = "") -> None:
    """A horizontal bar of the colours below ``axes``."""
    bar = figure.colorbar(shown, ax=axes, location="bottom", shrink=0.85, aspect=16, pad=0.03)
    bar.ax.tick_params(labelsize=7)
    bar.set_label(label, size=8)


def save_figure(path, figure: Figure) -> None:
    """Writes a figure as PNG.

    Raises:
        InputError: the file cannot be written.
    """
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")
