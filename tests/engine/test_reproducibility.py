"""Killing and resuming a training gives bit-identical weights."""

import argparse
import itertools
import json
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from helpers import CONFIGS, DEMO_CONFIG, ROOT, make_small_shapes, small_options

from aa_detectron.data.datasets.builtin import register_all_shapes
from aa_detectron.data.datasets.shapes import Options, make_shapes
from aa_detectron.engine import AACheckpointer, Trainer
from aa_detectron.engine.launch import main
from aa_detectron.engine.reproducibility import KeyedSteps, forget_metrics
from aa_detectron.utils import files

RETINANET = """
_BASE_: "{base}"
MODEL:
  META_ARCHITECTURE: "RetinaNet"
  MASK_ON: False
  BACKBONE: {{NAME: "build_aa_resnet_retinanet_fpn_backbone"}}
  RESNETS: {{OUT_FEATURES: ["res3", "res4", "res5"]}}
  FPN: {{IN_FEATURES: ["res3", "res4", "res5"]}}
  ANCHOR_GENERATOR: {{SIZES: [[20], [40], [80], [160], [320]]}}
  RETINANET: {{NUM_CLASSES: 6, NUM_CONVS: 1}}
"""
SHORT = [
    "SOLVER.MAX_ITER", "5",
    "SOLVER.CHECKPOINT_PERIOD", "2",
    "SOLVER.WARMUP_ITERS", "2",
]  # fmt: skip
WITHOUT_TEST = ["DATASETS.TEST", "()", "TEST.CONSISTENCY.ENABLED", "False"]
CLASSIFIER = [
    "INPUT.CLASSIFIER.TRAIN_SIZE", "32",
    "INPUT.CLASSIFIER.TEST_RESIZE", "40",
    "INPUT.CLASSIFIER.TEST_SIZE", "32",
]  # fmt: skip
TASKS = {
    "instances": (DEMO_CONFIG, []),
    "sem_seg": (
        CONFIGS / "Shapes-SemanticSegmentation" / "deeplab_v3_plus_adaptive.yaml",
        ["MODEL.SEM_SEG_HEAD.ASPP_DROPOUT", "0.5"],
    ),
    "classification": (CONFIGS / "Shapes-Classification" / "resnet_R_18_adaptive.yaml", CLASSIFIER),
    "retinanet": (None, []),
}


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    root = tmp_path_factory.mktemp("datasets")
    make_small_shapes(root)
    singles = Options(task="classification", train=12, val=6, height=40, width=40)
    make_shapes(str(root), singles)
    (root / "retinanet.yaml").write_text(RETINANET.format(base=DEMO_CONFIG))
    return root


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """A forked process cannot use the threads of its parent's OpenMP."""
    number = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(number)


@pytest.fixture(autouse=True)
def _registered(shapes):
    register_all_shapes(str(shapes))
    yield
    register_all_shapes("datasets")


def arguments(shapes, output, *options, task="instances", resume=False):
    config, more = TASKS[task]
    return argparse.Namespace(
        config_file=str(config or shapes / "retinanet.yaml"),
        opts=[*small_options(output), *SHORT, *more, *options],
        eval_only=False,
        resume=resume,
    )


def last_state(output):
    return torch.load(output / "model_final.pth", weights_only=False)


def assert_equal(found, expected):
    """Weights, moments of the optimizer, schedule and all; NaN equals NaN."""
    assert type(found) is type(expected)
    if isinstance(found, dict):
        assert found.keys() == expected.keys()
        for key in found:
            assert_equal(found[key], expected[key])
    elif isinstance(found, torch.Tensor):
        assert torch.equal(found, expected)
    else:
        np.testing.assert_equal(found, expected)


def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)


def die_in_step(patch):
    original = Trainer.run_step

    def run_step(self):
        original(self)
        if self.iter == 3:
            die()

    patch.setattr(Trainer, "run_step", run_step)


def die_in_second_save(patch):
    original, saved = torch.save, []

    def save(data, file):
        if saved:
            file.write(b"half")
            file.flush()
            die()
        saved.append(True)
        original(data, file)

    patch.setattr(torch, "save", save)


def die_before_first_step(patch):
    patch.setattr(Trainer, "run_step", die)


def die_in_second_tag(patch):
    original, tagged = files.os.replace, []

    def replace(source, target):
        if str(target).endswith("last_checkpoint"):
            if tagged:
                die()
            tagged.append(True)
        original(source, target)

    patch.setattr(files.os, "replace", replace)


def die_before_final(patch):
    original = AACheckpointer.save

    def save(self, name, **kwargs):
        if name == "model_final":
            die()
        original(self, name, **kwargs)

    patch.setattr(AACheckpointer, "save", save)


def killed(args, how):
    """Trains in another process, which dies as ``how`` tells."""

    def child():
        with pytest.MonkeyPatch.context() as patch:
            how(patch)
            main(args)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


@pytest.fixture(scope="module")
def undisturbed(shapes, tmp_path_factory):
    kept = {}

    def train(task):
        if task not in kept:
            output = kept[task] = tmp_path_factory.mktemp(task)
            main(arguments(shapes, output, *WITHOUT_TEST, task=task))
        return kept[task]

    return train


@pytest.mark.parametrize("task", TASKS)
def test_killed_in_a_step(task, shapes, undisturbed, tmp_path):
    """And each time with another number of workers."""
    options = (*WITHOUT_TEST, "DATALOADER.NUM_WORKERS")
    killed(arguments(shapes, tmp_path, *options, "2", task=task), die_in_step)
    assert (tmp_path / "last_checkpoint").read_text() == "model_0000001.pth"
    main(arguments(shapes, tmp_path, *options, "1", task=task, resume=True))
    assert_equal(last_state(tmp_path), last_state(undisturbed(task)))


@pytest.mark.parametrize(
    "how, last",
    [
        (die_before_first_step, None),
        (die_in_second_save, "model_0000001.pth"),
        (die_in_second_tag, "model_0000001.pth"),
    ],
)
def test_killed_elsewhere(how, last, shapes, undisturbed, tmp_path):
    killed(arguments(shapes, tmp_path, *WITHOUT_TEST, task="classification"), how)
    tag = tmp_path / "last_checkpoint"
    assert (tag.read_text() if tag.exists() else None) == last
    args = arguments(shapes, tmp_path, *WITHOUT_TEST, task="classification", resume=True)
    main(args)
    assert_equal(last_state(tmp_path), last_state(undisturbed("classification")))
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".model")]


def test_killed_before_the_final_checkpoint(shapes, tmp_path):
    """Behind a periodic one of the last iteration, also where an older final one is there."""
    options = [*WITHOUT_TEST, "SOLVER.MAX_ITER"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    main(arguments(shapes, whole, *options, "4", task="classification"))
    main(arguments(shapes, broken, *options, "2", task="classification"))
    args = arguments(shapes, broken, *options, "4", task="classification", resume=True)
    killed(args, die_before_final)
    assert (broken / "last_checkpoint").read_text() == "model_0000003.pth"
    assert last_state(broken)["iteration"] == 1
    main(args)
    periodic = torch.load(broken / "model_0000003.pth", weights_only=False)
    assert_equal(last_state(broken), periodic)
    assert periodic["iteration"] == 3 and len(periodic["model"]) == len(last_state(whole)["model"])


def metrics(output):
    """The lines of metrics.json without times."""
    lines = [json.loads(line) for line in (output / "metrics.json").read_text().splitlines()]
    return [{k: v for k, v in line.items() if "time" not in k} for line in lines]


def test_killed_from_outside(shapes, tmp_path):
    """The command itself, twice; evaluations and what it leaves in metrics.json."""
    once, twice = tmp_path / "once", tmp_path / "twice"
    options = ("TEST.EVAL_PERIOD", "2", "SOLVER.MAX_ITER", "4")
    expected = main(arguments(shapes, once, *options, task="classification"))
    args = arguments(shapes, twice, *options, task="classification")
    command = [sys.executable, "tools/train_net.py", "--config-file", args.config_file, *args.opts]
    environment = os.environ | {"DETECTRON2_DATASETS": str(shapes), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    while process.poll() is None and not (twice / "last_checkpoint").exists():
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    args.resume = True
    assert_equal(main(args), expected)
    assert_equal(last_state(twice), last_state(once))
    assert_equal(metrics(twice)[-1], metrics(once)[-1])


def test_resumed_when_nothing_is_left(shapes, tmp_path):
    """As after a kill during the final evaluation: it is made again, and stands there once."""
    args = arguments(shapes, tmp_path, task="classification")
    expected = main(args)
    before = metrics(tmp_path)
    args.resume = True
    assert_equal(main(args), expected)
    np.testing.assert_equal(metrics(tmp_path), before)
    assert before[-1]["iteration"] == 5 and "classification/top1" in before[-1]


def test_forgets_metrics_that_come_again(tmp_path):
    path = tmp_path / "metrics.json"
    lines = [19, 39, 29, 59, 30, 12]
    path.write_text("".join(f'{{"iteration": {i}}}\n' for i in lines) + '{"iteration": 1')
    with open(path, "a") as opened:
        forget_metrics(str(path), 30)
        opened.write('{"iteration": 31}\n')
    assert [json.loads(line)["iteration"] for line in path.read_text().splitlines()] == [
        19, 29, 12, 31,
    ]  # fmt: skip
    forget_metrics(str(path), 0)
    assert path.read_text() == ""
    forget_metrics(str(tmp_path / "nowhere"), 0)


def warnings_of_a_resume(args) -> list[str]:
    main(args)
    args.resume = True
    logger = logging.getLogger("aa_detectron.engine.reproducibility")
    warned: list[str] = []
    logger.addHandler(handler := logging.Handler())
    handler.emit = lambda record: warned.append(record.getMessage())
    main(args)
    logger.removeHandler(handler)
    return warned


@pytest.mark.parametrize("options", [["SEED", "-1"], ["TEST.PRECISE_BN.ENABLED", "True"]])
def test_says_what_is_not_exact(options, shapes, tmp_path):
    more = [*WITHOUT_TEST, "SOLVER.MAX_ITER", "1", "TEST.PRECISE_BN.NUM_ITER", "1", *options]
    args = arguments(shapes, tmp_path, *more, task="classification")
    (warned,) = warnings_of_a_resume(args)
    assert options[0].rsplit(".", 1)[0] in warned


def test_says_that_another_loader_begins_anew(shapes, tmp_path, monkeypatch):
    ours = Trainer.build_train_loader
    first = classmethod(lambda _, cfg: list(itertools.islice(ours(cfg), 1)))
    monkeypatch.setattr(Trainer, "build_train_loader", first)
    args = arguments(shapes, tmp_path, *WITHOUT_TEST, "SOLVER.MAX_ITER", "1", task="classification")
    (warned,) = warnings_of_a_resume(args)
    assert warned.startswith("build_train_loader is not aa_detectron.data.train_loader")


def test_generators_of_a_step(shapes, tmp_path, monkeypatch):
    """They follow from the iteration and the rank, not from what was drawn before."""
    drawn = []

    def run_step(self):
        drawn.append(torch.rand(()).item())
        torch.rand(self.iter)

    monkeypatch.setattr(Trainer, "run_step", run_step)
    options = [*WITHOUT_TEST, "SOLVER.MAX_ITER", "3"]
    monkeypatch.setattr(AACheckpointer, "save", lambda *args, **kwargs: None)
    main(arguments(shapes, tmp_path, *options, task="classification"))
    main(arguments(shapes, tmp_path, *options, "SEED", "2", task="classification"))
    assert len(set(drawn)) == 6


def test_the_error_of_an_earlier_hook_is_kept():
    """A training that fails before its start calls every hook's after_train all the same."""
    KeyedSteps(0).after_train()
