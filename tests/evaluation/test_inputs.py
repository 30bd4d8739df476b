"""Evaluators on Detectron2's ordinary loader, and on each other's."""

import pytest
import torch
from detectron2.data import build_detection_test_loader
from detectron2.evaluation import inference_on_dataset
from detectron2.structures import Instances
from helpers import make_small_shapes, small_config

from aa_detectron.data.pairs import build_shifted_pair_loader
from aa_detectron.errors import InputError
from aa_detectron.evaluation import (
    ClassificationConsistencyEvaluator,
    InstanceConsistencyEvaluator,
    SemSegConsistencyEvaluator,
    WorstShiftEvaluator,
)
from aa_detectron.evaluation.accuracy import ClassificationEvaluator, VIDEvaluator


class Model(torch.nn.Module):
    def forward(self, inputs):
        return [{"instances": Instances((1, 1)), "logits": torch.zeros(2)} for _ in inputs]


class Detector(torch.nn.Module):
    def forward(self, inputs):
        return [{"instances": Instances((1, 1))} for _ in inputs]


@pytest.fixture(scope="module", autouse=True)
def _shapes(tmp_path_factory):
    make_small_shapes(tmp_path_factory.mktemp("datasets"), train=1, val=1)


@pytest.mark.parametrize(
    "make, key, loader",
    [
        (InstanceConsistencyEvaluator, "pair", "data.pairs.build_shifted_pair_loader(cfg"),
        (SemSegConsistencyEvaluator, "pair", "data.pairs.build_shifted_pair_loader(cfg"),
        (ClassificationConsistencyEvaluator, "pair", "data.pairs.build_shifted_pair_loader(cfg"),
        (WorstShiftEvaluator, "window", "data.windows.build_shifted_window_loader(cfg"),
        (ClassificationEvaluator, "category_id", "engine.Trainer.build_test_loader(cfg"),
        (lambda name: VIDEvaluator(name, [[0]]), "vid_classes", "engine.Trainer.build_test_load"),
    ],
)
def test_ordinary_loader(tmp_path, make, key, loader):
    evaluator = make("shapes_val")
    ordinary = build_detection_test_loader(small_config(tmp_path), "shapes_val")
    with pytest.raises(InputError) as rejected:
        inference_on_dataset(Model(), ordinary, evaluator)
    line = str(rejected.value)
    assert line.startswith(f"{type(evaluator).__name__}: the inputs have no {key!r}")
    assert f"aa_detectron.{loader}" in line and "\n" not in line


def test_a_detector_is_no_classifier(tmp_path):
    loader = build_detection_test_loader(small_config(tmp_path), "shapes_val")
    with pytest.raises(InputError, match="inputs have no 'category_id'"):
        inference_on_dataset(Detector(), loader, ClassificationEvaluator("shapes_val"))


def test_loader_of_pairs_has_no_windows(tmp_path):
    loader = build_shifted_pair_loader(small_config(tmp_path), "shapes_val")
    with pytest.raises(InputError, match="no 'window'.*build_shifted_window_loader"):
        inference_on_dataset(Model(), loader, WorstShiftEvaluator("shapes_val"))
