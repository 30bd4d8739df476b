"""Names of feature maps that nothing in a config makes."""

import pytest
from detectron2.config import get_cfg
from detectron2.modeling import build_backbone
from helpers import CONFIGS

from aa_detectron import add_aa_config
from aa_detectron.engine.feature_checks import check_features
from aa_detectron.errors import InvalidOption

DETECTOR = CONFIGS / "Shapes-InstanceSegmentation" / "demo_plain.yaml"
RETINANET = CONFIGS / "COCO-Detection" / "retinanet_R_50_FPN_1x_plain.yaml"
SEGMENTOR = CONFIGS / "Shapes-SemanticSegmentation" / "deeplab_v3_plus_plain.yaml"
LEAVES = sorted(p for p in CONFIGS.glob("*/*.yaml") if p.parent.name != "comparisons")
SIZES = "MODEL.ANCHOR_GENERATOR.SIZES"


def config(path=None, *options):
    cfg = get_cfg()
    add_aa_config(cfg)
    if path:
        cfg.merge_from_file(str(path))
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", *options])
    return cfg


@pytest.mark.parametrize("path", [None, *LEAVES], ids=lambda p: p.stem if p else "defaults")
def test_every_shipped_config_is_legal(path):
    check_features(config(path))


@pytest.mark.parametrize(
    "path, key, value, legal",
    [
        (None, "MODEL.RESNETS.OUT_FEATURES", ["res9"], "stem, res2, res3, res4, res5, linear"),
        (None, "MODEL.RESNETS.OUT_FEATURES", [], "stem, res2, res3, res4, res5, linear"),
        (None, "MODEL.RPN.IN_FEATURES", ["res5"], "res4"),
        (None, "MODEL.ROI_HEADS.IN_FEATURES", ["res5"], "res4"),
        (DETECTOR, "MODEL.FPN.IN_FEATURES", ["res2", "res7"], "res2, res3, res4"),
        (DETECTOR, "MODEL.FPN.IN_FEATURES", ["res2", "res4"], "follow one another"),
        (DETECTOR, "MODEL.RPN.IN_FEATURES", ["p2", "p9"], "p2, p3, p4"),
        (DETECTOR, "MODEL.ROI_HEADS.IN_FEATURES", [["p2"]], "p2, p3, p4"),
        (DETECTOR, SIZES, [[8], [16]], "3: one for each map of MODEL.RPN.IN_FEATURES"),
        (DETECTOR, SIZES, [], "1 list, or 3"),
        (RETINANET, "MODEL.RETINANET.IN_FEATURES", ["p2"], "p3, p4, p5, p6, p7"),
        (RETINANET, "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS", [[1.0]] * 4, "MODEL.RETINANET.IN"),
        (SEGMENTOR, "MODEL.SEM_SEG_HEAD.IN_FEATURES", ["res2", "res9"], "res2, res5"),
    ],
)
def test_illegal_names(path, key, value, legal):
    cfg = config(path)
    node, _, name = key.rpartition(".")
    for part in node.split("."):
        cfg = cfg[part] if part != "MODEL" else (whole := cfg).MODEL
    cfg[name] = value
    with pytest.raises(InvalidOption, match=f"^{key} is .*, but must be .*{legal}"):
        check_features(whole)


@pytest.mark.parametrize("path", [DETECTOR, RETINANET])
def test_names_of_the_maps_are_those_that_detectron2_gives(path):
    """The message of an illegal name lists all maps."""
    narrow = ["MODEL.RESNETS.STEM_OUT_CHANNELS", "32", "MODEL.RESNETS.RES2_OUT_CHANNELS", "32"]
    cfg = config(path, "MODEL.RESNETS.DEPTH", "18", *narrow)
    maps = build_backbone(cfg).output_shape()
    section = "RETINANET" if path == RETINANET else "RPN"
    cfg.MODEL[section].IN_FEATURES = ["p9"]
    with pytest.raises(InvalidOption, match=f"maps {', '.join(maps)}$"):
        check_features(cfg)


def test_parts_of_the_users_own_are_left_alone():
    check_features(config(None, "MODEL.BACKBONE.NAME", "build_own", "MODEL.RPN.IN_FEATURES", ["x"]))
    own = ["MODEL.ROI_HEADS.NAME", "Own", "MODEL.ROI_HEADS.IN_FEATURES", ["x"]]
    check_features(config(None, *own))
