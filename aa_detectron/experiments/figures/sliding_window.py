"""Predictions under a window that slides by single pixels over an image."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from aa_detectron.consistency.shifts import Offset


def row_of_offsets(shift: int) -> list[Offset]:
    """The (y, x) of windows one pixel apart, from left to right through the middle of an image.

    Args:
        shift: by how many pixels the windows are smaller than the image, in both directions.

    Returns:
        shift + 1 offsets.
    """
    return [(shift // 2, x) for x in range(shift + 1)]


def follow_class(models: dict[str, np.ndarray]) -> dict:
    """The class that is predicted most often, and its probability at every position.

    Args:
        models: by name, the softmax at each position, (positions, classes).

    Returns:
        {"class": index, of equals the first, "models": {name: {"probability": [...], "top1":
        [...], "changes": how often the top-1 differs from that one position before}}}.
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
    """The image with its first and last window, and a line for each model.

    Args:
        image: (H, W, 3) uint8 RGB, in which the windows are.
        size: (height, width) of the windows.
        followed: of :func:`follow_class`, with "class_name".
        offsets: of the windows.
    """
    figure = Figure(figsize=(9, 3.4), dpi=160, layout="constrained")
    picture, axes = figure.subplots(1, 2, width_ratios=(1, 2.4))
    picture.imshow(image)
    picture.set(xticks=[], yticks=[])
    for (y, x), style in ((offsets[0], "-"), (offsets[-1], "--")):
        edges = (x - 0.5, y - 0.5), size[1], size[0]
        picture.add_patch(Rectangle(*edges, fill=False, edgecolor="red", linestyle=style))
    picture.set_xlabel("first (solid) and last window")
    x = np.array([x for _, x in offsets])
    for name, found in followed["models"].items():
        probability = np.array(found["probability"])
        label = f"{name}, top-1 changes {found['changes']}x"
        (line,) = axes.plot(x, probability, marker=".", label=label)
        other = np.array(found["top1"]) != followed["class"]
        axes.plot(x[other], probability[other], "X", color=line.get_color(), markersize=8)
    axes.plot([], [], "X", color="0.5", label="another class is top-1")
    axes.set_xlabel("position of the window (pixels)")
    axes.set_ylabel(f'probability of "{followed["class_name"]}"')
    axes.set_ylim(-0.03, 1.03)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    figure.legend(loc="outside upper right", fontsize=8, ncols=4)
    return figure
