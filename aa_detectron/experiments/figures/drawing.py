"""Pictures of shifted pairs, where a model contradicts itself."""

import numpy as np
from detectron2.structures import Instances
from detectron2.utils.colormap import colormap
from detectron2.utils.visualizer import ColorMode, Visualizer
from PIL import Image

from aa_detectron.consistency.records import THRESHOLDS, main_fraction
from aa_detectron.consistency.shifts import Box, overlap_in_crops
from aa_detectron.utils.files import replacing

INCONSISTENT = (0.9, 0.1, 0.1)
CONSISTENT = (  # no red among them
    (0.12, 0.47, 0.71),
    (0.17, 0.63, 0.17),
    (0.58, 0.40, 0.74),
    (0.09, 0.75, 0.81),
    (0.74, 0.74, 0.13),
    (1.00, 0.60, 0.20),
)
SATURATION = 0.3  # of the image's own colours, which could be taken for the drawing's
SIDE = 480  # px; smaller crops are enlarged by a whole factor
GAP = 8
OPACITY = 0.5  # of label maps


def draw_pair(
    images: list[np.ndarray],
    instances: list[Instances],
    record: dict,
    class_names: list[str] | None = None,
) -> np.ndarray:
    """Both crops of a pair side by side, the overlap framed.

    The crops are shown in pale colours. A consistent instance (IoU > 0.9) has the same colour in
    both, an inconsistent one is red and says its IoU. What has no part in the overlap, or a low
    score, is not drawn.

    Args:
        images: the two crops, (H, W, 3) uint8 RGB.
        instances: what the model returned for each.
        record: of the pair, see :mod:`aa_detectron.consistency.instances`.
        class_names: for the labels; None shows numbers.

    Returns:
        (H * f, 2 * W * f + gap, 3) uint8 RGB, f the factor of enlargement.
    """
    task = "segm" if "segm" in record else "bbox"
    factor = max(1, SIDE // max(images[0].shape[:2]))
    boxes = overlap_in_crops(*record["offsets"], record["size"])
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
    colours: list[list[int]] | None = None,
) -> np.ndarray:
    """The label maps over both crops of a pair, and where they disagree; the overlap framed.

    The third panel is the first crop, with the pixels of the overlap in red to which the two crops
    give different labels.

    Args:
        images: the two crops, (H, W, 3) uint8 RGB.
        labels: (H, W) integers, what the model says of each.
        record: of the pair, see :mod:`aa_detectron.consistency.label_maps`.
        colours: RGB, 0 to 255, of the labels; None takes Detectron2's colour map.

    Returns:
        (H * f, 3 * W * f + gaps, 3) uint8 RGB, f the factor of enlargement.
    """
    palette = np.array(colours) if colours else colormap(rgb=True)
    boxes = overlap_in_crops(*record["offsets"], record["size"])
    different = np.zeros(labels[0].shape, bool)
    different[boxes[0].slices] = labels[0][boxes[0].slices] != labels[1][boxes[1].slices]
    crops = [pale(image) for image in images]
    panels = [
        _blend(crop, palette[labels % len(palette)])
        for crop, labels in zip(crops, labels, strict=True)
    ]
    panels.append(np.where(different[..., None], np.array(INCONSISTENT) * 255, crops[0]))
    factor = max(1, SIDE // max(images[0].shape[:2]))
    canvases = [Visualizer(enlarge(panel.astype(np.uint8), factor)) for panel in panels]
    fraction = main_fraction(record)
    if fraction is not None:
        canvases[2].draw_text(f"{100 * fraction:.1f} % equal", (2, 2), horizontal_alignment="left")
    framed = zip(canvases, (*boxes, boxes[0]), strict=True)
    return side_by_side([_framed(canvas, box, factor) for canvas, box in framed])


def draw_class_pair(
    images: list[np.ndarray], record: dict, class_names: list[str] | None = None
) -> np.ndarray:
    """Both crops of a pair side by side, each with the predicted class; red where they differ.

    Args:
        images: the two crops, (H, W, 3) uint8 RGB.
        record: of the pair, see :mod:`aa_detectron.consistency.classes`.
        class_names: None shows numbers.

    Returns:
        (H * f, 2 * W * f + gap, 3) uint8 RGB, f the factor of enlargement.
    """
    section = record["classification"]
    colour = "w" if main_fraction(record) else INCONSISTENT
    factor = max(1, SIDE // max(images[0].shape[:2]))
    panels = []
    for image, predicted in zip(images, (section["first"], section["second"]), strict=True):
        canvas = Visualizer(enlarge(image, factor))
        label = predicted["label"]
        text = f"{class_names[label] if class_names else label} {100 * predicted['score']:.0f}%"
        canvas.draw_text(text, (4, 4), horizontal_alignment="left", color=colour)
        panels.append(canvas.get_output().get_image())
    return side_by_side(panels)


def _framed(canvas: Visualizer, box: Box, factor: int) -> np.ndarray:
    frame = np.array([box.x0, box.y0, box.x1, box.y1]) * factor
    canvas.draw_box(frame, edge_color="w", line_style="--")
    return canvas.get_output().get_image()


def side_by_side(panels: list[np.ndarray]) -> np.ndarray:
    """(H, W, 3) uint8 panels of equal height in one image, with white gaps."""
    gap = np.full((panels[0].shape[0], GAP, 3), 255, np.uint8)
    parts = [part for panel in panels for part in (gap, panel)]
    return np.concatenate(parts[1:], axis=1)


def _blend(image: np.ndarray, colours: np.ndarray) -> np.ndarray:
    return (1 - OPACITY) * image + OPACITY * colours


def save_image(path, image: np.ndarray) -> None:
    """Writes an (H, W, 3) uint8 RGB image as PNG."""
    with replacing(path) as temporary:
        Image.fromarray(image).save(temporary, format="PNG")


def _styles(pair: dict, class_names) -> tuple[dict, dict]:
    """For both crops: index in the model's output -> (colour, label)."""

    def label(instance, note=""):
        category = instance["category"]
        name = class_names[category] if class_names else str(category)
        return f"{name} {100 * instance['score']:.0f}%{note}"

    first = {i["index"]: (INCONSISTENT, label(i, f" IoU {i['iou']:.2f}")) for i in pair["first"]}
    second = {i["index"]: (INCONSISTENT, label(i, " ?")) for i in pair["second"]}
    consistent = [i for i in pair["first"] if i["iou"] > THRESHOLDS["mAISC"]]
    for number, instance in enumerate(consistent):
        match = pair["second"][instance["match"]]
        colour = CONSISTENT[number % len(CONSISTENT)]
        first[instance["index"]] = (colour, label(instance))
        second[match["index"]] = (colour, label(match))
    return first, second


def pale(image: np.ndarray) -> np.ndarray:
    """An (H, W, 3) uint8 RGB image in weak colours, to draw over."""
    grey = image.mean(axis=2, keepdims=True)
    return (grey + SATURATION * (image - grey)).round().astype(np.uint8)


def enlarge(image: np.ndarray, factor: int) -> np.ndarray:
    """Repeats the pixels of an (H, W, ...) array in both directions."""
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def _enlarge_masks(instances: Instances, factor: int) -> np.ndarray:
    masks = instances.pred_masks.cpu().numpy()
    return masks.repeat(factor, axis=1).repeat(factor, axis=2)
