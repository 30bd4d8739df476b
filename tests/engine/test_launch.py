"""From the command line to results, on a few tiny images."""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from helpers import DEMO_CONFIG, ROOT, config_of, make_small_shapes, small_config, small_options

from aa_detectron.data.datasets.builtin import register_all_shapes
from aa_detectron.engine.launch import evaluate, main, setup
from aa_detectron.engine.trainer import Trainer
from aa_detectron.errors import InputError, InvalidOption


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    root = tmp_path_factory.mktemp("datasets")
    make_small_shapes(root)
    return root


@pytest.fixture(autouse=True)
def _registered(shapes):
    register_all_shapes(str(shapes))


def arguments(output, *opts, config_file=DEMO_CONFIG, eval_only=False, resume=False):
    return argparse.Namespace(
        config_file=str(config_file),
        opts=[*small_options(output), *opts],
        eval_only=eval_only,
        resume=resume,
    )


def last_losses(output):
    lines = map(json.loads, (output / "metrics.json").read_text().splitlines())
    return [
        {k: v for k, v in line.items() if "loss" in k} for line in lines if "total_loss" in line
    ][-1]


@pytest.fixture(scope="module")
def trained(shapes, tmp_path_factory):
    output = tmp_path_factory.mktemp("trained")
    make_small_shapes(shapes)
    main(arguments(output))
    return output


def test_training_leaves_a_model_and_scores(trained):
    final = json.loads((trained / "metrics.json").read_text().splitlines()[-1])
    for key in ("bbox/AP", "segm/AP", "consistency_bbox/mAISC", "consistency_segm/mAISC"):
        assert key in final
    assert math.isfinite(last_losses(trained)["total_loss"])
    assert (trained / "model_final.pth").is_file()
    report = json.loads(
        (trained / "inference" / "consistency_instances_shapes_val.json").read_text()
    )
    assert len(report["pairs"]) == 4 and report["class_names"][0] == "ellipse"


def test_evaluation_gives_the_same_scores_again(trained, tmp_path):
    weights = str(trained / "model_final.pth")
    report = json.loads(
        (trained / "inference" / "consistency_instances_shapes_val.json").read_text()
    )
    results = evaluate(small_config(tmp_path, "MODEL.WEIGHTS", weights))
    assert {"bbox", "segm", "consistency_bbox", "consistency_segm"} == results.keys()
    again = json.loads(
        (tmp_path / "inference" / "consistency_instances_shapes_val.json").read_text()
    )
    assert again["pairs"] == report["pairs"]


def test_the_same_seed_gives_the_same_run(trained, tmp_path):
    np.random.seed(123)
    torch.manual_seed(123)
    main(arguments(tmp_path))
    assert last_losses(tmp_path) == last_losses(trained)
    first, second = (torch.load(o / "model_final.pth")["model"] for o in (trained, tmp_path))
    assert all(torch.equal(first[k], second[k]) for k in first)


def test_another_seed_gives_another(trained, tmp_path):
    main(arguments(tmp_path, "SEED", "2"))
    assert last_losses(tmp_path) != last_losses(trained)


def test_resume(trained, tmp_path):
    output = tmp_path / "resumed"
    shutil.copytree(trained, output)
    cfg = small_config(output, "SOLVER.MAX_ITER", "3")
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=True)
    assert trainer.start_iter == 2
    weights = torch.load(trained / "model_final.pth")["model"]
    assert all(torch.equal(v, weights[k]) for k, v in trainer.model.state_dict().items())
    assert trainer.train()["segm"]
    assert torch.load(output / "model_final.pth")["iteration"] == 2


def test_consistency_during_training(shapes, tmp_path, monkeypatch):
    tested = []
    original = Trainer.test_consistency.__func__

    def spy(cls, cfg, model):
        tested.append(True)
        return original(cls, cfg, model)

    monkeypatch.setattr(Trainer, "test_consistency", classmethod(spy))
    main(arguments(tmp_path, "TEST.EVAL_PERIOD", "1", "SOLVER.MAX_ITER", "2"))
    assert len(tested) == 2


def test_off_by_default_elsewhere(shapes, tmp_path):
    cfg = small_config(tmp_path, "TEST.CONSISTENCY.ENABLED", "False")
    results = Trainer.test(cfg, Trainer.build_model(cfg))
    assert results.keys() == {"bbox", "segm"}


def test_worst_shift(trained, tmp_path):
    weights = str(trained / "model_final.pth")
    options = ("MODEL.WEIGHTS", weights, "TEST.CONSISTENCY.WORST_SHIFT", "True")
    results = evaluate(small_config(tmp_path, *options))
    assert {"bbox", "segm", "consistency_segm", "worst_shift_bbox", "worst_shift_segm"} < {*results}
    for task in ("bbox", "segm"):
        scores = results[f"worst_shift_{task}"]
        assert scores["images"] == 4 and scores["unshifted_AP"] >= 0


def test_folder_of_photographs(trained, shapes, tmp_path):
    folder = shapes / "shapes" / "val"
    cfg = small_config(
        tmp_path, "MODEL.WEIGHTS", str(trained / "model_final.pth"), "DATASETS.TEST", "()",
        "TEST.CONSISTENCY.DATASETS", f"('{folder}',)",
    )  # fmt: skip
    results = evaluate(cfg)
    assert results[str(folder)].keys() == {"consistency_bbox", "consistency_segm"}
    assert len(list((tmp_path / "inference").glob("consistency_*_shapes_val-*.json"))) == 1


def test_detector_without_masks(shapes, tmp_path):
    cfg = small_config(tmp_path, "MODEL.MASK_ON", "False")
    results = Trainer.test_consistency(cfg, Trainer.build_model(cfg))
    assert results["shapes_val"].keys() == {"consistency_bbox"}


def test_detectron2s_own_backbone(shapes, tmp_path):
    """A model that knows nothing of us."""
    cfg = small_config(
        tmp_path, "MODEL.BACKBONE.NAME", "build_resnet_fpn_backbone",
        "MODEL.RESNETS.RES2_OUT_CHANNELS", "64", "MODEL.RESNETS.STEM_OUT_CHANNELS", "64",
    )  # fmt: skip
    results = Trainer.test_consistency(cfg, Trainer.build_model(cfg))
    scores = results["shapes_val"]["consistency_segm"]
    assert scores["pairs"] + scores["empty"] == 4


def run(shapes, *args):
    """tools/train_net.py in a process of its own: (exit status, last line of stderr)."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "train_net.py"), *map(str, args)],
        capture_output=True,
        text=True,
        env={**os.environ, "DETECTRON2_DATASETS": str(shapes), "CUDA_VISIBLE_DEVICES": ""},
    )
    assert "Traceback" not in done.stderr + done.stdout
    return done.returncode, done.stderr.strip().splitlines()[-1]


@pytest.fixture
def broken(shapes, tmp_path):
    """A copy of the data set to break."""
    shutil.copytree(shapes, tmp_path / "broken")
    return tmp_path / "broken"


def train(root, output, *opts):
    return run(root, "--config-file", DEMO_CONFIG, *small_options(output), *opts)


def test_missing_data_set(tmp_path):
    code, line = train(tmp_path / "nowhere", tmp_path / "out")
    assert code == 1 and line.startswith("error: ") and "instances_train.json" in line
    assert "make_shapes.py" in line


def test_unknown_data_set(shapes, tmp_path):
    code, line = train(shapes, tmp_path / "out", "DATASETS.TRAIN", "('shapes_tarin',)")
    assert code == 1 and "DATASETS.TRAIN" in line and "shapes_tarin" in line


def test_truncated_image(broken, tmp_path):
    for image in (broken / "shapes" / "train").iterdir():
        image.write_bytes(image.read_bytes()[:500])
    code, line = train(broken, tmp_path / "out", "DATALOADER.NUM_WORKERS", "1")
    assert code == 1 and line.startswith("error: ") and ".png: cannot be read" in line
    assert not list((tmp_path / "out").glob("*.pth"))


def test_json_without_categories(broken, tmp_path):
    path = broken / "shapes" / "annotations" / "instances_train.json"
    content = json.loads(path.read_text())
    del content["categories"]
    path.write_text(json.dumps(content))
    code, line = train(broken, tmp_path / "out")
    assert code == 1 and "instances_train.json" in line and "categories" in line


def test_checkpoint_of_another_architecture(trained, shapes, tmp_path):
    weights = trained / "model_final.pth"
    code, line = train(shapes, tmp_path, "MODEL.RESNETS.DEPTH", "34", "MODEL.WEIGHTS", weights)
    assert code == 1 and "model_final.pth" in line and "do not fit the model" in line


def test_unwritable_output(shapes, tmp_path):
    (tmp_path / "file").write_text("")
    code, line = train(shapes, tmp_path / "file")
    assert code == 1 and "OUTPUT_DIR" in line and "cannot be written" in line


def test_illegal_key_and_value(shapes, tmp_path):
    code, line = train(shapes, tmp_path, "MODEL.ANTIALIAS.GROUP", "4")
    assert code == 1 and "MODEL.ANTIALIAS.GROUP" in line
    code, line = train(shapes, tmp_path, "MODEL.ANTIALIAS.GROUPS", "5")
    assert code == 1 and "MODEL.ANTIALIAS.GROUPS is 5, but must be a divisor" in line


def test_config_by_its_name_in_the_model_zoo(shapes, tmp_path):
    args = arguments(tmp_path, config_file="Shapes-InstanceSegmentation/demo_adaptive.yaml")
    cfg = setup(args)
    assert cfg.MODEL.RESNETS.DEPTH == 18
    assert args.config_file == str(DEMO_CONFIG)  # which Detectron2 has read for its log


def test_missing_config_file(tmp_path):
    code, line = run(tmp_path, "--config-file", tmp_path / "no.yaml")
    assert code == 1 and "no.yaml" in line


def test_two_processes_measure_the_same(trained, shapes, tmp_path):
    """Consistency does not depend on the number of processes."""
    weights = trained / "model_final.pth"
    code, _ = run(
        shapes, "--num-gpus", "2", "--eval-only", "--config-file", DEMO_CONFIG,
        *small_options(tmp_path), "MODEL.WEIGHTS", weights,
    )  # fmt: skip
    assert code == 0
    name = "inference/consistency_instances_shapes_val.json"
    one, two = (json.loads((o / name).read_text()) for o in (trained, tmp_path))
    assert one["pairs"] == two["pairs"]
    assert one["results"] == two["results"]


def test_photographs_leave_ap_in_its_place(trained, shapes, tmp_path):
    folder = str(shapes / "shapes" / "val")
    cfg = small_config(tmp_path, "TEST.CONSISTENCY.DATASETS", f"('shapes_val', '{folder}')")
    results = Trainer.test(cfg, Trainer.build_model(cfg))
    assert results.keys() == {"bbox", "segm", "consistency_bbox", "consistency_segm", folder}
    assert results[folder].keys() == {"consistency_bbox", "consistency_segm"}


@pytest.mark.parametrize(
    "key, value",
    [
        ("MAX_SHIFT", "0"),
        ("PAIRS_PER_IMAGE", "0"),
        ("PAIRS_PER_BATCH", "-1"),
        ("SCORE_THRESH", "50."),
        ("DATASETS", "('nowhere',)"),
    ],
)
def test_illegal_consistency_options(key, value, tmp_path):
    with pytest.raises(InvalidOption, match=f"TEST.CONSISTENCY.{key} is "):
        config_of(arguments(tmp_path, f"TEST.CONSISTENCY.{key}", value))


def test_broken_config_file(tmp_path):
    base = tmp_path / "broken.yaml"
    base.write_text('_BASE_: "missing.yaml"')
    with pytest.raises(InputError, match="broken.yaml: .*missing.yaml: .*No such file"):
        config_of(arguments(tmp_path, config_file=base))
    base.write_text("a: b: c")
    with pytest.raises(InputError, match="broken.yaml: .*mapping values"):
        config_of(arguments(tmp_path, config_file=base))


def test_missing_coco(tmp_path):
    """Also of data sets that Detectron2 registers."""
    options = ("DATASETS.TRAIN", "('coco_2017_train',)", "DATASETS.TEST", "()")
    others = ("MODEL.ROI_HEADS.NUM_CLASSES", "80", "TEST.CONSISTENCY.ENABLED", "False")
    code, line = train(tmp_path, tmp_path / "out", *options, *others)
    assert code == 1 and line.startswith("error: ") and "instances_train2017.json" in line


@pytest.mark.parametrize("amp", ["bfloat16", "float16"])
def test_under_autocast(shapes, tmp_path, amp):
    model = Trainer.build_model(small_config(tmp_path)).eval()
    image = torch.zeros(3, 64, 64, dtype=torch.uint8)
    with torch.no_grad(), torch.autocast("cpu", getattr(torch, amp)):
        features = model.backbone(model.preprocess_image([{"image": image}]).tensor)
    assert all(map_.isfinite().all() for map_ in features.values())
