"""Instances that appear and vanish while a window slides by single pixels over an image."""

import cv2
import numpy as np
from detectron2.structures import Instances
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image, ImageDraw, ImageFont

from aa_detectron.consistency.instances import pair_record
from aa_detectron.consistency.intervals import percent
from aa_detectron.consistency.records import THRESHOLDS, main_fraction
from aa_detectron.consistency.shifts import Offset
from aa_detectron.evaluation.pair_evaluator import as_prediction
from aa_detectron.experiments.figures.drawing import (
    CONSISTENT,
    INCONSISTENT,
    SIDE,
    enlarge,
    pale,
    side_by_side,
)
from aa_detectron.utils.files import replacing

SAME = THRESHOLDS["mAISC50"]
STRIP = 44  # px above an image, for text
OUTSIDE = 0.45  # brightness outside of the window
FRAME_MS = 250


def follow_instances(
    outputs: list[Instances], offsets: list[Offset], score_thresh: float = 0.5
) -> dict:
    """Follows the instances from each position of a window to the next.

    Neighbours are compared as the crops of a pair, see
    :func:`~aa_detectron.consistency.instances.pair_record`, with masks where there are any. An
    instance stays the same if its match has IoU > 0.5, else it has vanished, and what has no such
    match before has appeared.

    Args:
        outputs: of a model at each position, in pixels of the window.
        offsets: (y, x) of the windows.
        score_thresh: instances with a lower score do not count.

    Returns:
        {"positions": [{"instances": [{"index": in the output, "category", "score", "track":
        number of the instance, the same at all positions}, ...], "appeared": [indices],
        "vanished": [indices at the position before]}, ...], "appeared", "vanished": their numbers,
        "consistency": AISC at IoU > 0.9, mean over neighbours, in percent}.
    """
    positions = [_start(outputs[0], score_thresh)]
    tracks = dict(enumerate(range(len(outputs[0]))))
    number, fractions = len(tracks), []
    for i in range(1, len(outputs)):
        pair = [as_prediction(output, score_thresh) for output in outputs[i - 1 : i + 1]]
        size = outputs[i].image_size
        record = pair_record(0, i, offsets[i - 1 : i + 1], size, *pair, score_thresh=score_thresh)
        section = record["segm" if "segm" in record else "bbox"]
        kept = {
            section["second"][old["match"]]["index"]: tracks[old["index"]]
            for old in section["first"]
            if old["iou"] > SAME
        }
        position = _start(outputs[i], score_thresh)
        tracks = {}
        for index in range(len(outputs[i])):
            tracks[index] = kept.get(index, number)
            number += index not in kept
        position["appeared"] = [n["index"] for n in section["second"] if n["index"] not in kept]
        position["vanished"] = [n["index"] for n in section["first"] if n["iou"] <= SAME]
        for instance in position["instances"]:
            instance["track"] = tracks[instance["index"]]
        positions.append(position)
        fractions.append(main_fraction(record))
    return {
        "positions": positions,
        "appeared": sum(len(p["appeared"]) for p in positions),
        "vanished": sum(len(p["vanished"]) for p in positions),
        "consistency": percent(fractions),
    }


def _start(output: Instances, score_thresh: float) -> dict:
    """A position at which all instances are new, and none has appeared."""
    instances = [
        {"index": index, "category": category, "score": score, "track": index}
        for index, (category, score) in enumerate(
            zip(output.pred_classes.tolist(), output.scores.tolist(), strict=True)
        )
        if score >= score_thresh
    ]
    return {"instances": instances, "appeared": [], "vanished": []}


def draw_counts(models: dict[str, dict], offsets: list[Offset]) -> Figure:
    """The number of instances at each position, and what has appeared or vanished there.

    Args:
        models: by name, of :func:`follow_instances`.
        offsets: of the windows.
    """
    figure = Figure(figsize=(6, 4.2), dpi=160, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    x = np.array([x for _, x in offsets])
    width = 0.8 / len(models)
    for place, (name, found) in enumerate(models.items()):
        positions = found["positions"]
        label = f"{name} (appeared {found['appeared']}, vanished {found['vanished']})"
        (line,) = above.step(x, [len(p["instances"]) for p in positions], where="mid", label=label)
        at = x + (place - (len(models) - 1) / 2) * width
        for key, sign in (("appeared", 1), ("vanished", -1)):
            heights = [sign * len(p[key]) for p in positions]
            below.bar(at, heights, width, color=line.get_color())
    above.set_ylabel("instances")
    above.yaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside upper center", fontsize=8, ncols=2)
    below.set_ylabel("appeared (above 0),\nvanished (below)", size=8)
    below.yaxis.set_major_locator(MaxNLocator(integer=True))
    below.axhline(0, color="k", linewidth=0.6)
    below.set_xlabel("position of the window (pixels)")
    below.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in (above, below):
        axes.grid(alpha=0.3)
    return figure


def draw_frames(
    image: np.ndarray,
    models: dict[str, tuple[list[Instances], dict]],
    offsets: list[Offset],
) -> list[np.ndarray]:
    """A frame for each position, with a panel for each model.

    The image stands still and is darker outside of the window. An instance keeps its colour as
    long as it stays the same; one that has just appeared has a white outline, one that has just
    vanished is outlined in red.

    Args:
        image: (H, W, 3) uint8 RGB.
        models: by name, the outputs and what :func:`follow_instances` makes of them.
        offsets: of the windows.

    Returns:
        (H', W', 3) uint8 RGB each.
    """
    factor = max(1, SIDE // max(image.shape[:2]))
    base = enlarge(pale(image), factor)
    frames = []
    for i, offset in enumerate(offsets):
        panels = []
        for name, (outputs, found) in models.items():
            before = (outputs[i - 1], offsets[i - 1]) if i else None
            position = found["positions"][i]
            panel = _draw_position(base, outputs[i], offset, before, position, factor)
            past = found["positions"][: i + 1]
            panels.append(np.concatenate([_strip(name, past, panel.shape[1]), panel]))
        frames.append(side_by_side(panels))
    return frames


def _draw_position(base, output, offset, before, position, factor) -> np.ndarray:
    panel = (base * OUTSIDE).astype(np.uint8)
    rows, columns = (
        slice(start * factor, (start + length) * factor)
        for start, length in zip(offset, output.image_size, strict=True)
    )
    panel[rows, columns] = base[rows, columns]
    for instance in position["instances"]:
        colour = np.array(CONSISTENT[instance["track"] % len(CONSISTENT)]) * 255
        mask = _place(output, instance["index"], offset, base.shape, factor)
        panel[mask] = (0.5 * panel[mask] + 0.5 * colour).astype(np.uint8)
        _outline(panel, mask, colour, factor // 2)
    for index in position["appeared"]:
        _outline(panel, _place(output, index, offset, base.shape, factor), (255, 255, 255), factor)
    for index in position["vanished"]:
        mask = _place(before[0], index, before[1], base.shape, factor)
        _outline(panel, mask, np.array(INCONSISTENT) * 255, factor)
    return panel


def _place(output: Instances, index: int, offset: Offset, shape, factor: int) -> np.ndarray:
    """The mask, or else the box, of an instance in the enlarged image: (H, W) bool."""
    if output.has("pred_masks"):
        mask = output.pred_masks[index].cpu().numpy()
    else:
        mask = np.zeros(output.image_size, bool)
        x0, y0, x1, y1 = output.pred_boxes.tensor[index].round().int().tolist()
        mask[y0:y1, x0:x1] = True
    placed = np.zeros(shape[:2], bool)
    y, x = (start * factor for start in offset)
    mask = enlarge(mask, factor)
    placed[y : y + mask.shape[0], x : x + mask.shape[1]] = mask
    return placed


def _outline(panel: np.ndarray, mask: np.ndarray, colour, width: int) -> None:
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(panel, contours, -1, tuple(map(int, colour)), max(1, width))


def _strip(name: str, past: list[dict], width: int) -> np.ndarray:
    """Text above a panel: the number of instances, and what has come and gone so far."""
    strip = Image.new("RGB", (width, STRIP), "white")
    appeared, vanished = (sum(len(p[key]) for p in past) for key in ("appeared", "vanished"))
    lines = (
        f"{name}: {len(past[-1]['instances'])} instances",
        f"so far appeared (white) {appeared}, vanished (red) {vanished}",
    )
    for line, (text, size) in enumerate(zip(lines, (18, 15), strict=True)):
        ImageDraw.Draw(strip).text((4, 2 + 22 * line), text, "black", ImageFont.load_default(size))
    return np.asarray(strip)


def save_animation(path, frames: list[np.ndarray], milliseconds: int = FRAME_MS) -> None:
    """Writes frames of (H, W, 3) uint8 RGB as an endless GIF.

    Raises:
        InputError: the file cannot be written.
    """
    # One palette without dithering: what stands still has the same pixels, and takes no space.
    every = Image.fromarray(np.concatenate(frames))
    palette = every.quantize(256, method=Image.Quantize.MAXCOVERAGE)  # keeps rare colours: outlines
    still = {"palette": palette, "dither": Image.Dither.NONE}
    images = [Image.fromarray(frame).quantize(**still) for frame in frames]
    with replacing(path) as temporary:
        images[0].save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=images[1:],
            duration=milliseconds,
            loop=0,
        )
