import copy
import pickle
import re

import pytest
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
    x = torch.randn(1, 3, 64, 64)
    for name in ("blur", "adaptive"):
        model = Detector(config(name)).eval()
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
    with pytest.raises(InputError, match="stem.aa.predictor.*(is not in the model|is missing)"):
        AACheckpointer(model, strict=True).load(path)


def test_not_of_detectron2(tmp_path):
    path = tmp_path / "lightning.pth"
    torch.save({"state_dict": {}, "epoch": 3}, path)
    with pytest.raises(
        InputError, match="lightning.pth: cannot be loaded as a checkpoint .Unsupported type"
    ):
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
