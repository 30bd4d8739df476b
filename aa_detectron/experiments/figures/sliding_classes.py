"""A classifier's probability while a window slides over an image."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from aa_detectron.consistency.shifts import Offset

from .style import literal


def follow_class(models: dict[str, np.ndarray]) -> dict:
    """The class that is predicted most often, and its probability at every position.

    Args:
        models: softmax scores at each position, (positions, classes), by the models' names.

    Returns:
        {"class": index of the class; the first of equally frequent ones, "models": {name:
        {"probability": [...], "top1": [...], "changes": number of positions where the top-1 differs
        from the position before}}}.
    """
    top1 = {name: scores.argmax(axis=1) for name, scores in models.items()}
    followed = int(np.bincount(np.concatenate(list(top1.values()))).argmax())
    return {
        "class": followed,
        "models": {
            name: {
                "probability": scores[:, followed].tolist(),
                "top1": top1[name].tolist(),
                "changes": int((np.diff(top1[name]) != 0).sum()),
            }
            for name, scores in models.items()
        },
    }


def draw_probability(
    image: np.ndarray, size: tuple[int, int], followed: dict, offsets: list[Offset]
) -> Figure:
    """The image with its first and last window, and a curve for each model.

    Args:
        image: (H, W, 3) uint8 RGB.
        size: (height, width) of the windows.
        followed: return value of :func:`follow_class`, with "class_name" added.
        offsets: (y, x) of the windows in the image.
    """
    figure = Figure(figsize=(9, 3.4), dpi=160, layout="constrained")
    picture, axes = figure.subplots(1, 2, width_ratios=(1, 2.4))
    _draw_ends(picture, image, size, offsets)
    x = np.array([x for _, x in offsets])
    lines = {}
    for name, found in followed["models"].items():
        probability = np.array(found["probability"])
        (line,) = axes.plot(x, probability, marker=".")
        lines[f"{literal(name)}, top-1 changes {found['changes']}x"] = line
        other = np.array(found["top1"]) != followed["class"]
        axes.plot(x[other], probability[other], "X", color=line.get_color(), markersize=8)
    lines["another class is top-1"] = Line2D([], [], marker="X", linestyle="", color="0.5")
    axes.set_xlabel("position of the window (pixels)")
    axes.set_ylabel(f'probability of "{literal(followed["class_name"])}"')
    axes.set_ylim(-0.03, 1.03)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    figure.legend(list(lines.values()), list(lines), loc="outside upper right", fontsize=8, ncols=4)
    return figure


def _draw_ends(axes: Axes, image: np.ndarray, size: tuple[int, int], offsets: list[Offset]) -> None:
    """The image with the first and the last window."""
    axes.imshow(image)
    axes.set(xticks=[], yticks=[])
    for (y, x), style in ((offsets[0], "-"), (offsets[-1], "--")):
        edges = (x - 0.5, y - 0.5), size[1], size[0]
        axes.add_patch(Rectangle(*edges, fill=False, edgecolor="red", linestyle=style))
    axes.set_xlabel("first (solid) and last window (dashed)")
