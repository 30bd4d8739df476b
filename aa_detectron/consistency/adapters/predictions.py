"""Conversion of the outputs of any library to plain predictions.

Outputs are recognized by their keys and attributes; no library is imported. Supported are plain
dicts, torchvision, Detectron2, the post-processed outputs of transformers, ultralytics,
supervision, raw arrays, and the lists of ONNX models.

A plain prediction holds NumPy arrays, in pixels of the crop::

    {"boxes": (N, 4) x0 y0 x1 y1, "scores": (N,), "classes": (N,), "index": (N,),
     "masks": (N, height, width) bool or N COCO RLEs},
    {"sem_seg": (height, width) integers}, {"logits": (classes,)},
    {"class": {"label": int, "score": float or None}},

One dict may hold several of these outputs. "masks" is missing for a model without masks.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from aa_detectron.errors import InputError

from .instances import make_instances, make_segments
from .labels import make_class, make_label_map, make_logits
from .values import describe, to_array

LEGAL = (
    "a dict with boxes, scores and classes or labels (and masks), with segmentation and "
    "segments_info, with instances, panoptic_seg, sem_seg, out, logits or class; an output of "
    "torchvision, Detectron2, transformers (post-processed), ultralytics or supervision; an array "
    "of (H, W) integers, (C, H, W) floats or (C,) floats; or a list of boxes, labels and scores"
)

Size = tuple[int, int]


def read_prediction(output: Any, size: Size, score_thresh: float = 0.0) -> dict:
    """Converts a model's output for one crop to a plain prediction.

    Args:
        output: output of a predictor for the crop.
        size: size (height, width) of the crop in pixels.
        score_thresh: minimum score of an instance that is kept; "index" has the positions of the
            kept instances in the output.

    Raises:
        InputError: an output that is not recognized, has NaN or infinite values, has fields of
            unequal lengths, or has masks or label maps that differ in size from the crop.
    """
    for recognizes, read in READERS:
        if recognizes(output):
            prediction = read(output, size, score_thresh)
            if prediction:
                return prediction
    raise InputError(f"a prediction is {describe(output)}, but must be {LEGAL}")


# -- Dicts ---------------------------------------------------------------------------------------


def _read_mapping(output: Mapping, size: Size, score_thresh: float) -> dict:
    """Reads all known outputs in a dict; empty if there are none."""
    prediction: dict = {}
    if "instances" in output:
        prediction |= _read_fields(output["instances"], size, score_thresh)
    elif _has(output, "boxes", "scores") and ("classes" in output or "labels" in output):
        classes = output["classes"] if "classes" in output else output["labels"]
        columns = output["boxes"], output["scores"], classes, output.get("masks")
        prediction |= make_instances(*columns, size, score_thresh, output.get("index"))
    elif _has(output, "segmentation", "segments_info"):
        segments = output["segmentation"], output["segments_info"], "label_id"
        prediction |= make_segments(*segments, size, score_thresh)
    elif "panoptic_seg" in output:
        prediction |= _read_panoptic(output["panoptic_seg"], size, score_thresh)
    for key in ("sem_seg", "out"):
        if key in output and "sem_seg" not in prediction:
            prediction["sem_seg"] = make_label_map(output[key], size, key)
    if "logits" in output:
        prediction["logits"] = make_logits(output["logits"])
    elif "class" in output:
        prediction["class"] = make_class(output["class"], output.get("score"))
    return prediction


def _has(output: Mapping, *keys: str) -> bool:
    return all(key in output for key in keys)


def _read_panoptic(output: Any, size: Size, score_thresh: float) -> dict:
    """Reads the things of Detectron2's panoptic segmentation."""
    try:
        segmentation, segments = output
        things = [segment for segment in segments if segment["isthing"]]
    except (TypeError, ValueError, KeyError):
        found = f"panoptic_seg is {describe(output)}"
        raise InputError(f"{found}, but must be a map and its segments") from None
    return make_segments(segmentation, things, "category_id", size, score_thresh)


# -- Objects of libraries ------------------------------------------------------------------------


def _attributes(*names: str) -> Callable[[Any], bool]:
    return lambda output: all(hasattr(output, name) for name in names)


def _read_fields(output: Any, size: Size, score_thresh: float) -> dict:
    """Reads Detectron2's Instances."""
    if not _attributes("pred_boxes", "scores", "pred_classes")(output):
        found = f"instances are {describe(output)}"
        raise InputError(f"{found}, but must have pred_boxes, scores and pred_classes")
    height, width = getattr(output, "image_size", size)
    if (height, width) != tuple(size):
        legal = f"{size[0]}x{size[1]}, as the crop"
        raise InputError(f"instances are of {height}x{width} pixels, but must be of {legal}")
    boxes = to_array(getattr(output.pred_boxes, "tensor", output.pred_boxes), "boxes")
    if boxes.ndim == 2 and boxes.shape[1] == 4:  # an inverted box is empty, as for Detectron2
        boxes = np.hstack([boxes[:, :2], np.maximum(boxes[:, :2], boxes[:, 2:])])
    masks = getattr(output, "pred_masks", None)
    masks = getattr(masks, "tensor", masks)
    columns = boxes, output.scores, output.pred_classes, masks
    return make_instances(*columns, size, score_thresh)


def _read_ultralytics(output: Any, size: Size, score_thresh: float) -> dict:
    if output.probs is not None:
        with np.errstate(divide="ignore"):  # softmax(log(p)) is p
            return {"logits": make_logits(np.log(to_array(output.probs.data, "probs")))}
    if output.boxes is None:
        return {}
    masks = None if output.masks is None else output.masks.data
    boxes = output.boxes
    if masks is not None and tuple(masks.shape[1:]) != tuple(size):
        found = f"masks of ultralytics have {tuple(masks.shape[1:])} pixels"
        raise InputError(f"{found}, but must have {tuple(size)}: predict with retina_masks=True")
    return make_instances(boxes.xyxy, boxes.conf, boxes.cls, masks, size, score_thresh)


def _read_supervision(output: Any, size: Size, score_thresh: float) -> dict:
    for name in ("confidence", "class_id"):
        if getattr(output, name) is None:
            raise InputError(f"detections have {name} None, but must have a number for each")
    columns = output.xyxy, output.confidence, output.class_id, output.mask
    return make_instances(*columns, size, score_thresh)


# -- Arrays --------------------------------------------------------------------------------------


def _is_array(output: Any) -> bool:
    return hasattr(output, "shape") and hasattr(output, "dtype")


def _read_array(output: Any, size: Size, score_thresh: float) -> dict:
    array = to_array(output, "prediction")
    kind, is_float = array.ndim, array.dtype.kind == "f"
    is_map = array.dtype.kind in "iub" and (kind == 2 or (kind in (3, 4) and array.shape[-3] == 1))
    if is_map or (kind in (3, 4) and is_float):
        return {"sem_seg": make_label_map(output, size, "label map")}
    if is_float and (kind == 1 or (kind == 2 and len(array) == 1)):
        return {"logits": make_logits(array)}
    if kind == 0 and array.dtype.kind in "iu":
        return {"class": make_class(array, None)}
    return {}


def _is_integer(output: Any) -> bool:
    return isinstance(output, int) and not isinstance(output, bool)


def _read_list(output: Sequence, size: Size, score_thresh: float) -> dict:
    """Reads the arrays of an ONNX model: boxes, labels, scores and masks, in any order."""
    if not output or not all(map(_is_array, output)):
        return {}
    arrays = [to_array(array, "prediction") for array in output]
    if any(a.ndim == 3 and len(a) == 1 and a.shape[2] == 4 for a in arrays):  # a batch of one crop
        arrays = [a[0] for a in arrays if len(a) == 1]
    kinds = [
        [a for a in arrays if a.ndim == 2 and a.shape[1] == 4 and a.dtype.kind == "f"],
        [a for a in arrays if a.ndim == 1 and a.dtype.kind == "f"],
        [a for a in arrays if a.ndim == 1 and a.dtype.kind in "iu"],
        [a for a in arrays if a.ndim >= 3],
    ]
    counts = list(map(len, kinds))
    if counts[:3] != [1, 1, 1] or counts[3] > 1 or sum(counts) != len(output):
        return {}
    boxes, scores, classes, masks = (found[0] if found else None for found in kinds)
    return make_instances(boxes, scores, classes, masks, size, score_thresh)


READERS: list[tuple[Callable[[Any], bool], Callable[[Any, Size, float], dict]]] = [
    (lambda output: isinstance(output, Mapping), _read_mapping),
    (_attributes("pred_boxes", "scores", "pred_classes"), _read_fields),
    (_attributes("boxes", "masks", "probs"), _read_ultralytics),
    (_attributes("xyxy", "mask", "confidence", "class_id"), _read_supervision),
    (_is_array, _read_array),
    (_is_integer, lambda output, size, score_thresh: {"class": make_class(output, None)}),
    (lambda output: isinstance(output, list | tuple), _read_list),
]
"""Pairs of a function that recognizes an output and its reader; the first match counts."""
