import json

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import COCOEvaluator, SemSegEvaluator
from helpers import small_config
from PIL import Image

from aa_detectron.errors import InputError, InvalidOption
from aa_detectron.evaluation import WorstShiftEvaluator
from aa_detectron.evaluation.accuracy import ClassificationEvaluator
from aa_detectron.evaluation.build import (
    build_consistency_evaluators,
    build_evaluator,
    check_evaluator_type,
    inference_folder,
    make_consistency_evaluators,
)
from aa_detectron.evaluation.consistency import ConsistencyOptions, measure_consistency


@pytest.fixture
def register():
    names = []

    def add(name, **metadata):
        DatasetCatalog.register(name, list)
        MetadataCatalog.get(name).set(**metadata)
        names.append(name)
        return name

    yield add
    for name in names:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def test_by_type(register, tmp_path):
    cfg = small_config(tmp_path)
    evaluator = build_evaluator(cfg, register("tests_of_build", evaluator_type="classification"))
    assert isinstance(evaluator, ClassificationEvaluator)
    assert evaluator.output_dir == inference_folder(cfg) == str(tmp_path / "inference")
    labels = {"evaluator_type": "sem_seg", "stuff_classes": ["a"], "ignore_label": 255}
    assert isinstance(build_evaluator(cfg, register("tests_of_maps", **labels)), SemSegEvaluator)
    register("tests_of_nothing", evaluator_type="other")
    with pytest.raises(InputError, match="has evaluator_type 'other', but must have one of"):
        check_evaluator_type("tests_of_nothing")


def test_keypoint_sigmas_are_used(register, tmp_path):
    path = tmp_path / "truth.json"
    path.write_text(json.dumps({"images": [], "annotations": [], "categories": []}))
    register("tests_of_points", evaluator_type="coco", json_file=str(path))
    cfg = small_config(tmp_path, "TEST.KEYPOINT_OKS_SIGMAS", "[0.1, 0.2]")
    evaluator = build_evaluator(cfg, "tests_of_points")
    assert isinstance(evaluator, COCOEvaluator) and evaluator._kpt_oks_sigmas == [0.1, 0.2]


def test_every_dataset_has_its_file_of_accuracy(register, tmp_path):
    cfg = small_config(tmp_path)
    for number, name in enumerate(("tests/a_b", "tests_a/b")):
        evaluator = build_evaluator(cfg, register(name, evaluator_type="classification"))
        item = {"image_id": np.int64(number), "category_id": 0}
        evaluator.process([item], [{"logits": torch.tensor([1.0, 0.0])}])
        evaluator.evaluate()
    files = sorted((tmp_path / "inference").glob("accuracy_*.json"))
    assert len(files) == 2
    kept = [json.loads(file.read_text())["images"][0]["image_id"] for file in files]
    assert sorted(kept) == [0, 1]


def test_converted_datasets_have_files_of_their_own(register, tmp_path):
    for name in ("tests/of_coco", "tests_of/coco", "tests_of_coco"):
        register(name, evaluator_type="coco", thing_classes=["x"])
        build_evaluator(small_config(tmp_path), name)
    files = {file.name for file in (tmp_path / "inference").glob("*_coco_format.json")}
    assert len(files) == 3 and "tests_of_coco_coco_format.json" in files


def test_consistency_evaluators_know_the_options(register, tmp_path):
    options = {"SCORE_THRESH": 0.25, "MATCH_CLASS": False, "LABELLED_ONLY": True}
    flat = [str(v) for key, value in options.items() for v in (f"TEST.CONSISTENCY.{key}", value)]
    cfg = small_config(tmp_path, *flat)
    name = register("tests_of_pairs", thing_classes=["x"], stuff_classes=["y"], ignore_label=9)
    instances, labels, classes = build_consistency_evaluators(cfg, name)
    assert instances.settings() == {"score_thresh": 0.25, "match_class": False}
    assert (instances.class_names, labels.class_names) == (["x"], ["y"])
    assert labels.settings() == {"ignore_label": 9}
    assert {e.output_dir for e in (instances, labels, classes)} == {inference_folder(cfg)}
    pairs = {"max_shift": 32, "seed": 0, "pairs_per_image": 1}
    assert instances.pair_settings == labels.pair_settings == classes.pair_settings == pairs


def test_plain_arguments_are_checked_as_the_config_is(register, tmp_path):
    """Before anything is measured: the model is never called."""
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(tmp_path / "a.png")
    dataset = register("tests_of_needs", evaluator_type="classification")
    for name in (str(tmp_path), dataset):
        with pytest.raises(InvalidOption, match="labelled_only is True, but must be False for"):
            make_consistency_evaluators(name, labelled_only=True)
        with pytest.raises(InputError, match="has no json_file, annotations in COCO's format"):
            WorstShiftEvaluator(name)
        for option in ("labelled_only", "worst_shift"):
            options = ConsistencyOptions(**{option: True})
            with pytest.raises(InvalidOption, match=f"{option} is True, but must be False for"):
                measure_consistency(None, name, options, pair_mapper=None, window_mapper=None)
