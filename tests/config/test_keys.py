"""Every part that reads the keys says so if a config lacks them."""

import pytest
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY
from torch import nn

from aa_detectron import add_aa_config
from aa_detectron.config import check_has_keys
from aa_detectron.data.pairs import build_shifted_pair_loader
from aa_detectron.data.windows import build_shifted_window_loader
from aa_detectron.engine import AACheckpointer, Trainer
from aa_detectron.engine.solver import build_optimizer
from aa_detectron.errors import InputError
from aa_detectron.evaluation.build import build_consistency_evaluators
from aa_detectron.modeling.classifier import AAImageClassifier
from aa_detectron.modeling.deeplab import AADeepLabV3PlusHead
from aa_detectron.modeling.roi_heads import AARes5ROIHeads

SHAPE = ShapeSpec(channels=3)
BUILDERS = [
    lambda cfg, name=name: BACKBONE_REGISTRY.get(name)(cfg, SHAPE)
    for name, _ in BACKBONE_REGISTRY
    if name.startswith(("build_aa_", "build_antialiased_"))
]


@pytest.mark.parametrize(
    "read",
    [
        *BUILDERS,
        AAImageClassifier,
        lambda cfg: AADeepLabV3PlusHead(cfg, {"res2": SHAPE}),
        lambda cfg: AARes5ROIHeads._build_res5_block(cfg),
        lambda cfg: build_consistency_evaluators(cfg, "shapes_val"),
        lambda cfg: build_shifted_pair_loader(cfg, "shapes_val"),
        lambda cfg: build_shifted_window_loader(cfg, "shapes_val"),
        lambda cfg: build_optimizer(cfg, nn.Conv2d(1, 1, 1)),
        lambda cfg: AACheckpointer.from_config(cfg, nn.Conv2d(1, 1, 1)),
        Trainer,
        Trainer.build_model,
        lambda cfg: Trainer.test(cfg, nn.Identity()),
        lambda cfg: Trainer.test_consistency(cfg, nn.Identity()),
    ],
)
def test_config_without_the_keys(read):
    with pytest.raises(InputError, match=r"MODEL.ANTIALIAS: .*call aa_detectron.add_aa_config"):
        read(get_cfg())


def test_each_part_of_the_keys():
    cfg = get_cfg()
    add_aa_config(cfg)
    check_has_keys(cfg)
    cfg.TEST.pop("CONSISTENCY")
    with pytest.raises(InputError, match="TEST.CONSISTENCY: the config has no such key"):
        check_has_keys(cfg)
