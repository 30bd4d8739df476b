"""An adaptive Mask R-CNN after scripting, tracing and ONNX: images of other sizes."""

import io

import pytest
import torch
from detectron2.export import TracingAdapter, scripting_with_instances
from detectron2.modeling import build_model
from detectron2.structures import Boxes
from export.deployed import in_onnxruntime, randomize
from helpers import small_config
from torch import Tensor
from torch.export import Dim

from aa_detectron.layers import AdaptiveBlurPool2d

pytestmark = [
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

EXAMPLE, OTHERS = (64, 80), [(96, 128), (70, 64), (129, 77)]
FIELDS = {
    "proposal_boxes": Boxes,
    "objectness_logits": Tensor,
    "pred_boxes": Boxes,
    "scores": Tensor,
    "pred_classes": Tensor,
    "pred_masks": Tensor,
}
SCALES = {
    "proposal_generator.rpn_head.objectness_logits": 0.1,
    "proposal_generator.rpn_head.anchor_deltas": 0.002,
    "roi_heads.box_predictor.cls_score": 0.05,
    "roi_heads.box_predictor.bbox_pred": 0.02,
    "roi_heads.mask_head.predictor": 0.1,
}
"""{layer: spread of its random weights}, under which boxes, scores and classes differ."""


def detector(folder, *options):
    """The demo's Mask R-CNN with random weights; its filters depend on the map."""
    cfg = small_config(folder, *options)
    model = build_model(cfg).eval()
    for name, scale in SCALES.items():
        torch.nn.init.normal_(model.get_submodule(name).weight, std=scale)
    for module in model.modules():
        if isinstance(module, AdaptiveBlurPool2d):
            randomize(module)
    return model


def detect(model, inputs):
    """Boxes, classes, masks and scores, in the order of the names; masks as the head has them."""
    return [found.get_fields() for found in model.inference(inputs, do_postprocess=False)]


def image(size):
    return torch.randint(0, 256, (3, *size)).float()


def adapter(model):
    """The model as a function from an image to (boxes, classes, masks, scores)."""
    return TracingAdapter(model, [{"image": image(EXAMPLE)}], detect).eval()


def assert_detects(reference, deployed):
    """The same detections, many and of several classes, in images that were not traced."""
    for size in OTHERS:
        x = image(size)
        expected = reference(x)
        boxes, classes, masks, scores = expected
        assert len(boxes) > 20 and len(classes.unique()) > 3
        assert scores.max() - scores.min() > 0.2 and masks.std() > 0.05
        torch.testing.assert_close(tuple(deployed(x)), expected, rtol=0, atol=1e-4)


def test_onnx_of_a_trace(tmp_path):
    model = adapter(detector(tmp_path))
    file = io.BytesIO()
    torch.onnx.export(
        model,
        model.flattened_inputs,
        file,
        dynamo=False,
        opset_version=17,
        dynamic_axes={"image": {1: "height", 2: "width"}},
        input_names=["image"],
        output_names=["boxes", "classes", "masks", "scores"],
    )
    assert_detects(model, in_onnxruntime(file.getvalue()))


def test_trace(tmp_path):
    model = adapter(detector(tmp_path))
    assert_detects(model, torch.jit.trace(model, model.flattened_inputs, check_trace=False))


@pytest.mark.parametrize("name", ["none", "adaptive"])
def test_script(name, tmp_path):
    model = detector(tmp_path, "MODEL.ANTIALIAS.NAME", name)
    scripted = scripting_with_instances(model, FIELDS)

    def deployed(x):
        (found,) = scripted.inference([{"image": x}], do_postprocess=False)
        return found.pred_boxes.tensor, found.pred_classes, found.pred_masks, found.scores

    with torch.no_grad():
        assert_detects(adapter(model), deployed)


class Pyramid(torch.nn.Module):
    """The backbone, from a batch whose sides are multiples of 32 to a tuple of maps."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone

    def forward(self, x):
        return tuple(self.backbone(x).values())


def test_export_of_the_backbone(tmp_path):
    backbone = Pyramid(detector(tmp_path).backbone)
    sides = {2: 32 * Dim("rows", min=2), 3: 32 * Dim("columns", min=2)}
    with torch.no_grad():
        program = torch.export.export(
            backbone, (torch.randn(2, 3, 128, 160),), dynamic_shapes=({0: Dim.DYNAMIC, **sides},)
        )
        x = torch.randn(1, 3, 96, 256)
        torch.testing.assert_close(program.module()(x), backbone(x))


def test_export_of_the_whole_is_impossible(tmp_path):
    """Detectron2 branches on values, without filters as well: the reason that the page gives."""
    model = adapter(detector(tmp_path, "MODEL.ANTIALIAS.NAME", "none"))
    with pytest.raises(Exception, match="data-dependent") as caught, torch.no_grad():
        torch.export.export(model, model.flattened_inputs)
    calls = [str(entry) for entry in caught.traceback]
    (branch,) = [call for call in calls if "in find_top_rpn_proposals" in call]
    assert "if not valid_mask.all()" in branch
