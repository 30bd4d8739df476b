"""The warning about filters that a model should have and has not."""

import logging

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.modeling import BACKBONE_REGISTRY, Backbone, build_backbone, build_model

from aa_detectron import add_aa_config
from aa_detectron.engine.trainer import Trainer
from aa_detectron.modeling.missing_filters import filter_places, warn_of_missing_filters

STAGES = ["res2", "res3", "res4", "res5"]


def config(name="adaptive", backbone="build_aa_resnet_backbone", heads="AARes5ROIHeads"):
    """A narrow C4 detector, or an FPN one."""
    cfg = get_cfg()
    add_aa_config(cfg)
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.ANTIALIAS.NAME = name
    cfg.MODEL.BACKBONE.NAME = backbone
    cfg.MODEL.ROI_HEADS.NAME = heads
    resnets = cfg.MODEL.RESNETS
    resnets.STEM_OUT_CHANNELS, resnets.RES2_OUT_CHANNELS, resnets.WIDTH_PER_GROUP = 16, 64, 16
    return cfg


def warnings_of(cfg, caplog, build=build_model):
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="aa_detectron"):
        warn_of_missing_filters(build(cfg), cfg.MODEL.ANTIALIAS.NAME)
    return [record.getMessage() for record in caplog.records]


@pytest.fixture
def caplog(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("aa_detectron"), "propagate", True)
    return caplog


@pytest.mark.parametrize("name", ["blur", "adaptive"])
def test_c4_with_detectron2s_heads(name, caplog):
    (message,) = warnings_of(config(name, heads="Res5ROIHeads"), caplog)
    assert f"MODEL.ANTIALIAS.NAME is {name!r}, but only 5 of 7 places" in message
    assert "roi_heads.res5.0.aa, roi_heads.res5.0.aa_shortcut" in message
    assert "MODEL.ROI_HEADS.NAME AARes5ROIHeads" in message
    assert "MODEL.BACKBONE.NAME" not in message


def test_detectron2s_backbone(caplog):
    (message,) = warnings_of(config(backbone="build_resnet_backbone"), caplog)
    assert "only 2 of 7 places" in message and "backbone.stem.aa, " in message
    assert "MODEL.BACKBONE.NAME" in message and "AARes5ROIHeads" not in message


def test_silent_where_all_is_well(caplog):
    assert not warnings_of(config(), caplog)
    assert not warnings_of(config("none", heads="Res5ROIHeads"), caplog)
    assert not warnings_of(config("none", "build_resnet_backbone", "Res5ROIHeads"), caplog)


def test_other_networks(caplog, monkeypatch):
    """Of a user's builder, with and without filters."""

    class Other(Backbone):
        def __init__(self, cfg, input_shape):
            super().__init__()
            self.conv = torch.nn.Conv2d(8, 8, 3, 2)

        def forward(self, x):
            return {"conv": self.conv(x)}

    registered = BACKBONE_REGISTRY._obj_map | {"build_other": Other}
    monkeypatch.setattr(BACKBONE_REGISTRY, "_obj_map", registered)
    cfg = config(backbone="build_other")
    (message,) = warnings_of(cfg, caplog, build_backbone)
    assert "'adaptive', but the model has no filter" in message
    assert "build_antialiased_backbone" in message
    cfg.MODEL.BACKBONE.NAME, cfg.MODEL.ANTIALIAS.BACKBONE = (
        "build_antialiased_backbone",
        "build_other",
    )
    assert not warnings_of(cfg, caplog, build_backbone)


@pytest.mark.parametrize("dilated", [True, False])
def test_silent_in_dilated_stages(dilated, caplog):
    cfg = config(heads="StandardROIHeads")
    cfg.MODEL.ANTIALIAS.DILATED = dilated
    cfg.MODEL.RESNETS.OUT_FEATURES = cfg.MODEL.ROI_HEADS.IN_FEATURES = ["res5"]
    cfg.MODEL.RPN.IN_FEATURES = ["res5"]
    cfg.MODEL.ROI_BOX_HEAD.NAME, cfg.MODEL.ROI_BOX_HEAD.NUM_FC = "FastRCNNConvFCHead", 1
    cfg.MODEL.RESNETS.RES5_DILATION = 2
    assert not warnings_of(cfg, caplog)
    assert len(filter_places(build_model(cfg))) == 5


def test_the_trainer_warns(caplog):
    with caplog.at_level(logging.WARNING, logger="aa_detectron"):
        Trainer.build_model(config(heads="Res5ROIHeads"))
    assert any("5 of 7 places" in record.getMessage() for record in caplog.records)
