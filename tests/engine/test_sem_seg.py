"""Semantic and panoptic models, from the command line to mIoU and mASSC."""

import argparse
import json
import math

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from helpers import CONFIGS, config_of, make_small_shapes, small_options
from PIL import Image

from aa_detectron.data.datasets.builtin import register, register_all_shapes
from aa_detectron.data.datasets.shapes import CLASSES
from aa_detectron.engine.launch import main
from aa_detectron.engine.trainer import Trainer
from aa_detectron.errors import InputError
from aa_detectron.experiments.figures.pairs import choose_records, draw_pairs

ADAPTIVE = CONFIGS / "Shapes-SemanticSegmentation" / "deeplab_v3_plus_adaptive.yaml"
PANOPTIC = "small_panoptic"


@pytest.fixture(autouse=True)
def shapes(tmp_path):
    make_small_shapes(tmp_path)
    yield tmp_path / "shapes"
    register_all_shapes("datasets")


def arguments(output, *opts, config_file=ADAPTIVE, eval_only=False):
    return argparse.Namespace(
        config_file=str(config_file),
        opts=[*small_options(output), *opts],
        eval_only=eval_only,
        resume=False,
    )


def test_training_leaves_scores_records_and_pictures(tmp_path, shapes):
    results = main(arguments(tmp_path))
    assert results["sem_seg"]["mIoU"] >= 0
    scores = results["consistency_sem_seg"]
    assert scores["low"] <= scores["mASSC"] <= scores["high"] and scores["pairs"] == 4
    assert {"mASSC-ground", "mASSC-shift-16"} < scores.keys()
    records = json.loads(
        (tmp_path / "inference" / "consistency_sem_seg_shapes_sem_seg_val.json").read_text()
    )
    assert records["class_names"] == ["ground", *CLASSES]
    args = arguments(tmp_path, "MODEL.WEIGHTS", str(tmp_path / "model_final.pth"), eval_only=True)
    cfg = config_of(args)
    chosen = choose_records(records["pairs"], 2)
    paths = draw_pairs(cfg, Trainer.build_model(cfg), records["name"], chosen, tmp_path / "pairs")
    assert len(paths) == 2
    assert np.asarray(Image.open(paths[0])).std() > 10


def test_an_untrained_model_of_one_colour(tmp_path):
    """A prediction that is the same everywhere is perfectly consistent, and has the IoU of it."""
    args = arguments(tmp_path, eval_only=True)
    cfg = config_of(args)
    model = Trainer.build_model(cfg)
    model.sem_seg_head.predictor.weight.data.zero_()
    model.sem_seg_head.predictor.bias.data[0] = 1
    results = Trainer.test(cfg, model)
    labels = [
        np.asarray(Image.open(d["sem_seg_file_name"]))
        for d in DatasetCatalog.get("shapes_sem_seg_val")
    ]
    ground = np.mean([m == 0 for m in labels])
    assert results["sem_seg"]["IoU-ground"] == pytest.approx(100 * ground)
    assert results["sem_seg"]["pACC"] == pytest.approx(100 * ground)
    assert results["consistency_sem_seg"]["mASSC"] == 100
    assert math.isnan(results["consistency_sem_seg"][f"mASSC-{CLASSES[0]}"])


def test_labelled_pixels_only(tmp_path, shapes):
    for path in (shapes / "sem_seg_val").iterdir():
        Image.fromarray(np.full((64, 64), 255, np.uint8)).save(path)
    args = arguments(tmp_path, "TEST.CONSISTENCY.LABELLED_ONLY", "True", eval_only=True)
    cfg = config_of(args)
    scores = Trainer.test_consistency(cfg, Trainer.build_model(cfg))["shapes_sem_seg_val"]
    assert (scores["consistency_sem_seg"]["pairs"], scores["consistency_sem_seg"]["empty"]) == (
        0, 4,
    )  # fmt: skip


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("fault", ["size", "label", "missing"])
def test_bad_label_maps_end_in_one_line(tmp_path, shapes, capsys, split, fault):
    path = shapes / f"sem_seg_{split}" / "000002.png"
    if fault == "missing":
        path.unlink()
    else:
        wrong = np.full((64, 64) if fault == "label" else (64, 63), 7, np.uint8)
        Image.fromarray(wrong).save(path)
    output = tmp_path / "out"
    with pytest.raises(SystemExit) as stopped:
        main(arguments(output, eval_only=split == "val"))
    message = str(stopped.value.code)
    assert str(path) in message and "\n" not in message
    expected = {"size": "64x63", "label": "7", "missing": "no"}
    assert expected[fault] in message
    left = [p.name for p in output.rglob("*") if p.suffix in (".json", ".pth") and p.stat().st_size]
    assert left in ([], ["metrics.json"])


@pytest.mark.parametrize("only_pairs", [False, True])
def test_no_image(tmp_path, shapes, only_pairs):
    path = shapes / "annotations" / "instances_val.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"images": [], "annotations": []}))
    test = ["DATASETS.TEST", "()", "TEST.CONSISTENCY.DATASETS", "('shapes_sem_seg_val',)"]
    with pytest.raises(SystemExit) as stopped:
        main(arguments(tmp_path, *(test if only_pairs else []), eval_only=True))
    message = str(stopped.value.code)
    assert "found no image in images" in message and str(path) in message and "\n" not in message


def test_other_records_have_nothing_to_draw():
    with pytest.raises(InputError, match="neither instances, label maps nor classes"):
        choose_records([{"worst_shift": {}}], 1)


def test_number_of_classes(tmp_path):
    with pytest.raises(SystemExit, match="NUM_CLASSES is 6, but must be 7 for shapes_sem_seg"):
        main(arguments(tmp_path, "MODEL.SEM_SEG_HEAD.NUM_CLASSES", "6"))


def test_labelled_only_needs_labels(tmp_path):
    options = ("DATASETS.TEST", "('shapes_val',)", "TEST.CONSISTENCY.LABELLED_ONLY", "True")
    with pytest.raises(SystemExit, match="LABELLED_ONLY .*shapes_val"):
        main(arguments(tmp_path, *options))


@pytest.fixture
def panoptic(shapes):
    """Instances and label maps in one data set, as Detectron2's panoptic ones have them."""
    instances, labels = (DatasetCatalog.get(f"shapes{kind}_val") for kind in ("", "_sem_seg"))
    records = [i | s for i, s in zip(instances, labels, strict=True)]
    metadata = {
        key: value
        for name in ("shapes_sem_seg_val", "shapes_val")
        for key, value in MetadataCatalog.get(name).as_dict().items()
        if key not in ("name", "evaluator_type")
    }
    register(PANOPTIC, lambda: records, evaluator_type="coco_panoptic_seg", **metadata)


DETECTRON2 = [
    "DATASETS.TRAIN", "()", "MODEL.BACKBONE.NAME", "build_resnet_fpn_backbone",
    "MODEL.RESNETS.DEPTH", "18", "MODEL.RESNETS.RES2_OUT_CHANNELS", "64",
    "MODEL.RESNETS.OUT_FEATURES", "['res2','res3','res4','res5']",
    "MODEL.FPN.IN_FEATURES", "['res2','res3','res4','res5']",
    "MODEL.ANCHOR_GENERATOR.SIZES", "[[32],[64],[128],[256],[512]]",
    "MODEL.RPN.IN_FEATURES", "['p2','p3','p4','p5','p6']",
    "MODEL.ROI_HEADS.NAME", "StandardROIHeads",
    "MODEL.ROI_HEADS.IN_FEATURES", "['p2','p3','p4','p5']", "MODEL.ROI_HEADS.NUM_CLASSES", "6",
    "MODEL.ROI_BOX_HEAD.NAME", "FastRCNNConvFCHead", "MODEL.ROI_BOX_HEAD.NUM_FC", "1",
    "MODEL.MASK_ON", "True", "MODEL.ROI_MASK_HEAD.NAME", "MaskRCNNConvUpsampleHead",
    "MODEL.ROI_MASK_HEAD.NUM_CONV", "1", "MODEL.SEM_SEG_HEAD.NUM_CLASSES", "7",
    "TEST.CONSISTENCY.ENABLED", "True", "TEST.DETECTIONS_PER_IMAGE", "5",
    "MODEL.ROI_HEADS.SCORE_THRESH_TEST", "0.0",
]  # fmt: skip


def detectron2_arguments(output, architecture, name):
    """A model of Detectron2's own, nothing in it ours; only the default config is its base."""
    options = [
        *DETECTRON2,
        "MODEL.META_ARCHITECTURE",
        architecture,
        "DATASETS.TEST",
        f"('{name}',)",
    ]
    args = arguments(output, *options, config_file="", eval_only=True)
    weights = output / "random.pth"
    torch.save({"model": Trainer.build_model(config_of(args)).state_dict()}, weights)
    args.opts += ["MODEL.WEIGHTS", str(weights)]
    return args


def test_detectron2s_semantic_fpn(tmp_path):
    results = main(detectron2_arguments(tmp_path, "SemanticSegmentor", "shapes_sem_seg_val"))
    assert results.keys() == {"sem_seg", "consistency_sem_seg"}
    assert results["consistency_sem_seg"]["pairs"] == 4


def test_detectron2s_panoptic_fpn(tmp_path, panoptic):
    results = main(detectron2_arguments(tmp_path, "PanopticFPN", PANOPTIC))
    assert results.keys() == {
        "sem_seg", "bbox", "segm", "consistency_bbox", "consistency_segm", "consistency_sem_seg",
    }  # fmt: skip
    assert results["consistency_sem_seg"]["pairs"] == 4
    assert results["consistency_segm"]["pairs"] + results["consistency_segm"]["empty"] == 4
