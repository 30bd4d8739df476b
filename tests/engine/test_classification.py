"""Classification, from the command line to accuracy, consistency and the drop curve."""

import argparse
import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from helpers import CONFIGS, ROOT, config_of

from aa_detectron.data.datasets.builtin import register_all_shapes
from aa_detectron.data.datasets.register import register
from aa_detectron.data.datasets.shapes import CLASSES, Options, make_shapes
from aa_detectron.engine.launch import main
from aa_detectron.engine.trainer import Trainer

ADAPTIVE = CONFIGS / "Shapes-Classification" / "resnet_R_18_adaptive.yaml"


@pytest.fixture(autouse=True)
def singles(tmp_path):
    options = Options(task="classification", train=24, val=12, height=40, width=40)
    make_shapes(str(tmp_path), options)
    register_all_shapes(str(tmp_path))
    yield tmp_path / "shapes_classification"
    register_all_shapes("datasets")


def arguments(output, *opts, eval_only=False):
    options = [
        "OUTPUT_DIR", str(output),
        "INPUT.CLASSIFIER.TRAIN_SIZE", "32",
        "INPUT.CLASSIFIER.TEST_RESIZE", "40",
        "INPUT.CLASSIFIER.TEST_SIZE", "32",
        "SOLVER.IMS_PER_BATCH", "4",
        "SOLVER.MAX_ITER", "2",
        "TEST.IMS_PER_BATCH", "5",
        *opts,
    ]  # fmt: skip
    return argparse.Namespace(
        config_file=str(ADAPTIVE), opts=options, eval_only=eval_only, resume=False
    )


def test_training_leaves_scores_records_and_a_curve(tmp_path):
    results = main(arguments(tmp_path))
    assert results["classification"]["images"] == 12
    assert results["classification"]["top1"] <= results["classification"]["top5"]
    scores = results["consistency_classification"]
    assert scores["low"] <= scores["consistency"] <= scores["high"]
    assert (scores["pairs"], scores["empty"]) == (24, 0)
    path = tmp_path / "inference" / "consistency_classification_shapes_classification_val.json"
    report = json.loads(path.read_text())
    assert len(report["pairs"]) == 24
    assert sum(point["pairs"] for point in report["drop_curve"]) == 24
    assert not path.with_suffix(".png").exists()


def test_a_network_that_always_says_the_same(tmp_path):
    cfg = config_of(arguments(tmp_path, eval_only=True))
    model = Trainer.build_model(cfg)
    model.backbone.linear.weight.data.zero_()
    model.backbone.linear.bias.data = model.backbone.linear.bias.new_tensor([0, 5, 4, 3, 2, 1.0])
    results = Trainer.test(cfg, model)
    assert results["classification"]["top1"] == pytest.approx(100 / 6)
    assert results["classification"]["top5"] == pytest.approx(500 / 6)
    scores = results["consistency_classification"]
    assert scores["consistency"] == 100
    assert scores["accuracy"] == pytest.approx(100 / 6)


def forget(*folders):
    for folder in folders:
        DatasetCatalog.remove(str(folder))
        MetadataCatalog.remove(str(folder))


def test_any_folder_of_class_folders(tmp_path, singles):
    folders = (tmp_path / "mine", tmp_path / "yours")
    shutil.copytree(singles / "train", folders[0])
    shutil.copytree(singles / "val", folders[1])
    names = [f"('{folder}',)" for folder in folders]
    results = main(arguments(tmp_path, "DATASETS.TRAIN", names[0], "DATASETS.TEST", names[1]))
    assert results["classification"]["images"] == 12
    assert (
        MetadataCatalog.get(str(folders[1])).classes == MetadataCatalog.get(str(folders[0])).classes
    )
    forget(*folders)


def test_a_folder_has_the_order_of_the_trainings_classes(tmp_path, singles):
    """Sorted, the classes of Shapes would come in another order."""
    folder = tmp_path / "mine"
    shutil.copytree(singles / "val", folder)
    config_of(arguments(tmp_path, "DATASETS.TEST", f"('{folder}',)", eval_only=True))
    assert MetadataCatalog.get(str(folder)).classes == CLASSES != sorted(CLASSES)
    forget(folder)


@pytest.mark.parametrize(
    "split, name, message",
    [
        ("TRAIN", "imagenet_1k_train", "NUM_CLASSES is 6, but must be 1000 for imagenet_1k_train"),
        (
            "TRAIN",
            "shapes_train",
            "DATASETS.TRAIN is 'shapes_train', but must be a dataset with classes",
        ),
        ("TEST", "shapes_val", "DATASETS.TEST is 'shapes_val', but must be a dataset with classes"),
        ("TEST", "imagenet_vid_val", "NUM_CLASSES is 6, but must be 1000 for imagenet_vid_val"),
    ],
)
def test_data_of_another_kind(tmp_path, split, name, message):
    with pytest.raises(SystemExit, match=message):
        main(arguments(tmp_path, f"DATASETS.{split}", f"('{name}',)"))


@pytest.mark.parametrize("size", ["40", "39", "28"])
def test_no_room_for_a_shift(tmp_path, size):
    with pytest.raises(SystemExit, match="INPUT.CLASSIFIER.TEST_SIZE"):
        main(arguments(tmp_path, "INPUT.CLASSIFIER.TEST_SIZE", size))


def test_resume(tmp_path):
    main(arguments(tmp_path, "SOLVER.CHECKPOINT_PERIOD", "1"))
    (tmp_path / "last_checkpoint").write_text("model_0000000.pth")
    args = arguments(tmp_path)
    cfg = config_of(args)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=True)
    assert trainer.start_iter == 1
    kept = torch.load(tmp_path / "model_0000000.pth")["model"]
    assert all(torch.equal(v, kept[k]) for k, v in trainer.model.state_dict().items())
    args.resume = True
    assert main(args)["classification"]["images"] == 12
    assert torch.load(tmp_path / "model_final.pth")["iteration"] == 1


def test_two_processes_measure_the_same(tmp_path, singles):
    """Thirteen images are no multiple of two. In larger batches the last digits would differ."""
    single = ["TEST.IMS_PER_BATCH", "1", "TEST.CONSISTENCY.PAIRS_PER_BATCH", "1"]
    shutil.copy(singles / "val" / "star" / "000004.png", singles / "val" / "ring" / "a.png")
    one, two = tmp_path / "one", tmp_path / "two"
    expected = main(arguments(one, *single))["classification"]
    options = arguments(two, *single, "MODEL.WEIGHTS", str(one / "model_final.pth")).opts
    command = [sys.executable, "tools/train_net.py", "--num-gpus", "2", "--eval-only"]
    environment = os.environ | {"DETECTRON2_DATASETS": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--config-file", ADAPTIVE, *options],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    name = "inference/consistency_classification_shapes_classification_val.json"
    reports = [json.loads((output / name).read_text()) for output in (one, two)]
    assert reports[0] == reports[1]
    shown = f"{expected['top1']:.4f},{expected['top5']:.4f},{expected['images']:.4f}"
    assert shown in done.stdout + done.stderr


def test_number_of_classes(tmp_path):
    with pytest.raises(SystemExit, match="MODEL.CLASSIFIER.NUM_CLASSES is 7, but must be 6"):
        main(arguments(tmp_path, "MODEL.CLASSIFIER.NUM_CLASSES", "7"))


def test_flat_folder(tmp_path, singles):
    flat = tmp_path / "flat"
    shutil.copytree(singles / "val" / "ring", flat)
    with pytest.raises(SystemExit) as stopped:
        main(arguments(tmp_path, "DATASETS.TEST", f"('{flat}',)"))
    message = str(stopped.value.code)
    assert str(flat) in message and "<class>" in message and "\n" not in message


def test_missing_data(tmp_path, singles):
    shutil.rmtree(singles)
    with pytest.raises(SystemExit, match="make_shapes.py --task classification"):
        main(arguments(tmp_path))


def test_a_classifier_of_imagenet_on_vid(tmp_path, singles):
    records = [
        {"file_name": str(path), "image_id": path.name, "vid_classes": [0]}
        for path in sorted((singles / "val" / "star").iterdir())
    ]
    vid = MetadataCatalog.get("imagenet_vid_val")
    register(
        "small_vid", lambda: records, evaluator_type="imagenet_vid", imagenet_1k=vid.imagenet_1k
    )
    options = ["MODEL.CLASSIFIER.NUM_CLASSES", "1000", "DATASETS.TEST", "('small_vid',)"]
    cfg = config_of(arguments(tmp_path, *options, eval_only=True))
    model = Trainer.build_model(cfg)
    model.backbone.linear.weight.data.zero_()
    right = vid.imagenet_1k[0][0]
    outside = next(i for i in range(1000) if all(i not in classes for classes in vid.imagenet_1k))
    model.backbone.linear.bias.data.fill_(-9)
    model.backbone.linear.bias.data[right] = -1
    model.backbone.linear.bias.data[outside] = 5
    results = Trainer.test(cfg, model)
    assert results["vid"] == {"top1": 100, "images": len(records)}
    assert results["consistency_classification"]["consistency"] == 100
    assert "accuracy" not in results["consistency_classification"]
