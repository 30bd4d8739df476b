"""Outputs of many libraries give the same prediction as a plain dict."""

from types import SimpleNamespace

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from consistency.models import bright_things, squares
from detectron2.structures import BitMasks, Boxes, Instances, RotatedBoxes

from aa_detectron.consistency.adapters.labels import class_scores
from aa_detectron.consistency.adapters.predictions import read_prediction
from aa_detectron.errors import InputError
from aa_detectron.utils.coco_rle import decode_runs

SIZE = (160, 200)
PLAIN = bright_things([squares()])[0]


NOTHING = {key: np.array([]) for key in ("boxes", "scores", "classes", "masks")}


def tensors():
    return {key: torch.as_tensor(value) for key, value in PLAIN.items()}


def torchvision_output():
    found = tensors()
    masks = found["masks"][:, None].float() * 0.8 + 0.1
    return {
        "labels": found["classes"],
        "masks": masks,
        **{k: found[k] for k in ("boxes", "scores")},
    }


def detectron2_output():
    found = tensors()
    fields = {"pred_classes": found["classes"], "pred_masks": found["masks"]}
    boxes = Boxes(found["boxes"])
    return {"instances": Instances(SIZE, pred_boxes=boxes, scores=found["scores"], **fields)}


def fields():
    return detectron2_output()["instances"].get_fields()


def rotated():
    return Instances(SIZE, **fields() | {"pred_boxes": RotatedBoxes(torch.rand(3, 5))})


def one_nan(scores):
    scores[0, 5, 7] = np.nan
    return scores


def transformers_output():
    """Instances or things of a panoptic map; boxes are made of the masks."""
    ids = (torch.arange(1, 4).view(-1, 1, 1) * tensors()["masks"]).sum(0)
    segments = [
        {"id": i + 1, "label_id": int(c), "score": float(s)}
        for i, (c, s) in enumerate(zip(PLAIN["classes"], PLAIN["scores"], strict=True))
    ]
    return {"segmentation": ids, "segments_info": segments}


def panoptic_output():
    found = transformers_output()
    segments = [
        {"category_id": s["label_id"], "isthing": True, **s} for s in found["segments_info"]
    ] + [{"id": 9, "isthing": False, "category_id": 0}]
    return {"panoptic_seg": (found["segmentation"], segments)}


def ultralytics_output():
    found = tensors()
    boxes = SimpleNamespace(xyxy=found["boxes"], conf=found["scores"], cls=found["classes"].float())
    masks = SimpleNamespace(data=found["masks"].float())
    return SimpleNamespace(boxes=boxes, masks=masks, probs=None, orig_shape=SIZE)


def supervision_output():
    return SimpleNamespace(
        xyxy=PLAIN["boxes"],
        mask=PLAIN["masks"],
        confidence=PLAIN["scores"],
        class_id=PLAIN["classes"],
    )


def onnx_output():
    masks = PLAIN["masks"][:, None].astype(np.float32)
    return [PLAIN["boxes"], PLAIN["classes"], PLAIN["scores"], masks]


def rle_output():
    masks = [mask_util.encode(np.asfortranarray(m.astype(np.uint8))) for m in PLAIN["masks"]]
    return PLAIN | {"masks": masks}


class OfJax:
    """An array like JAX's: NumPy converts it, and a list is no index."""

    def __init__(self, array):
        self.array = np.asarray(array)
        self.shape, self.dtype, self.ndim = self.array.shape, self.array.dtype, self.array.ndim

    def __len__(self):
        return len(self.array)

    def __array__(self, dtype=None, copy=None):
        return np.array(self.array, dtype)

    def __getitem__(self, place):
        if isinstance(place, list):
            raise TypeError("Using a non-tuple sequence for multidimensional indexing")
        return OfJax(self.array[place])


def jax_output():
    return {key: OfJax(value) for key, value in PLAIN.items()}


def runs(rle):
    """The same mask with a list of runs, which COCO calls uncompressed."""
    return {"size": tuple(rle["size"]), "counts": decode_runs(rle["counts"]).tolist()}


def uncompressed_rle_output():
    return PLAIN | {"masks": list(map(runs, rle_output()["masks"]))}


@pytest.mark.parametrize(
    "make",
    [
        lambda: PLAIN,
        tensors,
        torchvision_output,
        detectron2_output,
        lambda: detectron2_output()["instances"],
        transformers_output,
        panoptic_output,
        ultralytics_output,
        supervision_output,
        onnx_output,
        lambda: {k: v.tolist() for k, v in PLAIN.items() if k != "masks"},
        rle_output,
        jax_output,
        uncompressed_rle_output,
    ],
)
@pytest.mark.parametrize("thresh", [0, 0.6])
def test_instances_of_every_library(make, thresh):
    found = read_prediction(make(), SIZE, thresh)
    kept = np.flatnonzero(PLAIN["scores"] >= thresh)
    assert len(kept) == (3 if thresh == 0 else 2)
    assert found["index"].tolist() == kept.tolist()
    for key in ("boxes", "scores", "classes"):
        assert np.array_equal(found[key], PLAIN[key][kept]), key
    if "masks" in found:
        masks = found["masks"]
        if isinstance(masks, list):
            masks = np.array([mask_util.decode(mask) for mask in masks], bool)
        assert masks.dtype == bool and np.array_equal(masks, PLAIN["masks"][kept])


def test_label_maps_of_every_library():
    labels = np.random.default_rng(0).integers(0, 5, SIZE)
    scores = torch.nn.functional.one_hot(torch.as_tensor(labels), 5).permute(2, 0, 1).float()
    for output in (
        *(labels, labels.astype(np.uint8), torch.as_tensor(labels), scores, scores.numpy()),
        *({"sem_seg": labels}, {"sem_seg": scores}, {"out": scores[None]}, scores[None]),
    ):
        assert np.array_equal(read_prediction(output, SIZE)["sem_seg"], labels)


def test_classes_of_every_library():
    logits = np.array([0.5, 2.5, -1.0], np.float32)
    probs = SimpleNamespace(data=torch.as_tensor(logits).softmax(0))
    for output in (
        *(logits, torch.as_tensor(logits), torch.as_tensor(logits)[None].bfloat16()),
        *({"logits": logits}, SimpleNamespace(boxes=None, masks=None, probs=probs)),
    ):
        found = read_prediction(output, SIZE)["logits"].astype(float)
        assert np.allclose(np.exp(found) / np.exp(found).sum(), probs.data.numpy())
    for output in (7, np.int64(7), {"class": 7}, torch.tensor(7)):
        assert read_prediction(output, SIZE) == {"class": {"label": 7, "score": None}}
    assert read_prediction({"class": 7, "score": 0.5}, SIZE)["class"]["score"] == 0.5


def test_a_model_that_finds_nothing():
    for output in (
        {"boxes": [], "scores": [], "classes": []},
        {"boxes": torch.zeros(0, 4), "scores": torch.zeros(0), "labels": torch.zeros(0, dtype=int)},
        NOTHING,
        NOTHING | {"masks": []},
        NOTHING | {"masks": np.zeros((0, 1, 28, 28), np.float32)},
        NOTHING | {"masks": torch.zeros(0)},
        {"segmentation": torch.full(SIZE, -1), "segments_info": []},
        SimpleNamespace(
            xyxy=np.zeros((0, 4)), mask=None, confidence=np.zeros(0), class_id=np.zeros(0, int)
        ),
    ):
        found = read_prediction(output, SIZE)
        assert found["boxes"].shape == (0, 4) and len(found["scores"]) == 0
        masks = found.get("masks", ())
        assert isinstance(masks, list | tuple) or (masks.shape[0], masks.ndim) == (0, 3)


def test_masks_without_axes_are_an_error_where_all_instances_are_below_the_threshold():
    with pytest.raises(InputError, match=r"masks are ndarray of shape \(3,\)"):
        read_prediction(PLAIN | {"masks": np.ones(3)}, SIZE, 2.0)


def test_instances_and_label_maps_at_once():
    output = detectron2_output() | {"sem_seg": torch.zeros(3, *SIZE)}
    assert {"boxes", "masks", "sem_seg"} <= read_prediction(output, SIZE).keys()


@pytest.mark.parametrize(
    "output, message",
    [
        ({}, "a prediction is dict with keys none, but must be a dict with boxes"),
        ({"pred_logits": 1, "foo": 2}, "dict with keys 'pred_logits', 'foo', but must"),
        (None, "a prediction is None, but must"),
        ("boxes", "a prediction is 'boxes', but must"),
        (True, "a prediction is True, but must"),
        ([], "a prediction is empty list"),
        (np.zeros((5, 6), np.float32), r"ndarray of shape \(5, 6\) and float32"),
        ([np.zeros((5, 6), np.float32)], r"list of ndarray of shape \(5, 6\)"),
        (SimpleNamespace(shapes=3), "SimpleNamespace with attributes shapes"),
        (PLAIN | {"boxes": PLAIN["boxes"][:2]}, r"boxes are of shape \(2, 4\), but must be of \(3"),
        (PLAIN | {"boxes": PLAIN["boxes"] * np.nan}, "boxes hold NaN or infinity"),
        (PLAIN | {"scores": PLAIN["scores"] * np.inf}, "scores hold NaN or infinity"),
        (PLAIN | {"boxes": PLAIN["boxes"][:, ::-1]}, r"box 0 is \[.*must be x0, y0, x1 >= x0"),
        (PLAIN | {"classes": PLAIN["classes"][:1]}, r"classes are of shape \(1,\), but must"),
        (PLAIN | {"classes": PLAIN["classes"] - 1}, "class 0 is -1, but must be an integer from 0"),
        (PLAIN | {"classes": PLAIN["classes"] + 0.5}, "class 0 is 0.5"),
        (PLAIN | {"classes": ["cat"] * 3}, "classes: found list of 'cat'.*array of numbers"),
        (PLAIN | {"masks": PLAIN["masks"][:1]}, "masks are 1, but must be 3"),
        (PLAIN | {"masks": np.ones(3)}, r"masks are ndarray of shape \(3,\).* \(N, height, width"),
        (PLAIN | {"masks": PLAIN["masks"][:, 1:]}, "masks are of 159x200 pixels.*160x200"),
        (PLAIN | {"masks": [{"size": [1, 1], "counts": [1]}] * 3}, "mask 0 has size"),
        ({"instances": 3}, "instances are 3, but must have pred_boxes"),
        ({"sem_seg": np.zeros((3, 4), int)}, "sem_seg has 3x4 pixels, but must have 160x200"),
        ({"sem_seg": np.full(SIZE, -1)}, "sem_seg holds the label -1"),
        ({"sem_seg": np.zeros(SIZE)}, r"sem_seg is ndarray .* must have \(H, W\) integers"),
        ({"logits": np.array([0, np.nan])}, "logits hold NaN"),
        ({"sem_seg": np.zeros((1, *SIZE))}, "sem_seg has one channel of scores, but .* threshold"),
        (torch.rand(1, *SIZE), "label map has one channel of scores"),
        ({"out": torch.rand(1, 1, *SIZE)}, "out has one channel of scores"),
        ({"sem_seg": np.zeros((0, *SIZE))}, r"sem_seg is ndarray of shape \(0, 160, 200\)"),
        ({"sem_seg": np.full((2, *SIZE), np.nan)}, "sem_seg holds NaN or infinity"),
        ({"sem_seg": one_nan(torch.rand(3, *SIZE))}, "sem_seg holds NaN or infinity"),
        (one_nan(torch.rand(3, *SIZE)).numpy(), "label map holds NaN or infinity"),
        (rotated(), r"boxes are of shape \(3, 5\), but must be of \(3, 4\) x0, y0, x1, y1"),
        ({"instances": Instances((80, 100), **fields())}, "of 80x100 pixels, .* 160x200, as the"),
        ({"logits": np.zeros(1)}, r"logits are ndarray of shape \(1,\) .* two or more classes"),
        ({"logits": np.zeros((3, 4))}, r"logits are ndarray of shape \(3, 4\)"),
        ({"class": -1}, "class is -1, but must be an integer from 0"),
        ({"class": "cat"}, "class: found 'cat', but must be an array of numbers"),
        ({"panoptic_seg": (np.zeros(SIZE, int), None)}, "panoptic_seg is tuple"),
        ({"segmentation": np.zeros(SIZE, int), "segments_info": [{"id": 1}]}, "without label_id"),
        (SimpleNamespace(**vars(supervision_output()) | {"class_id": None}), "class_id None"),
    ],
)
def test_what_is_not_recognized(output, message):
    with pytest.raises(InputError, match=message) as error:
        read_prediction(output, SIZE)
    assert "\n" not in str(error.value)


def test_a_map_of_integers_may_have_an_axis_in_front():
    labels = np.random.default_rng(0).integers(0, 2, SIZE)
    for output in (labels[None], torch.as_tensor(labels)[None, None], labels[None].astype(bool)):
        for found in (output, {"sem_seg": output}):
            assert np.array_equal(read_prediction(found, SIZE)["sem_seg"], labels)
        assert class_scores(output) is None


def test_a_score_may_be_infinite_where_it_is_not_the_highest():
    scores = torch.rand(3, *SIZE)
    scores[0] = -np.inf
    assert read_prediction(scores, SIZE)["sem_seg"].min() == 1


def test_an_inverted_box_of_detectron2_is_empty():
    output = detectron2_output()["instances"]
    expected = read_prediction(output, SIZE)["boxes"]
    output.pred_boxes.tensor[1] = torch.tensor([50.0, 30, 20, 40])
    found = read_prediction(output, SIZE)["boxes"]
    assert found[1].tolist() == [50, 30, 50, 40]
    assert np.array_equal(found[[0, 2]], expected[[0, 2]])
    nothing = Instances(SIZE, **fields() | {"pred_boxes": RotatedBoxes(torch.zeros(3, 5))})[[]]
    assert read_prediction(nothing, SIZE)["boxes"].shape == (0, 4)


def test_masks_of_detectron2_may_be_an_object():
    output = detectron2_output()["instances"]
    expected = read_prediction(output, SIZE)["masks"]
    output.pred_masks = BitMasks(output.pred_masks)
    assert np.array_equal(read_prediction(output, SIZE)["masks"], expected)


def test_masks_of_ultralytics_in_the_size_of_the_network():
    output = ultralytics_output()
    output.masks.data = output.masks.data[:, ::2, ::2]
    with pytest.raises(InputError, match="retina_masks=True"):
        read_prediction(output, SIZE)
