import json
import math

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data import transforms as T
from detectron2.evaluation import DatasetEvaluators, inference_on_dataset
from PIL import Image

from aa_detectron import add_aa_config
from aa_detectron.consistency.exchange.record_files import read_report
from aa_detectron.consistency.label_maps import score_label_pairs
from aa_detectron.data.datasets.builtin import register
from aa_detectron.data.pairs import ShiftedPairMapper, build_shifted_pair_loader
from aa_detectron.data.windows import ShiftedWindowMapper
from aa_detectron.errors import InputError
from aa_detectron.evaluation import (
    InstanceConsistencyEvaluator,
    SemSegConsistencyEvaluator,
)
from aa_detectron.evaluation.build import describe_pairs
from aa_detectron.evaluation.consistency import ConsistencyOptions, measure_consistency

NAME = "gray_levels"


def see_levels(crops):
    """A model without weights: dark is 0, light is 1; a crop from an odd row has its top row 2."""
    outputs = []
    for crop in crops:
        labels = (crop["image"][0] > 99).long()
        if crop["pair"]["offsets"][0 if crop["pair"]["first"] else 1][0] % 2:
            labels[0] = 2
        logits = torch.nn.functional.one_hot(labels, 3).permute(2, 0, 1).float()
        outputs.append({"sem_seg": logits})
    return outputs


class Model(torch.nn.Module):
    def forward(self, crops):
        return see_levels(crops)


@pytest.fixture
def dataset(tmp_path):
    """Six images of 48 x 64; their left half has no label."""
    records = []
    for number in range(6):
        image = np.zeros((48, 64, 3), np.uint8)
        image[20:29, 15 + number : 51] = 100
        labels = (image[..., 0] > 99).astype(np.uint8)
        labels[:, :32] = 255
        names = [str(tmp_path / f"{number}{suffix}") for suffix in (".png", "_labels.png")]
        for name, pixels in zip(names, (image, labels), strict=True):
            Image.fromarray(pixels).save(name)
        records.append({"file_name": names[0], "sem_seg_file_name": names[1]})
    register(NAME, lambda: records, image_root=str(tmp_path), ignore_label=255)
    return records


def evaluate(model=see_levels, output_dir=None, ignore_label=None, **options):
    cfg = get_cfg()
    add_aa_config(cfg)
    cfg.INPUT.MIN_SIZE_TEST = 0
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.TEST.CONSISTENCY.PAIRS_PER_IMAGE = 3
    cfg.TEST.CONSISTENCY.update(options)
    evaluator = SemSegConsistencyEvaluator(
        NAME, ["dark", "light", "edge"], ignore_label=ignore_label, output_dir=output_dir
    )
    evaluators = DatasetEvaluators([InstanceConsistencyEvaluator(NAME), evaluator])
    return inference_on_dataset(model, build_shifted_pair_loader(cfg, NAME), evaluators)


def test_only_what_the_model_gives_is_compared(dataset):
    assert evaluate().keys() == {"consistency_sem_seg"}


def test_disagreement_is_the_top_row(dataset, tmp_path):
    scores = evaluate(output_dir=tmp_path)["consistency_sem_seg"]
    report = json.loads((tmp_path / f"consistency_sem_seg_{NAME}.json").read_text())
    shares = []
    for pair in report["pairs"]:
        (y0, x0), (y1, x1) = pair["offsets"]
        height, width = 36 - abs(y0 - y1), 52 - abs(x0 - x1)
        # The top row of a crop from an odd row is in the overlap if the other does not start lower;
        # where both start at the same odd row they agree.
        rows = (y0 % 2 and y0 >= y1) != (y1 % 2 and y1 >= y0)
        shares.append(1 - rows / height)
        assert pair["sem_seg"]["pixels"] == height * width
    assert 0 < sum(s < 1 for s in shares) < 18
    assert scores["mASSC"] == pytest.approx(100 * np.mean(shares))
    assert scores["pairs"] == 18
    assert [p["image_id"] for p in report["pairs"][::3]] == [f"{i}.png" for i in range(6)]


def test_the_file_says_how_the_pairs_were_drawn(dataset, tmp_path):
    pipeline = {"augmentations": [T.NoOpTransform()], "image_format": "RGB"}
    measure_consistency(
        Model(),
        NAME,
        ConsistencyOptions(pairs_per_image=2, max_shift=99),  # the mapper has its own
        pair_mapper=ShiftedPairMapper(max_shift=5, seed=7, **pipeline),
        window_mapper=ShiftedWindowMapper(**pipeline),
        output_dir=str(tmp_path),
    )
    report = read_report(tmp_path / f"consistency_sem_seg_{NAME}.json")
    drawn = {"max_shift": 5, "seed": 7, "pairs_per_image": 2, "ignore_label": None}
    assert {key: report[key] for key in drawn} == drawn
    offsets = np.array([pair["offsets"] for pair in report["pairs"]])
    assert np.abs(offsets[:, 0] - offsets[:, 1]).max() <= 5
    assert describe_pairs(lambda image: [], 3) == {"pairs_per_image": 3}


def test_labeled_pixels_only(dataset, tmp_path):
    evaluate(output_dir=tmp_path, ignore_label=255)
    pairs = json.loads((tmp_path / f"consistency_sem_seg_{NAME}.json").read_text())["pairs"]
    for pair in pairs:
        (y0, x0), (y1, x1) = pair["offsets"]
        left, right = max(x0, x1, 32), min(x0, x1) + 52
        assert pair["sem_seg"]["pixels"] == (36 - abs(y0 - y1)) * (right - left)


def test_scores_can_be_computed_from_the_file(dataset, tmp_path):
    kept = evaluate(output_dir=tmp_path)["consistency_sem_seg"]
    report = json.loads((tmp_path / f"consistency_sem_seg_{NAME}.json").read_text())
    again = score_label_pairs(report["pairs"], report["class_names"])
    assert again.keys() == kept.keys()
    for key, value in again.items():
        assert value == kept[key] or (math.isnan(value) and math.isnan(kept[key])), key


def test_results_do_not_depend_on_the_batch(dataset):
    np.testing.assert_equal(evaluate(), evaluate(PAIRS_PER_BATCH=4))


def test_records_are_in_the_order_of_their_ids(dataset, tmp_path):
    """Several processes, say, bring them in another order."""
    evaluate(output_dir=tmp_path)
    path = tmp_path / f"consistency_sem_seg_{NAME}.json"
    expected = path.read_text()
    dataset.reverse()
    evaluate(output_dir=tmp_path)
    assert path.read_text() == expected


def test_label_map_of_another_size(dataset):
    path = dataset[2]["sem_seg_file_name"]
    Image.fromarray(np.zeros((48, 60), np.uint8)).save(path)
    with pytest.raises(InputError, match=f"{path}: .*48x60.*48x64"):
        evaluate(ignore_label=255)


def test_no_label_map(dataset):
    del dataset[0]["sem_seg_file_name"]
    with pytest.raises(InputError, match="0.png: has no label map"):
        evaluate(ignore_label=255)
