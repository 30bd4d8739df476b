"""Detectron2's own trainer with configs of this package, and trainers that derive from both."""

import weakref

import pytest
import torch
import torchvision
from detectron2.config import get_cfg
from detectron2.engine import DefaultTrainer
from helpers import make_small_shapes, small_config

from aa_detectron.checkpoint import convert
from aa_detectron.engine import AACheckpointer, Trainer
from aa_detectron.errors import InputError

R18 = ["MODEL.RESNETS.STEM_OUT_CHANNELS", "64", "MODEL.RESNETS.RES2_OUT_CHANNELS", "64"]
ONE_STEP = ["SOLVER.MAX_ITER", "1", "SOLVER.BACKBONE_MULTIPLIER", "0.5"]


@pytest.fixture(scope="module", autouse=True)
def _shapes(tmp_path_factory):
    make_small_shapes(tmp_path_factory.mktemp("datasets"), train=2, val=1)


class TheirTrainer(DefaultTrainer):
    """A trainer of another project, with a loader of its own."""

    @classmethod
    def build_train_loader(cls, cfg):
        loader = super().build_train_loader(cfg)
        loader.is_theirs = True
        return loader


class BothTrainer(TheirTrainer, Trainer):
    pass


def ignored(caplog):
    messages = (r.getMessage() for r in caplog.records if r.name.endswith("ignored_keys"))
    return [message.split(" is ")[0] for message in messages]


def test_their_trainer_ignores_keys(tmp_path, caplog):
    TheirTrainer(small_config(tmp_path, *ONE_STEP)).train()
    keys = ["SOLVER.OPTIMIZER", "SOLVER.BACKBONE_MULTIPLIER", "TEST.CONSISTENCY.ENABLED"]
    assert ignored(caplog) == keys
    found = [r.getMessage() for r in caplog.records if r.name.endswith("ignored_keys")]
    assert all("aa_detectron.engine.Trainer" in message for message in found)


def test_trainer_of_both_reads_the_keys(tmp_path, caplog):
    trainer = BothTrainer(small_config(tmp_path, *ONE_STEP))
    results = trainer.train()
    assert ignored(caplog) == [] and trainer.data_loader.is_theirs
    assert {"segm", "consistency_segm"} <= results.keys()


class ReadingTrainer(DefaultTrainer):
    def build_hooks(self):
        self.checkpointer = AACheckpointer.from_config(
            self.cfg, self.model, trainer=weakref.proxy(self)
        )
        return super().build_hooks()


def test_weights_of_another_library(tmp_path):
    weights = torchvision.models.resnet18().state_dict()
    torch.save(weights, tmp_path / "resnet18.pth")
    options = [*R18, *ONE_STEP, "MODEL.WEIGHTS", str(tmp_path / "resnet18.pth")]
    trainer = ReadingTrainer(small_config(tmp_path / "out", *options))
    trainer.resume_or_load(resume=False)
    loaded = trainer.model.backbone.bottom_up.state_dict()
    kept = convert({"model": weights}, "").weights
    kept = {name: torch.as_tensor(w) for name, w in kept.items() if not name.startswith("linear.")}
    assert all(torch.equal(loaded[name], weight) for name, weight in kept.items())
    torch.testing.assert_close(loaded["stem.conv1.weight"], weights["conv1.weight"])
    torch.testing.assert_close(loaded["res5.1.conv2.weight"], weights["layer4.1.conv2.weight"])
    trainer.train()

    again = ReadingTrainer(small_config(tmp_path / "out", *options))
    again.resume_or_load(resume=True)
    assert again.start_iter == 1
    pairs = zip(again.model.parameters(), trainer.model.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("trainer", [Trainer, TheirTrainer])
@pytest.mark.parametrize("part", ["build_aa_resnet_fpn_backbone", "build_aa_resnet_backbone"])
def test_config_without_the_keys(trainer, part):
    cfg = get_cfg()
    cfg.MODEL.BACKBONE.NAME = part
    cfg.MODEL.DEVICE = "cpu"
    with pytest.raises(InputError, match=r"MODEL.ANTIALIAS: .*call aa_detectron.add_aa_config"):
        trainer.build_model(cfg)
