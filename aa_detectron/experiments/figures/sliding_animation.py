"""The animation of a sliding window: instances appear (white outline) and vanish (red)."""

from collections.abc import Sequence
from os import PathLike

import cv2
import numpy as np
from detectron2.structures import Instances
from PIL import Image, ImageDraw, ImageFont

from aa_detectron.consistency.shifts import Offset
from aa_detectron.utils.files import replacing

from .panels import CONSISTENT, INCONSISTENT, SIDE, enlarge, pale, side_by_side
from .style import printable

STRIP = 44  # pixels above an image, for text
OUTSIDE = 0.45  # brightness outside the window
FRAME_MS = 250


def draw_frames(
    image: np.ndarray,
    models: dict[str, tuple[list[Instances], dict]],
    offsets: list[Offset],
) -> list[np.ndarray]:
    """A frame for each position, with a panel for each model.

    The image stands still and is darker outside the window. An instance keeps its color while it
    stays the same. An instance that has just appeared has a white outline; an instance that has
    just vanished has a red outline.

    Args:
        image: (H, W, 3) uint8 RGB.
        models: by the models' names, the instances at each position and the return value of
            :func:`~.sliding_instances.follow_instances`.
        offsets: (y, x) of the windows.

    Returns:
        frames of (H', W', 3) uint8 RGB.
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


def _draw_position(
    base: np.ndarray,
    output: Instances,
    offset: Offset,
    before: tuple[Instances, Offset] | None,
    position: dict,
    factor: int,
) -> np.ndarray:
    panel = (base * OUTSIDE).astype(np.uint8)
    rows, columns = (
        slice(start * factor, (start + length) * factor)
        for start, length in zip(offset, output.image_size, strict=True)
    )
    panel[rows, columns] = base[rows, columns]
    for instance in position["instances"]:
        color = np.array(CONSISTENT[instance["track"] % len(CONSISTENT)]) * 255
        mask = _place(output, instance["index"], offset, base.shape, factor)
        panel[mask] = (0.5 * panel[mask] + 0.5 * color).astype(np.uint8)
        _outline(panel, mask, color, factor // 2)
    for index in position["appeared"]:
        _outline(panel, _place(output, index, offset, base.shape, factor), (255, 255, 255), factor)
    if before is not None:
        for index in position["vanished"]:
            mask = _place(before[0], index, before[1], base.shape, factor)
            _outline(panel, mask, np.array(INCONSISTENT) * 255, factor)
    return panel


def _place(output: Instances, index: int, offset: Offset, shape: tuple, factor: int) -> np.ndarray:
    """The mask of an instance, or its box, in the enlarged image: (H, W) bool."""
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


def _outline(
    panel: np.ndarray, mask: np.ndarray, color: Sequence[float] | np.ndarray, width: int
) -> None:
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(panel, contours, -1, tuple(map(int, color)), max(1, width))


def _strip(name: str, past: list[dict], width: int) -> np.ndarray:
    """Text above a panel: numbers of present, appeared and vanished instances."""
    strip = Image.new("RGB", (width, STRIP), "white")
    appeared, vanished = (sum(len(p[key]) for p in past) for key in ("appeared", "vanished"))
    lines = (
        f"{printable(name)}: {len(past[-1]['instances'])} instances",
        f"so far appeared (white) {appeared}, vanished (red) {vanished}",
    )
    for line, (text, size) in enumerate(zip(lines, (18, 15), strict=True)):
        ImageDraw.Draw(strip).text((4, 2 + 22 * line), text, "black", ImageFont.load_default(size))
    return np.asarray(strip)


def save_animation(
    path: str | PathLike, frames: list[np.ndarray], milliseconds: int = FRAME_MS
) -> None:
    """Writes an endless GIF.

    Args:
        path: path of the file.
        frames: frames of (H, W, 3) uint8 RGB.
        milliseconds: duration of a frame.

    Raises:
        InputError: the file cannot be written.
    """
    # One palette without dithering: the parts that stand still keep their pixels and take no space.
    every = Image.fromarray(np.concatenate(frames))
    palette = every.quantize(256, method=Image.Quantize.MAXCOVERAGE)  # keeps rare colors: outlines
    images = [
        Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE)
        for frame in frames
    ]
    with replacing(path) as temporary:
        images[0].save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=images[1:],
            duration=milliseconds,
            loop=0,
        )
