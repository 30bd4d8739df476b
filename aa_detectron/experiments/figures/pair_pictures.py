"""Pictures of shifted pairs that show where a model contradicts itself."""

import numpy as np
from detectron2.structures import Instances
from detectron2.utils.colormap import colormap
from detectron2.utils.visualizer import ColorMode, Visualizer

from aa_detectron.consistency.records import THRESHOLDS, equal_fraction, same_class
from aa_detectron.consistency.shifts import Box, overlap_in_crops

from .panels import CONSISTENT, INCONSISTENT, Entry, enlarge, enlargement, pale, side_by_side
from .style import class_name, literal

OPACITY = 0.5  # of label maps
WHITE = (1.0, 1.0, 1.0)
FRAME = Entry((), "dashed frame: overlap, shown by both crops")
LEGENDS = {
    "instances": [
        FRAME,
        Entry(CONSISTENT[:3], f"consistent (IoU > {THRESHOLDS['mAISC']}): one color in both crops"),
        Entry((INCONSISTENT,), 'inconsistent: score, then IoU with the match or "no match"'),
    ],
    "sem_seg": [FRAME, Entry((INCONSISTENT,), "pixels of the overlap with different labels")],
    "classification": [
        Entry((WHITE,), "both crops have the same class"),
        Entry((INCONSISTENT,), "the classes differ"),
    ],
}
"""Entries of the legend by the kind of a pair's record."""


def draw_pair(
    images: list[np.ndarray],
    instances: list[Instances],
    record: dict,
    class_names: list[str] | None = None,
) -> np.ndarray:
    """Both crops of a pair side by side, with a frame around the overlap.

    The crops are shown in pale colors. A consistent instance (IoU > 0.9) has the same color in
    both crops. An inconsistent instance is red; its label ends with the IoU with its match, or with
    "no match". Instances with a low score, or outside the overlap, are not drawn.

    Args:
        images: the two crops, (H, W, 3) uint8 RGB.
        instances: the model's output for each crop.
        record: record of the pair, see :mod:`aa_detectron.consistency.instances`.
        class_names: names of the classes for the labels; None shows numbers.

    Returns:
        (H * f, 2 * W * f + gap, 3) uint8 RGB, enlarged by the factor f.
    """
    task = "segm" if "segm" in record else "bbox"
    factor = enlargement(images[0])
    first, second = record["offsets"]
    boxes = overlap_in_crops(first, second, record["size"])
    styles = _styles(record[task], class_names)
    drawn = []
    for image, found, box, style in zip(images, instances, boxes, styles, strict=True):
        canvas = Visualizer(enlarge(pale(image), factor), instance_mode=ColorMode.IMAGE)
        shown = found[sorted(style)]
        canvas.overlay_instances(
            masks=_enlarge_masks(shown, factor) if task == "segm" else None,
            boxes=shown.pred_boxes.tensor.cpu().numpy() * factor if task == "bbox" else None,
            labels=[style[i][1] for i in sorted(style)],
            assigned_colors=[style[i][0] for i in sorted(style)],
            alpha=0.4,
        )
        drawn.append(_framed(canvas, box, factor))
    return side_by_side(drawn)


def draw_label_pair(
    images: list[np.ndarray],
    labels: list[np.ndarray],
    record: dict,
    colors: list[list[int]] | None = None,
) -> np.ndarray:
    """The label maps over both crops of a pair, and the pixels where they differ.

    The third panel is the first crop. Pixels of the overlap to which the two crops give different
    labels are red.

    Args:
        images: the two crops, (H, W, 3) uint8 RGB.
        labels: the model's labels for each crop, (H, W) integers.
        record: record of the pair, see :mod:`aa_detectron.consistency.label_maps`.
        colors: RGB, 0 to 255, of the labels; None takes Detectron2's color map.

    Returns:
        (H * f, 3 * W * f + gaps, 3) uint8 RGB, enlarged by the factor f.
    """
    palette = np.array(colors) if colors else colormap(rgb=True)
    first, second = record["offsets"]
    boxes = overlap_in_crops(first, second, record["size"])
    different = np.zeros(labels[0].shape, bool)
    different[boxes[0].slices] = labels[0][boxes[0].slices] != labels[1][boxes[1].slices]
    crops = [pale(image) for image in images]
    panels = [
        _blend(crop, palette[labels % len(palette)])
        for crop, labels in zip(crops, labels, strict=True)
    ]
    panels.append(np.where(different[..., None], np.array(INCONSISTENT) * 255, crops[0]))
    factor = enlargement(images[0])
    canvases = [Visualizer(enlarge(panel.astype(np.uint8), factor)) for panel in panels]
    equal = equal_fraction(record)
    if equal is not None:
        canvases[2].draw_text(f"{100 * equal:.1f} % equal", (2, 2), horizontal_alignment="left")
    framed = zip(canvases, (*boxes, boxes[0]), strict=True)
    return side_by_side([_framed(canvas, box, factor) for canvas, box in framed])


def draw_class_pair(
    images: list[np.ndarray], record: dict, class_names: list[str] | None = None
) -> np.ndarray:
    """Both crops of a pair side by side with their predicted classes, red if they differ.

    Args:
        images: the two crops, (H, W, 3) uint8 RGB.
        record: record of the pair, see :mod:`aa_detectron.consistency.classes`.
        class_names: names of the classes; None shows numbers.

    Returns:
        (H * f, 2 * W * f + gap, 3) uint8 RGB, enlarged by the factor f.
    """
    section = record["classification"]
    color = WHITE if same_class(record) else INCONSISTENT
    factor = enlargement(images[0])
    panels = []
    for image, predicted in zip(images, (section["first"], section["second"]), strict=True):
        canvas = Visualizer(enlarge(image, factor))
        name = literal(class_name(predicted["label"], class_names))
        text = f"{name} {100 * predicted['score']:.0f}%"
        canvas.draw_text(text, (4, 4), horizontal_alignment="left", color=color)
        panels.append(canvas.get_output().get_image())
    return side_by_side(panels)


def _framed(canvas: Visualizer, box: Box, factor: int) -> np.ndarray:
    frame = np.array([box.x0, box.y0, box.x1, box.y1]) * factor
    canvas.draw_box(frame, edge_color="w", line_style="--")
    return canvas.get_output().get_image()


def _blend(image: np.ndarray, colors: np.ndarray) -> np.ndarray:
    return (1 - OPACITY) * image + OPACITY * colors


def _styles(pair: dict, class_names: list[str] | None) -> tuple[dict, dict]:
    """For both crops: index in the model's output -> (color, label)."""
    first, second = {}, {i["index"]: _red(i, None, class_names) for i in pair["second"]}
    number = 0
    for instance in pair["first"]:
        match = None if instance["match"] is None else pair["second"][instance["match"]]
        iou = None if match is None else instance["iou"]
        if match is not None and instance["iou"] > THRESHOLDS["mAISC"]:
            color = CONSISTENT[number % len(CONSISTENT)]
            number += 1
            first[instance["index"]] = color, _label(instance, class_names)
            second[match["index"]] = color, _label(match, class_names)
        else:
            first[instance["index"]] = _red(instance, iou, class_names)
            if match is not None:
                second[match["index"]] = _red(match, iou, class_names)
    return first, second


def _red(instance: dict, iou: float | None, class_names: list[str] | None) -> tuple:
    note = "no match" if iou is None else f"IoU {iou:.2f}"
    return INCONSISTENT, f"{_label(instance, class_names)} {note}"


def _label(instance: dict, class_names: list[str] | None) -> str:
    return (
        f"{literal(class_name(instance['category'], class_names))} {100 * instance['score']:.0f}%"
    )


def _enlarge_masks(instances: Instances, factor: int) -> np.ndarray:
    masks = instances.pred_masks.cpu().numpy()
    return masks.repeat(factor, axis=1).repeat(factor, axis=2)
