"""Any function as a model gives the same records as the evaluators for Detectron2."""

import gc
import weakref

import numpy as np
import pytest
import torch
from consistency.models import answers, bright_things, labels, noise, pixels, squares
from detectron2.config import get_cfg
from detectron2.evaluation import inference_on_dataset
from detectron2.structures import Boxes, Instances
from helpers import read_pair_record
from PIL import Image

from aa_detectron import add_aa_config
from aa_detectron.consistency import ConsistencyMetric, evaluate_consistency
from aa_detectron.consistency.exchange.record_files import read_report
from aa_detectron.consistency.shifts import crop_size, draw_offsets
from aa_detectron.consistency.sources.images import ImageItem
from aa_detectron.data.pairs import build_shifted_pair_loader
from aa_detectron.errors import InputError, InvalidOption
from aa_detectron.evaluation import InstanceConsistencyEvaluator, SemSegConsistencyEvaluator


@pytest.fixture
def folder(tmp_path):
    for number in range(4):
        Image.fromarray(squares(number)).save(tmp_path / f"{number}.png")
    return tmp_path


class OfDetectron2:
    """A function of crops in the interface of Detectron2's models."""

    def __init__(self, function):
        self.function = function

    def __call__(self, inputs):
        crops = [item["image"].numpy().transpose(1, 2, 0) for item in inputs]
        return [self.output(found) for found in self.function(crops)]

    def output(self, found):
        if isinstance(found, np.ndarray):
            return {"sem_seg": torch.nn.functional.one_hot(torch.as_tensor(found)).permute(2, 0, 1)}
        tensors = {key: torch.as_tensor(value) for key, value in found.items()}
        result = Instances(found["masks"].shape[1:], pred_boxes=Boxes(tensors.pop("boxes")))
        result.scores = tensors["scores"]
        result.pred_classes, result.pred_masks = tensors["classes"], tensors["masks"]
        return {"instances": result}


@pytest.mark.parametrize(
    "model, evaluator",
    [
        (bright_things, InstanceConsistencyEvaluator("x", score_thresh=0.6, distributed=False)),
        (labels, SemSegConsistencyEvaluator("x", distributed=False)),
    ],
)
def test_records_are_those_of_the_evaluators(folder, model, evaluator):
    cfg = get_cfg()
    add_aa_config(cfg)
    cfg.INPUT.MIN_SIZE_TEST = 0
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.TEST.CONSISTENCY.PAIRS_PER_IMAGE = 2
    loader = build_shifted_pair_loader(cfg, str(folder))
    scores = inference_on_dataset(OfDetectron2(model), loader, evaluator)
    options = {"pairs_per_image": 2, "score_thresh": 0.6}
    plain = evaluate_consistency(model, folder, **options)
    wrapped = evaluate_consistency(
        lambda crops: [OfDetectron2(model).output(f) for f in model(crops)], folder, **options
    )
    assert plain.records == wrapped.records == evaluator.records and len(plain.records) == 8
    np.testing.assert_equal(plain.scores, dict(scores))


def test_a_model_of_torchvision():
    from torchvision.models.detection import MaskRCNN
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

    torch.manual_seed(0)
    backbone = resnet_fpn_backbone(backbone_name="resnet18", weights=None)
    options = {"box_detections_per_img": 5, "rpn_post_nms_top_n_test": 20, "box_score_thresh": 0}
    model = MaskRCNN(backbone, 3, min_size=64, max_size=128, **options).eval()
    image = noise(3, (72, 80))

    @torch.no_grad()
    def predict(crops):
        return model([torch.as_tensor(c).permute(2, 0, 1) / 255 for c in crops])

    result = evaluate_consistency(predict, [image], score_thresh=0.1)

    offsets = draw_offsets(72, 80, 32, seed=0, image_id=0, pair=0)
    size = crop_size(72, 80, 32)
    sides = []
    for y, x in offsets:
        (found,) = predict([image[y : y + size[0], x : x + size[1]]])
        side = {k: found[n].numpy() for k, n in (("boxes",) * 2, ("scores",) * 2)}
        side |= {"classes": found["labels"].numpy(), "masks": found["masks"][:, 0].numpy() > 0.5}
        sides.append(side)
    record = read_pair_record(0, 0, offsets, size, *sides, score_thresh=0.1)
    assert len(record["bbox"]["first"]) > 1
    assert result.records == [record]
    for side in sides:
        check_by_loop(record, side, offsets, size, side is sides[0])


def check_by_loop(record, side, offsets, size, is_first):
    """Areas of masks in the overlap, counted pixel by pixel."""
    areas = {i["index"]: i["area"] for i in record["segm"]["first" if is_first else "second"]}
    here, other = offsets if is_first else offsets[::-1]
    for index, mask in enumerate(side["masks"]):
        area = sum(
            bool(mask[y, x])
            and 0 <= y + here[0] - other[0] < size[0]
            and 0 <= x + here[1] - other[1] < size[1]
            for y, x in np.ndindex(*mask.shape)
        )
        assert areas.get(index, 0) == (area if side["scores"][index] >= 0.1 else 0)


@pytest.mark.parametrize("model", [bright_things, labels, answers])
def test_the_batch_does_not_matter(model):
    images = [noise(i, (48, 56)) if model is not bright_things else squares(i) for i in range(3)]
    sizes = []

    def predict(crops):
        sizes.append(len(crops))
        return model(crops)

    one = evaluate_consistency(predict, images, pairs_per_image=2)
    assert set(sizes) == {1}
    five = evaluate_consistency(predict, images, pairs_per_image=2, batch_size=5)
    assert sizes[12:] == [5, 5, 2]
    assert one.records == five.records


def test_a_model_that_sees_each_pixel_alone():
    images = [squares(i) for i in range(3)]
    for model in (pixels, bright_things):
        for scores in evaluate_consistency(model, images, score_thresh=0).scores.values():
            main = scores.get("mAISC", scores.get("mASSC"))
            assert main == 100 and scores.get("drift", 0) == scores.get("flicker", 0) == 0


def test_only_records_stay_in_memory():
    alive = []

    def predict(crops):
        gc.collect()
        assert sum(found() is not None for found in alive) <= 4
        maps = pixels(crops)
        alive.extend(weakref.ref(array) for array in (*maps, *crops))
        return maps

    items = [ImageItem(i, lambda i=i: noise(i, (40, 40))) for i in range(12)]
    result = evaluate_consistency(predict, items)
    gc.collect()
    assert len(result.records) == 12 and not any(found() is not None for found in alive)


def test_the_file(folder, tmp_path):
    result = evaluate_consistency(bright_things, folder, class_names=["dark", "light"])
    result.save(tmp_path / "out" / "records.json")
    report = read_report(tmp_path / "out" / "records.json")
    assert report["pairs"] == result.records == result.to_dict()["pairs"]
    assert report["results"]["consistency_segm"].keys() == result.scores["consistency_segm"].keys()
    assert result.intervals["consistency_segm"] == tuple(
        result.scores["consistency_segm"][key] for key in ("low", "high")
    )
    assert "mask mAISC" in str(result) and "box drift" in str(result)


@pytest.mark.parametrize(
    "predict, message",
    [
        (lambda crops: {}, "predict returned dict with keys none, but must return a list of 1"),
        (lambda crops: [], "predict returned empty list, 0 long, but must return a list of 1"),
        (lambda crops: [{}], r"image 0, crop at \(\d+, \d+\): a prediction is dict with keys none"),
    ],
)
def test_predictions_that_cannot_be_used(predict, message):
    with pytest.raises(InputError, match=message):
        evaluate_consistency(predict, [squares()])


def test_several_kinds_at_once():
    def panoptic(crops):
        (things,), (stuff,) = bright_things(crops), pixels(crops)
        return [{**things, "sem_seg": stuff, "class": 3}]

    result = evaluate_consistency(panoptic, [squares(i) for i in range(3)])
    alone = [
        evaluate_consistency(m, [squares(i) for i in range(3)]) for m in (bright_things, pixels)
    ]
    for found, things, stuff in zip(result.records, *(a.records for a in alone), strict=True):
        assert found | things | stuff == found
        assert found["classification"]["first"]["label"] == 3


def test_two_kinds_of_prediction():
    outputs = iter([pixels, bright_things])
    with pytest.raises(InputError, match=r"first crop got \['sem_seg'\], the second \['boxes'\]"):
        evaluate_consistency(lambda crops: next(outputs)(crops), [squares()])


def test_kinds_that_differ_between_images():
    """A section is scored over the images that have it."""

    def model(crops):
        return pixels(crops) if crops[0][0, 0, 2] else bright_things(crops)

    marked = squares(2)
    marked[..., 2] = 9
    for images in ([squares(), squares(1), marked], [marked, squares(), squares(1)]):
        result = evaluate_consistency(model, images, score_thresh=0)
        scores = result.scores
        assert [scores[f"consistency_{s}"]["pairs"] for s in ("bbox", "segm", "sem_seg")] == [
            2,
            2,
            1,
        ]
        assert "mASSC" in str(result) and "box drift" in str(result)


def test_images_that_cannot_be_used(folder):
    (folder / "broken.png").write_bytes(b"no image")
    with pytest.raises(InputError, match="broken.png: cannot be read as an image"):
        evaluate_consistency(pixels, folder)
    with pytest.warns(UserWarning, match="left out: .*broken.png"):
        assert len(evaluate_consistency(pixels, folder, strict=False).records) == 4
    with pytest.raises(InputError, match="image 0: 3x3 pixels leave no room"):
        evaluate_consistency(pixels, [squares()[:3, :3]])
    with pytest.raises(InputError, match=r"image 0 is ndarray of shape \(160, 200\) and uint8"):
        evaluate_consistency(pixels, [squares()[..., 0]])
    with pytest.raises(InputError, match="no images"):
        evaluate_consistency(pixels, [])
    with (
        pytest.warns(UserWarning, match="left out"),
        pytest.raises(InputError, match="no image can be used; the first one: image 0: 3x3"),
    ):
        evaluate_consistency(pixels, [squares()[:3, :3]], strict=False)
    twice = [ImageItem("a", squares), ImageItem("a", squares)]
    with pytest.raises(InputError, match="two images have the id 'a'"):
        evaluate_consistency(pixels, twice)


def test_a_threshold_that_no_score_reaches():
    with pytest.raises(InvalidOption, match="score_thresh is nan, but must be a number"):
        evaluate_consistency(pixels, [squares()], score_thresh=float("nan"))
    with pytest.raises(InvalidOption, match="score_thresh is nan"):
        ConsistencyMetric(score_thresh=float("nan"))


@pytest.mark.parametrize("option", ["max_shift", "pairs_per_image", "batch_size"])
def test_options(option):
    with pytest.raises(InvalidOption, match=f"{option} is 2.5, but must be an integer from 1"):
        evaluate_consistency(pixels, [squares()], **{option: 2.5})
    with pytest.raises(InvalidOption, match=f"{option} is 0, but must be an integer from 1"):
        evaluate_consistency(pixels, [squares()], **{option: 0})


# -- The metric ----------------------------------------------------------------------------------


def update(metric, model, numbers):
    for number in numbers:
        image = squares(number)
        offsets = draw_offsets(160, 200, 32, seed=0, image_id=number, pair=0)
        size = crop_size(160, 200, 32)
        crops = [image[y : y + size[0], x : x + size[1]] for y, x in offsets]
        metric.update(*model(crops), offsets, image_id=number, size=size)


@pytest.mark.parametrize("model", [bright_things, labels, answers])
def test_a_metric_in_parts(model):
    expected = evaluate_consistency(model, [squares(i) for i in range(4)]).records
    whole, part, other = (ConsistencyMetric() for _ in range(3))
    update(whole, model, range(4))
    update(part, model, [3, 1])
    update(other, model, [0, 2, 3])  # 3 again, as a sampler fills a batch
    part.merge(other)
    assert whole.compute().records == part.compute().records == expected
    whole.reset()
    with pytest.raises(InputError, match="no pairs"):
        whole.compute()


def test_the_metric_knows_the_size_of_masks_and_maps():
    (found,) = bright_things([squares()])
    without = {key: value for key, value in found.items() if key != "masks"}
    metric = ConsistencyMetric()
    for output in (found, pixels([squares()])[0], OfDetectron2(None).output(found)):
        assert metric.update(output, output, ((0, 0), (0, 0)))["size"] == [160, 200]
    for output in (without, np.zeros((1, 10)), torch.zeros(1, 10)):
        with pytest.raises(InvalidOption, match="size is None"):
            metric.update(output, output, ((0, 0), (0, 0)), image_id=9)


def test_crops_that_do_not_overlap():
    for output in (pixels([squares()])[0], 3):
        with pytest.raises(InputError, match="do not overlap"):
            ConsistencyMetric().update(output, output, ((0, 0), (0, 200)), size=(160, 200))


def test_outputs_that_reject_text_as_an_index():
    class Output:
        shapes = 3

        def __getitem__(self, place):
            raise IndexError(place)

    with pytest.raises(InputError, match="a prediction is Output"):
        ConsistencyMetric().update(Output(), Output(), ((0, 0), (0, 1)), size=(9, 9))
    with pytest.raises(InvalidOption, match="size is None"):
        ConsistencyMetric().update(Output(), Output(), ((0, 0), (0, 1)))


def test_metrics_that_cannot_be_merged():
    first, second = ConsistencyMetric(), ConsistencyMetric(score_thresh=0.3)
    with pytest.raises(InputError, match="cannot be merged"):
        first.merge(second)
    update(first, pixels, [1])
    with pytest.raises(InputError, match="pair 0 of image '1' is there already"):
        update(first, pixels, [1])
    other = ConsistencyMetric()
    update(other, labels, [1])
    with pytest.raises(InputError, match="pair 0 of image '1' is there already"):
        first.merge(other)
