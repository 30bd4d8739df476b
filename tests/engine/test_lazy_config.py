"""LazyConfigs that cannot be used are rejected in one line, before anything is built."""

import builtins
import os
import subprocess
import sys

import pytest
from helpers import ROOT, make_small_shapes
from lazy_configs import DEMO

from aa_detectron.data.datasets.builtin import register_all_shapes
from aa_detectron.engine import load_config
from aa_detectron.engine.lazy.checks import check_lazy_contents, consistency_options
from aa_detectron.engine.lazy.config import instantiated, load_lazy_config
from aa_detectron.errors import InputError, InvalidOption
from aa_detectron.evaluation.consistency import ConsistencyOptions

register_all_shapes("datasets")


def load(*opts, **kwargs):
    return load_lazy_config(DEMO, ["train.device=cpu", *opts], **kwargs)


def write(folder, text):
    path = folder / "config.py"
    path.write_text(text)
    return str(path)


def test_photographs_that_are_missing(tmp_path):
    make_small_shapes(tmp_path, train=1, val=1)
    (tmp_path / "photographs").mkdir()
    options = ["consistency.enabled=true", f"consistency.datasets=[{tmp_path / 'photographs'}]"]
    cfg = load(*options, eval_only=True)
    with pytest.raises(InputError, match="photographs: no images"):
        check_lazy_contents(cfg, eval_only=True)
    check_lazy_contents(load(eval_only=True), eval_only=True)


def test_missing_keys_have_defaults(tmp_path):
    cfg = load_lazy_config(write(tmp_path, "model = dict()\ntrain = dict(max_iter=7)"))
    assert cfg.train.max_iter == 7 and cfg.train.seed == -1
    assert cfg.train.checkpointer.period == cfg.train.eval_period == 5000
    assert consistency_options(cfg) == ConsistencyOptions()


def test_overrides():
    cfg = load(
        "consistency.max_shift=8",
        "model.backbone.bottom_up.kernel_size=5",  # the file leaves it at its default
        "dataloader.test.mapper.augmentations.0.max_size=99",
        "dataloader.test.dataset.names=shapes_sem_seg_val",
    )
    assert consistency_options(cfg).max_shift == 8
    assert cfg.model.backbone.bottom_up.kernel_size == 5
    assert instantiated(cfg, "dataloader.test.mapper").augmentations.augs[0].max_size == 99
    assert cfg.dataloader.evaluator.name == "shapes_sem_seg_val"


@pytest.mark.parametrize(
    "option, message",
    [
        ("train.max_iter=0", "train.max_iter is 0, but must be an integer, 1 or more"),
        ("train.eval_period=-1", "train.eval_period is -1"),
        ("train.seed=x", "train.seed is 'x'"),
        ("train.device=tpv", "train.device is 'tpv'"),
        ("train.amp.enabled=true", "train.amp.enabled is True, but must be False for .* cpu"),
        ("consistency.max_shift=0", "consistency.max_shift is 0"),
        ("consistency.score_thresh=2", "consistency.score_thresh is 2"),
        ("consistency.strict=3", "consistency.strict is 3"),
        ("consistency.datasets=[nowhere]", "consistency.datasets is 'nowhere', but must be names"),
        ("consistency.labelled_only=true", "consistency.labelled_only is True, but must be False"),
    ],
)
def test_illegal_value(option, message):
    with pytest.raises(InvalidOption, match=message):
        load(option)


@pytest.mark.parametrize(
    "option, message",
    [
        ("trian.max_iter=3", "trian.max_iter: there is no such key"),
        ("train.max_itr=3", "train.max_itr: there is no such key"),
        ("consistency.shift=3", "consistency.shift: there is no such key"),
        ("dataloader.test.mapper.augmentations.1.max_size=3", "there is no such key"),
        ("train.max_iter", "'train.max_iter' must be path.key=value for .*demo_adaptive.py"),
        ("train.output_dir=(a", "command line: "),
        (
            "dataloader.train.dataset.names=nothing",
            "dataloader.train.dataset.names: 'nothing' is not a registered dataset",
        ),
        (
            "dataloader.test.dataset.names=[shapes_val,nothing]",
            "dataloader.test.dataset.names: 'nothing' is not",
        ),
    ],
)
def test_unknown_key_or_dataset(option, message):
    with pytest.raises(InputError, match=message) as caught:
        load(option)
    assert "\n" not in str(caught.value)


def test_evaluation_needs_no_training_data():
    load("dataloader.train.dataset.names=nothing", eval_only=True)


@pytest.mark.parametrize(
    "text, message",
    [
        ("model = (", "config.py: SyntaxError: '\\(' was never closed"),
        ("import nothing_at_all", "config.py: ModuleNotFoundError: No module named"),
        ("from .other import model", "config.py: ImportError: Cannot import name other"),
        ("model = nothing", "config.py: NameError: name 'nothing' is not defined"),
        ("other = dict()", "config.py: has no model"),
        ("model = dict()\nconsistency = dict(shift=3)", "consistency.shift: there is no such key"),
        ("model = dict()\nconsistency = dict(enabled=True)", "consistency.datasets: is empty"),
        (
            "model = dict()\ntrain = dict(model_ema=dict(enabled=True))",
            "train.model_ema.enabled is True, but must be False",
        ),
    ],
)
def test_broken_file(text, message, tmp_path):
    original = builtins.__import__
    with pytest.raises((InputError, InvalidOption), match=message):
        load_lazy_config(write(tmp_path, text))
    assert builtins.__import__ is original


def test_missing_file():
    with pytest.raises(InputError, match="nowhere.py: FileNotFoundError"):
        load_lazy_config("nowhere.py")


def test_part_that_cannot_be_made():
    cfg = load("model.backbone.bottom_up.dpeth=18")
    with pytest.raises(InputError, match="model: .*unexpected keyword argument 'dpeth'"):
        instantiated(cfg, "model")
    with pytest.raises(InputError, match="dataloader.other: is missing in the config"):
        instantiated(cfg, "dataloader.other")
    cfg.model.backbone.in_features = "${nothing}"
    with pytest.raises(InputError, match="model: Interpolation key 'nothing' not found"):
        instantiated(cfg, "model")


def test_yaml_is_asked_for_where_only_it_is_read():
    with pytest.raises(InputError, match="demo_adaptive.py: is a LazyConfig, but must be a YAML"):
        load_config(DEMO)


@pytest.mark.parametrize("tool", ["train_net.py", "lazyconfig_train_net.py"])
def test_tools(tool, tmp_path):
    arguments = ["--config-file", DEMO, "--eval-only", f"train.output_dir={tmp_path}"]
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / tool), *arguments, "consistency.seed=-9e99"],
        capture_output=True,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("error: consistency.seed is -9e+99")
