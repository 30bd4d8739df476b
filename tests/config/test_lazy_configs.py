"""The shipped LazyConfigs describe the networks and recipes of the YAML configs."""

import pytest
import torch
from detectron2.config import LazyConfig, instantiate
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.solver import build_lr_scheduler
from helpers import CONFIGS
from omegaconf import ListConfig

from aa_detectron import model_zoo
from aa_detectron.engine.launch import load_config
from aa_detectron.engine.lazy.config import load_lazy_config
from aa_detectron.engine.lazy.trainer import _build_optimizer
from aa_detectron.layers import AdaptiveBlurPool2d

LEAVES = sorted(p for p in CONFIGS.glob("*/*.py") if p.parent.name != "common")
NAMES = [path.relative_to(CONFIGS).as_posix() for path in LEAVES]
TWINS = {
    "COCO-Detection/retinanet_R_50_FPN_1x_adaptive": {},
    "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x_adaptive": {},
    "COCO-InstanceSegmentation/cascade_mask_rcnn_R_50_FPN_1x_adaptive": {
        "MODEL.ROI_HEADS.NAME": "CascadeROIHeads",
        "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG": "True",
    },
    "Shapes-InstanceSegmentation/demo_adaptive": {},
}
SMALL_VIT = [
    "model.backbone.net.model.embed_dim=32",
    "model.backbone.net.model.depth=2",
    "model.backbone.net.model.num_heads=2",
    "model.backbone.net.model.img_size=64",
    "model.backbone.square_pad=64",
]


def load(name, *opts):
    return load_lazy_config(name, ["train.device=cpu", "train.amp.enabled=false", *opts])


def yaml_of(name):
    options = [word for pair in TWINS[name].items() for word in pair]
    base = name.replace("cascade_", "")
    return load_config(f"{base}.yaml", [*options, "MODEL.DEVICE", "cpu"])


def plain(value):
    """Lists for tuples, and for OmegaConf's lists."""
    if isinstance(value, list | tuple | ListConfig):
        return [plain(member) for member in value]
    return value if isinstance(value, int | float | str | None) else type(value)


def settings(module):
    """The numbers and words that a module keeps, and its helpers that are no modules."""
    kept = {}
    for key, value in vars(module).items():
        if isinstance(value, Matcher | Box2BoxTransform):
            kept[key] = {k: plain(v) for k, v in vars(value).items()}
        elif key.endswith("nms_topk"):
            kept[key] = value
        elif key != "loss_weight":  # one number, or one for each part of the loss
            kept[key] = plain(value)
    return kept


def described(model):
    return {name: (type(module), settings(module)) for name, module in model.named_modules()}


@pytest.mark.parametrize("name", TWINS)
def test_network_is_the_one_from_yaml(name):
    cfg = yaml_of(name)
    with torch.device("meta"):  # no memory, no time for weights
        expected = described(META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)(cfg))
        found = described(instantiate(load(f"{name}.py").model))
    assert list(found) == list(expected)
    for part in expected:
        assert found[part] == expected[part], part


@pytest.mark.parametrize("name", TWINS)
def test_recipe_is_the_one_from_yaml(name):
    cfg, lazy = yaml_of(name), load(f"{name}.py")
    solver, train, data = cfg.SOLVER, lazy.train, lazy.dataloader
    assert train.max_iter == solver.MAX_ITER and train.init_checkpoint == cfg.MODEL.WEIGHTS
    assert train.seed == cfg.SEED and lazy.consistency.enabled == cfg.TEST.CONSISTENCY.ENABLED
    assert data.train.total_batch_size == solver.IMS_PER_BATCH
    assert (data.train.dataset.names,) == cfg.DATASETS.TRAIN
    assert (data.test.dataset.names,) == cfg.DATASETS.TEST
    mapper = instantiate(data.train.mapper)
    assert mapper.image_format == cfg.INPUT.FORMAT
    assert mapper.use_instance_mask == cfg.MODEL.MASK_ON
    resize = mapper.augmentations.augs[0]
    assert tuple(resize.short_edge_length)[0] == cfg.INPUT.MIN_SIZE_TRAIN[0]
    assert resize.max_size == cfg.INPUT.MAX_SIZE_TRAIN
    resize = instantiate(data.test.mapper).augmentations.augs[0]
    assert list(resize.short_edge_length) == [cfg.INPUT.MIN_SIZE_TEST] * 2
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = build_lr_scheduler(cfg, optimizer)._multiplier
    multiplier = instantiate(lazy.lr_multiplier)
    for iteration in range(0, train.max_iter, train.max_iter // 180 + 1):
        where = iteration / train.max_iter
        assert multiplier(where) == pytest.approx(schedule(where))


@pytest.mark.parametrize("name", NAMES)
def test_optimizer_and_parts(name):
    lazy = load(name, *(SMALL_VIT if "vitdet" in name else []))
    with torch.device("cpu" if "vitdet" in name else "meta"):
        model = instantiate(lazy.model)
    optimizer = _build_optimizer(lazy, model)
    assert "model" not in lazy.optimizer.params
    grouped = sum(len(group["params"]) for group in optimizer.param_groups)
    assert grouped == sum(p.requires_grad for p in model.parameters())
    filters = [m for m in model.modules() if isinstance(m, AdaptiveBlurPool2d)]
    assert bool(filters) == name.endswith("adaptive.py")


def test_vitdet():
    """A step of the small one; its filter has the whole learning rate, the patches have little."""
    lazy = load(NAMES[[n.endswith("100ep_adaptive.py") for n in NAMES].index(True)], *SMALL_VIT)
    model = instantiate(lazy.model)
    embedding = model.backbone.net.patch_embed.proj
    assert isinstance(embedding.aa_input, AdaptiveBlurPool2d) and embedding.aa_input.stride == 1
    rates = {
        id(parameter): group["lr"]
        for group in _build_optimizer(lazy, model).param_groups
        for parameter in group["params"]
    }
    assert {rates[id(p)] for p in embedding.aa_input.parameters()} == {1e-4}
    assert rates[id(embedding.weight)] == pytest.approx(1e-4 * 0.7**13)
    plain_one = load(NAMES[[n.endswith("100ep_plain.py") for n in NAMES].index(True)])
    assert plain_one.model.backbone.net.filter == "none"
    lazy.model.backbone.net.filter = plain_one.model.backbone.net.filter = "any"
    lazy.train = plain_one.train
    for key in ("dataloader", "lr_multiplier", "train"):
        assert lazy[key] == plain_one[key]
    (output,) = model.eval()([{"image": torch.zeros(3, 64, 64)}])
    assert output["instances"].has("pred_masks")


def test_model_zoo():
    cfg = model_zoo.get_config(NAMES[0])
    assert cfg.keys() == LazyConfig.load(str(LEAVES[0])).keys() >= {"model", "dataloader"}
