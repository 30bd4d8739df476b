import copy
import logging
import pickle
import re

import pytest
import safetensors.torch
import torch
import torchvision
from detectron2.config import get_cfg
from detectron2.modeling import build_backbone, build_model
from torch import nn

from aa_detectron import add_aa_config
from aa_detectron.engine import AACheckpointer
from aa_detectron.errors import InputError


def config(name="adaptive", depth=50):
    cfg = get_cfg()
    add_aa_config(cfg)
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.BACKBONE.NAME = "build_aa_resnet_backbone"
    cfg.MODEL.ANTIALIAS.NAME = name
    cfg.MODEL.RESNETS.DEPTH = depth
    cfg.MODEL.RESNETS.STRIDE_IN_1X1 = False
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
    if depth < 50:
        cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 64
    return cfg


class Detector(nn.Module):
    """A backbone where a detector has it."""

    def __init__(self, cfg):
        super().__init__()
        self.backbone = build_backbone(cfg)


@pytest.fixture(scope="module")
def resnet50():
    """torchvision's ResNet-50, random: norms and all."""
    torch.manual_seed(0)
    model = torchvision.models.resnet50().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model


def msra_names(model):
    """The weights in Caffe2's naming of MSRA's models, norms folded to scale and bias."""
    blobs = {}
    for name, module in model.named_modules():
        if name == "fc":
            continue
        name = re.sub(r"layer(\d)\.(\d+)\.", lambda m: f"res{int(m[1]) + 1}_{m[2]}_", name)
        name = name.replace("downsample.0", "branch1").replace("downsample.1", "branch1_bn")
        name = re.sub(r"conv([123])$", lambda m: f"branch2{'abc'[int(m[1]) - 1]}", name)
        name = re.sub(r"_bn([123])$", lambda m: f"_branch2{'abc'[int(m[1]) - 1]}_bn", name)
        name = {"branch2a": "conv1", "bn1": "res_conv1_bn"}.get(name, name)
        if isinstance(module, nn.Conv2d):
            blobs[f"{name}_w"] = module.weight.detach().numpy()
        elif isinstance(module, nn.BatchNorm2d):
            scale = module.weight / (module.running_var + module.eps).sqrt()
            blobs[f"{name}_s"] = scale.detach().numpy()
            blobs[f"{name}_b"] = (module.bias - module.running_mean * scale).detach().numpy()
    return blobs


def write(resnet, naming, folder):
    if naming == "torchvision":
        path = folder / "resnet50.pth"
        torch.save(resnet.state_dict(), path)
    else:
        path = folder / "R-50.pkl"
        path.write_bytes(pickle.dumps(msra_names(resnet)))
    return str(path)


@torch.no_grad()
def torchvision_features(resnet, x):
    x = resnet.maxpool(resnet.relu(resnet.bn1(resnet.conv1(x))))
    features = {}
    for number in (1, 2, 3, 4):
        features[f"res{number + 1}"] = x = getattr(resnet, f"layer{number}")(x)
    return features


@pytest.mark.parametrize("naming", ["torchvision", "MSRA"])
@pytest.mark.parametrize("name", ["none", "blur", "adaptive"])
def test_ordinary_weights_load(resnet50, naming, name, tmp_path):
    model = Detector(config(name)).eval()
    start = copy.deepcopy(model.state_dict())
    checkpointer = AACheckpointer(model)
    reported = {}
    checkpointer._log_incompatible_keys = lambda keys: reported.update(keys._asdict())
    checkpointer.load(write(resnet50, naming, tmp_path))
    new = {k for k in reported["missing_keys"]}
    filters = {k for k in start if ".aa." in k or ".aa_shortcut." in k}
    assert new == {k for k in filters if not k.endswith("num_batches_tracked")}
    assert bool(new) == (name == "adaptive")
    assert not reported["incorrect_shapes"]
    changed = {k for k, v in model.state_dict().items() if not torch.equal(v, start[k])}
    assert {k for k in start if k.endswith("conv2.weight")} <= changed
    x = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    features = model.double().backbone(x)
    for stage, expected in torchvision_features(copy.deepcopy(resnet50).double(), x).items():
        assert features[stage].shape == expected.shape
        if name == "none":
            # MSRA's files have no variances; Detectron2 takes 1, to which each norm adds eps.
            tolerance = 1e-3 if naming == "MSRA" else 1e-9
            assert (features[stage] - expected).norm() <= tolerance * expected.norm()


@torch.no_grad()
def test_starts_as_blur(resnet50, tmp_path):
    """Ordinary weights in the adaptive network compute what they do in the blurred one."""
    path = write(resnet50, "torchvision", tmp_path)
    outputs = []
    x = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    for name in ("blur", "adaptive"):
        model = Detector(config(name)).double().eval()
        AACheckpointer(model).load(path)
        outputs.append(model.backbone(x)["res5"])
    torch.testing.assert_close(*outputs)


def saved(folder, depth=18, name="adaptive"):
    model = Detector(config(name, depth))
    AACheckpointer(model, str(folder)).save("model")
    return model, str(folder / "model.pth")


def test_saved_and_loaded(tmp_path):
    model, path = saved(tmp_path)
    other = Detector(config(depth=18))
    AACheckpointer(other, strict=True).load(path)
    for key, value in other.state_dict().items():
        assert torch.equal(value, model.state_dict()[key])
    assert {p.name for p in tmp_path.iterdir()} == {"model.pth", "last_checkpoint"}
    assert (tmp_path / "last_checkpoint").read_text() == "model.pth"


def test_interrupted_save_keeps_the_old_file(tmp_path, monkeypatch):
    model, path = saved(tmp_path)
    before = (tmp_path / "model.pth").read_bytes()

    def fails(data, file):
        file.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", fails)
    with pytest.raises(InputError, match="model.pth: cannot be written .No space left"):
        AACheckpointer(model, str(tmp_path)).save("model")
    assert (tmp_path / "model.pth").read_bytes() == before
    assert (tmp_path / "last_checkpoint").read_text() == "model.pth"
    assert {p.name for p in tmp_path.iterdir()} == {"model.pth", "last_checkpoint"}


@pytest.mark.parametrize(
    "kept, depth, message",
    [(18, 34, "is missing"), (18, 50, "in the file and"), (34, 18, "res[2345].* is not in the")],
)
def test_other_architecture(kept, depth, message, tmp_path):
    _, path = saved(tmp_path, kept)
    model = Detector(config(depth=depth))
    with pytest.raises(InputError, match=f"model.pth: .*do not fit the model.*{message}"):
        AACheckpointer(model).load(path)


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("write", [torch.save, safetensors.torch.save_file])
@pytest.mark.parametrize("norm", ["FrozenBN", "BN"])
def test_other_norms(norm, write, strict, tmp_path):
    """GroupNorm has no running statistics, like the folded norms of Caffe2, but is none."""
    resnet = torchvision.models.resnet18(norm_layer=lambda channels: nn.GroupNorm(32, channels))
    path = str(tmp_path / f"gn.{'pth' if write is torch.save else 'safetensors'}")
    write(resnet.state_dict(), path)
    cfg = config("none", depth=18)
    cfg.MODEL.RESNETS.NORM = norm
    with pytest.raises(InputError, match="norm.running_mean is missing"):
        AACheckpointer(Detector(cfg), strict=strict).load(path)


def test_new_heads_are_fine_unless_strict(resnet50, tmp_path):
    path = write(resnet50, "torchvision", tmp_path)
    cfg = config("none")
    cfg.MODEL.RPN.IN_FEATURES = cfg.MODEL.ROI_HEADS.IN_FEATURES = ["res4"]
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res4"]
    model = build_model(cfg)
    AACheckpointer(model).load(path)
    with pytest.raises(InputError, match="proposal_generator.*is missing"):
        AACheckpointer(model, strict=True).load(path)


@pytest.mark.parametrize("kept, name", [("adaptive", "blur"), ("blur", "adaptive")])
def test_other_kind_of_filter(kept, name, tmp_path):
    """May be trained on, but its score would not be that of the file."""
    _, path = saved(tmp_path, name=kept)
    model = Detector(config(name, depth=18))
    AACheckpointer(model).load(path)
    with pytest.raises(InputError, match="stem.aa.predictor.*(is not in the network|is missing)"):
        AACheckpointer(model, strict=True).load(path)


def test_not_of_detectron2(tmp_path):
    path = tmp_path / "lightning.pth"
    torch.save({"state_dict": {"encoder.weight": torch.zeros(3)}, "epoch": 3}, path)
    with pytest.raises(InputError, match="lightning.pth: .* do not fit the model.* is missing"):
        AACheckpointer(Detector(config(depth=18))).load(str(path))


def test_truncated(tmp_path):
    model, path = saved(tmp_path)
    content = (tmp_path / "model.pth").read_bytes()
    (tmp_path / "model.pth").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="model.pth: cannot be loaded as a checkpoint"):
        AACheckpointer(model).load(path)


@pytest.mark.parametrize("name", ["nowhere.pth", "nowhere.pkl"])
def test_missing(name, tmp_path):
    model = Detector(config(depth=18))
    with pytest.raises(InputError, match=f"{name}: cannot be loaded as a checkpoint"):
        AACheckpointer(model).load(str(tmp_path / name))


def test_no_weights(tmp_path):
    path = tmp_path / "odd.pth"
    torch.save({"model": torch.zeros(3)}, path)
    with pytest.raises(InputError, match="odd.pth: holds no weights"):
        AACheckpointer(Detector(config(depth=18))).load(str(path))


# -- From a classifier trained here to other models ----------------------------------------------


def classifier(*options):
    cfg = config(depth=18)
    cfg.MODEL.META_ARCHITECTURE = "AAImageClassifier"
    cfg.MODEL.RESNETS.OUT_FEATURES = ["linear"]
    cfg.MODEL.RESNETS.NORM = "BN"
    cfg.MODEL.CLASSIFIER.NUM_CLASSES = 6
    cfg.merge_from_list(options)
    model = build_model(cfg)
    for value in model.state_dict().values():
        value.random_(1, 100)  # also filters and statistics
    return model


def saved_classifier(folder):
    model = classifier()
    AACheckpointer(model, str(folder), input_format="RGB").save("model")
    return model, str(folder / "model.pth")


FPN = {
    "MODEL.BACKBONE.NAME": "build_aa_resnet_fpn_backbone",
    "MODEL.FPN.IN_FEATURES": ["res2", "res3", "res4", "res5"],
    "MODEL.RPN.IN_FEATURES": ["p2", "p3", "p4", "p5", "p6"],
    "MODEL.ANCHOR_GENERATOR.SIZES": [[32]] * 5,
    "MODEL.ROI_HEADS.NAME": "StandardROIHeads",
    "MODEL.ROI_HEADS.IN_FEATURES": ["p2", "p3", "p4", "p5"],
    "MODEL.ROI_BOX_HEAD.NAME": "FastRCNNConvFCHead",
    "MODEL.ROI_BOX_HEAD.NUM_FC": 1,
    "MODEL.ROI_BOX_HEAD.FC_DIM": 16,
}
C4 = {"MODEL.RESNETS.OUT_FEATURES": ["res4"], "MODEL.ROI_HEADS.NAME": "AARes5ROIHeads"}
PREFIXES = {
    "FPN": lambda name: f"backbone.bottom_up.{name}",
    "C4": lambda name: f"{'roi_heads' if name.startswith('res5') else 'backbone'}.{name}",
}


@pytest.mark.parametrize("naming", ["ours", "bare"])
@pytest.mark.parametrize("kind", PREFIXES)
def test_classifier_becomes_a_backbone(kind, naming, tmp_path):
    """With nothing but the path: convs, norms' statistics and filters, also in ROI heads."""
    trained, path = saved_classifier(tmp_path)
    if naming == "bare":  # as aa_detectron.models has them
        torch.save(trained.backbone.state_dict(), path)
    cfg = config(depth=18)
    cfg.merge_from_list([item for pair in {"FPN": FPN, "C4": C4}[kind].items() for item in pair])
    model = build_model(cfg)
    start = copy.deepcopy(model.state_dict())
    AACheckpointer(model, str(tmp_path)).load(path)
    loaded = model.state_dict()
    brought = {
        PREFIXES[kind](name): value
        for name, value in trained.backbone.state_dict().items()
        if not name.startswith("linear.")
    }
    for name, value in brought.items():
        if name in loaded or not name.endswith("num_batches_tracked"):  # FrozenBN has none
            assert torch.equal(loaded[name], value), name
    others = loaded.keys() - brought.keys()
    assert others and all(torch.equal(loaded[name], start[name]) for name in others)


def test_classifier_is_resumed_as_it_was(tmp_path):
    trained, path = saved_classifier(tmp_path)
    other = classifier()
    AACheckpointer(other, str(tmp_path), strict=True).resume_or_load("", resume=True)
    for name, value in trained.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)


def test_classifier_of_other_classes(tmp_path):
    """Trains on, from another start of its last layer; but has no score."""
    trained, path = saved_classifier(tmp_path)
    other = classifier("MODEL.CLASSIFIER.NUM_CLASSES", 9)
    start = other.backbone.linear.weight.clone()
    AACheckpointer(other).load(path)
    assert torch.equal(other.backbone.linear.weight, start)
    assert torch.equal(other.backbone.res5[1].conv2.weight, trained.backbone.res5[1].conv2.weight)
    with pytest.raises(InputError, match="backbone.linear.weight is 6x512 in the file and 9x512"):
        AACheckpointer(other, strict=True).load(path)


def test_another_layer_of_that_name_is_left_alone(tmp_path):
    trained, path = saved_classifier(tmp_path)
    model = Detector(config(depth=18))
    model.head = nn.Module()
    model.head.linear = nn.Linear(512, 6)
    start = model.head.linear.weight.clone()
    AACheckpointer(model).load(path)
    assert torch.equal(model.head.linear.weight, start)


# -- What the network was fed with ---------------------------------------------------------------

TORCHVISION = {"pixel_mean": [123.675, 116.28, 103.53], "pixel_std": [58.395, 57.12, 57.375]}


def warnings_of_loading(path, caplog, *, input_format, pixel_mean, pixel_std):
    options = ("MODEL.PIXEL_MEAN", pixel_mean, "MODEL.PIXEL_STD", pixel_std)
    checkpointer = AACheckpointer(classifier(*options), input_format=input_format)
    checkpointer.logger = logging.getLogger("test")  # not silenced, whatever other tests have set
    checkpointer._log_incompatible_keys = lambda keys: None
    caplog.clear()
    with caplog.at_level(logging.WARNING, "test"):
        checkpointer.load(path)
    return [record.getMessage() for record in caplog.records]


def test_warns_of_other_inputs(tmp_path, caplog):
    """Of a file of torchvision's, and of one of ours."""
    network = torchvision.models.resnet18(num_classes=6)
    torch.save(network.state_dict(), tmp_path / "theirs.pth")
    model = classifier(*[x for k, v in TORCHVISION.items() for x in (f"MODEL.{k.upper()}", v)])
    AACheckpointer(model, str(tmp_path), input_format="RGB").save("ours")
    for name in ("theirs.pth", "ours.pth"):
        path = str(tmp_path / name)
        for input_format in ("RGB", None):  # None: not known
            fed = {"input_format": input_format, **TORCHVISION}
            assert warnings_of_loading(path, caplog, **fed) == []
        bgr = {"pixel_mean": TORCHVISION["pixel_mean"][::-1], "pixel_std": [1.0, 1.0, 1.0]}
        (line,) = warnings_of_loading(path, caplog, input_format="BGR", **bgr)
        assert line == (
            f"{path}: comes from a network with INPUT.FORMAT RGB, "
            "MODEL.PIXEL_MEAN [123.675, 116.28, 103.53], MODEL.PIXEL_STD [58.395, 57.12, 57.375], "
            "but this one has INPUT.FORMAT BGR, "
            "MODEL.PIXEL_MEAN [103.53, 116.28, 123.675], MODEL.PIXEL_STD [1.0, 1.0, 1.0]"
        )
        (line,) = warnings_of_loading(path, caplog, input_format="BGR", **TORCHVISION)
        assert "INPUT.FORMAT RGB, but" in line and "MEAN" not in line and "STD" not in line


def test_model_without_inputs_is_saved_and_loaded(tmp_path):
    model, path = saved(tmp_path, depth=18)
    assert torch.load(path, weights_only=True)["notes"] == {}


def test_query(resnet50, tmp_path):
    path = write(resnet50, "torchvision", tmp_path)
    AACheckpointer(Detector(config("none"))).load(f"{path}?matching_heuristics=True")
    with pytest.raises(InputError, match="unknown in its query: heuristics"):
        AACheckpointer(Detector(config("none"))).load(f"{path}?heuristics=True")
