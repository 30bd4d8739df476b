"""Predictions under a window that slides by single pixels over an image."""

import numpy as np
from matplotlib.figure import Figure

from aa_detectron.data.shifts import Offset


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


def draw_probability(followed: dict, offsets: list[Offset]) -> Figure:
    """A line for each model; a cross where another class wins.

    Args:
        followed: of :func:`follow_class`, with "class_name".
        offsets: of the windows.
    """
    figure = Figure(figsize=(6, 3.5), dpi=160, layout="constrained")
    axes = figure.subplots()
    x = np.array([x for _, x in offsets])
    for name, found in followed["models"].items():
        probability = np.array(found["probability"])
        label = f"{name} (changes: {found['changes']})"
        (line,) = axes.plot(x, probability, marker=".", label=label)
        other = np.array(found["top1"]) != followed["class"]
        axes.plot(x[other], probability[other], "X", color=line.get_color(), markersize=8)
    axes.set_xlabel("position of the window (pixels)")
    axes.set_ylabel(f'probability of "{followed["class_name"]}"')
    axes.set_ylim(-0.03, 1.03)
    axes.grid(alpha=0.3)
    axes.legend(title="cross: another class is top-1", fontsize=8, title_fontsize=8)
    return figure
