"""Every Python block of the pages runs, and so does the tutorial."""

import shutil
from pathlib import Path

import detectron2.model_zoo
import numpy as np
import onnx
import pytest
from detectron2.modeling import BACKBONE_REGISTRY
from docs.pages import PAGES, blocks, name, tutorial_cells
from helpers import CONFIGS, ROOT, make_small_shapes, small_config, small_options
from omegaconf import DictConfig

from aa_detectron import model_zoo
from aa_detectron.engine import Trainer
from aa_detectron.experiments.comparison.plan import read_plan
from aa_detectron.layers import LOWPASS_REGISTRY

WITH_PYTHON = [page for page in PAGES if blocks(page, "python")]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A folder as ``make demo`` leaves it, of a model that has hardly been trained."""
    folder = tmp_path_factory.mktemp("demo")
    make_small_shapes(folder / "datasets")
    shutil.copytree(folder / "datasets" / "shapes" / "val", folder / "photographs")
    write_onnx_classifier(folder / "model.onnx")
    trainer = Trainer(small_config(folder / "output" / "demo" / "adaptive"))
    trainer.resume_or_load(resume=False)
    trainer.train()
    return folder


def write_onnx_classifier(path):
    """A model of another origin: "image" (1, 3, H, W) -> "logits" (1, 5)."""
    floats = onnx.TensorProto.FLOAT
    weights = np.random.default_rng(0).normal(size=(5, 3, 8, 8)).astype(np.float32)
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Conv", ["image", "weights"], ["map"], strides=[8, 8]),
            onnx.helper.make_node("Relu", ["map"], ["active"]),
            onnx.helper.make_node("GlobalAveragePool", ["active"], ["pooled"]),
            onnx.helper.make_node("Flatten", ["pooled"], ["logits"]),
        ],
        "classifier",
        [onnx.helper.make_tensor_value_info("image", floats, [1, 3, "height", "width"])],
        [onnx.helper.make_tensor_value_info("logits", floats, [1, 5])],
        [onnx.numpy_helper.from_array(weights, "weights")],
    )
    opset = onnx.helper.make_opsetid("", 17)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=9), path)


@pytest.fixture
def home(demo, tmp_path, monkeypatch):
    """The current folder, a copy of :func:`demo`; filters that a page registers end with it."""
    shutil.copytree(demo, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(LOWPASS_REGISTRY, "_obj_map", dict(LOWPASS_REGISTRY._obj_map))
    monkeypatch.setattr(BACKBONE_REGISTRY, "_obj_map", dict(BACKBONE_REGISTRY._obj_map))
    get_config = model_zoo.get_config
    monkeypatch.setattr(model_zoo, "get_config", lambda name: in_seconds(get_config(name)))
    # Not every build of Detectron2 has its configs; this one of ours has the same name.
    monkeypatch.setattr(detectron2.model_zoo, "get_config", get_config)


def in_seconds(cfg):
    """A config of the model zoo, for two iterations on Shapes without a download."""
    if isinstance(cfg, DictConfig):
        return cfg
    shapes = ["MODEL.WEIGHTS", "", "INPUT.MASK_FORMAT", "bitmask"]
    cfg.merge_from_list([*small_options(Path("output")), *shapes])
    return cfg


def run(cells, title):
    namespace = {"__name__": "__main__", "display": lambda *shown: None}
    for number, cell in enumerate(cells, 1):
        exec(compile(cell, f"{title}, block {number}", "exec"), namespace)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.onnx")
@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("page", WITH_PYTHON, ids=map(name, WITH_PYTHON))
def test_python_of_a_page_runs(page):
    run(blocks(page, "python"), name(page))


def test_comparison_of_the_page_is_read(tmp_path):
    (text,) = blocks(ROOT / "docs" / "comparisons.md", "yaml")
    file = tmp_path / "comparison.yaml"
    file.write_text(text.replace("../", f"{CONFIGS}/"), encoding="utf-8")
    assert list(read_plan(file).variants) == ["plain", "blur", "large blur"]


@pytest.mark.usefixtures("home")
def test_tutorial_runs():
    run(tutorial_cells(), "tutorial")
