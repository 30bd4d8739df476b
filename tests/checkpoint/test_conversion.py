"""Networks of other libraries, converted, against themselves."""

import pickle
import re

import pytest
import timm
import torch
import torchvision
from checkpoint.networks import detection_names, features, randomise, zhang, zou
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import get_cfg
from detectron2.modeling import build_backbone, build_model

from aa_detectron import add_aa_config, antialias
from aa_detectron.checkpoint import convert, read_checkpoint, write_checkpoint
from aa_detectron.engine import AACheckpointer
from aa_detectron.errors import InputError
from aa_detectron.layers import FilterOptions
from aa_detectron.modeling.build import build_resnet
from aa_detectron.models import aa_resnet

OTHERS = {
    "torchvision 18": lambda: randomise(torchvision.models.resnet18()),
    "torchvision 50": lambda: randomise(torchvision.models.resnet50()),
    "torchvision X50": lambda: randomise(torchvision.models.resnext50_32x4d()),
    "timm 18": lambda: randomise(timm.create_model("resnet18")),
    "timm 50": lambda: randomise(timm.create_model("resnet50")),
    "Zhang 18, size 4": lambda: zhang(1, 4),
    "Zhang 50, size 3": lambda: zhang(4, 3),
    "Zou 18, size 3": lambda: zou(1, 3, 4),
    "Zou 50, size 5": lambda: zou(4, 5, 2),
    "Zou 50, detection": lambda: zou(4, 3, 8),
}


def state(which, network):
    if "detection" in which:
        return detection_names(network)
    if "Zou" in which:
        return {f"module.{name}": weight for name, weight in network.state_dict().items()}
    return network.state_dict()


def build(config):
    """The classifier that a config with these keys gives, with all its features."""
    cfg = get_cfg()
    add_aa_config(cfg)
    features = ["stem", "res2", "res3", "res4", "res5", "linear"]
    cfg.merge_from_list([
        "MODEL.DEVICE", "cpu",
        "MODEL.META_ARCHITECTURE", "AAImageClassifier",
        "MODEL.BACKBONE.NAME", "build_aa_resnet_backbone",
        "MODEL.RESNETS.OUT_FEATURES", features,
        "MODEL.ANTIALIAS.NAME", "none",
    ])  # fmt: skip
    cfg.merge_from_list([item for pair in config.items() for item in pair])
    return build_model(cfg).eval()


@pytest.mark.parametrize("which", OTHERS)
@torch.no_grad()
def test_same_features(which, tmp_path):
    """Converted and loaded under the keys of its notes, and loaded as it is."""
    network = OTHERS[which]()
    source, path = str(tmp_path / "source.pth"), str(tmp_path / "converted.pth")
    torch.save({"state_dict": state(which, network), "epoch": 90}, source)
    write_checkpoint(convert(read_checkpoint(source), source), path)
    notes = torch.load(path, weights_only=True)["notes"]
    expected = features(network, x := torch.randn(2, 3, 70, 64))
    if "detection" in which:
        del expected["linear"]
    for file in (path, source):
        model = build(notes["config"])
        if "detection" in which:
            del model.backbone.linear
            model.backbone.num_classes = None
        AACheckpointer(model, strict=True).load(file)
        found = model.backbone(x)
        for name, value in expected.items():
            assert found[name].shape == value.shape
            assert value.std() > 1e-3
            assert (found[name] - value).abs().max() <= 1e-4 * value.abs().max(), name


@pytest.mark.parametrize("make", [torchvision.models.resnet18, torchvision.models.resnet50])
@torch.no_grad()
def test_network_of_antialias(make, tmp_path):
    """Weights trained in a network of torchvision, in a classifier of a config and in aa_resnet."""
    network = make(num_classes=3)
    antialias(network, groups=4)
    randomise(network)
    path, x = str(tmp_path / "trained.pth"), torch.randn(1, 3, 64, 64)
    torch.save(network.state_dict(), path)
    config = convert(read_checkpoint(path), path).notes["config"]
    assert config["MODEL.ANTIALIAS.GROUPS"] == 4
    model = build(config)
    AACheckpointer(model, strict=True).load(path)
    torch.testing.assert_close(model.backbone(x)["linear"], network(x), rtol=1e-4, atol=1e-4)
    depth = config["MODEL.RESNETS.DEPTH"]
    ours = aa_resnet(depth, groups=4, num_classes=3, weights=path).eval()
    torch.testing.assert_close(ours(x), network(x), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_network_of_antialias_with_filters_in_some_places(tmp_path):
    network = torchvision.models.resnet18(num_classes=3)
    antialias(network, groups=4, places=["layer2.*", "layer4.*"])
    randomise(network)
    path, x = str(tmp_path / "trained.pth"), torch.randn(1, 3, 64, 64)
    torch.save(network.state_dict(), path)
    config = convert(read_checkpoint(path), path).notes["config"]
    assert config["MODEL.ANTIALIAS.GROUPS"] == 4 and "MODEL.ANTIALIAS.NAME" not in config
    names = "none,adaptive,none,adaptive"
    model = build(config | {"MODEL.ANTIALIAS.NAME": names})
    AACheckpointer(model, strict=True).load(path)
    torch.testing.assert_close(model.backbone(x)["linear"], network(x), rtol=1e-4, atol=1e-4)
    ours = aa_resnet(18, filter=names, groups=4, num_classes=3, weights=path).eval()
    torch.testing.assert_close(ours(x), network(x), rtol=1e-4, atol=1e-4)
    with pytest.raises(InputError, match="stem.aa.predictor.* is missing"):
        aa_resnet(18, groups=4, num_classes=3, weights=path)


@pytest.mark.parametrize("name", ["layer2.0.conv1.aa", "layer1.0.conv2.aa_input", "conv1.aa"])
def test_filters_of_antialias_in_other_places(name):
    weights = torchvision.models.resnet18(num_classes=3).state_dict()
    name = f"{name}.predictor.weight"
    refused({**weights, name: torch.zeros(72, 64, 3, 3)}, f"{name} is not in the network")


def notes_of(weights, **extra):
    return convert({"model": weights, **extra}, "some/where/weights.pth").notes


RGB = ("RGB", [123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
MASKRCNN_BENCHMARK = ("BGR", [102.9801, 115.9465, 122.7717], [1, 1, 1])
LPF = {"NAME": "blur", "KERNEL_SIZE": 4, "STEM_POOL_SIZE": 2}
PUBLISHED = {"NAME": "adaptive", "STEM_POOL_SIZE": 2, "SOFTMAX": "all", "INIT": "kaiming"}


@pytest.mark.parametrize(
    "which, inputs, depth, antialias",
    [
        ("torchvision X50", RGB, 50, {}),
        ("Zhang 18, size 4", RGB, 18, LPF),
        ("Zou 50, size 5", RGB, 50, PUBLISHED | {"KERNEL_SIZE": 5, "GROUPS": 2}),
        ("Zou 50, detection", MASKRCNN_BENCHMARK, 50, PUBLISHED | {"KERNEL_SIZE": 3, "GROUPS": 8}),
    ],
)
def test_notes(which, inputs, depth, antialias):
    weights = {k.removeprefix("module."): v for k, v in state(which, OTHERS[which]()).items()}
    notes = notes_of(weights)
    assert notes["source"] == "weights.pth"
    assert which.split()[0] in notes["naming"]
    assert (notes["input_format"], notes["pixel_mean"], notes["pixel_std"]) == inputs
    assert notes["config"]["MODEL.RESNETS.DEPTH"] == depth
    prefix = "MODEL.ANTIALIAS."
    found = {k.removeprefix(prefix): v for k, v in notes["config"].items() if prefix in k}
    assert found == antialias


def msra(network):
    """The weights in Caffe2's naming, norms folded to scale and bias; nothing else is kept."""
    blobs = {}
    for name, module in network.named_modules():
        found = re.fullmatch(r"layer(\d)\.(\d+)\.(conv|bn|downsample\.)(\d)", name)
        if found:
            stage, block, kind, number = found.groups()
            branch = "1" if kind == "downsample." else "2" + "_abc"[int(number)]
            name = f"res{int(stage) + 1}_{block}_branch{branch}"
        else:
            name = {"conv1": "conv1", "bn1": "res_conv1", "fc": "fc1000"}.get(name, name)
        if isinstance(module, torch.nn.BatchNorm2d):
            scale = module.weight / (module.running_var + module.eps).sqrt()
            blobs[f"{name}_bn_s"] = scale
            blobs[f"{name}_bn_b"] = module.bias - module.running_mean * scale
        elif hasattr(module, "weight"):
            blobs[f"{name}_w"] = module.weight
        if name == "fc1000":
            blobs[f"{name}_b"] = module.bias
    return {name: blob.detach() for name, blob in blobs.items()}


@torch.no_grad()
def test_caffe2(tmp_path):
    """As Detectron2 itself loads the file; and the classifier, which it leaves out."""
    original = OTHERS["torchvision 50"]()
    source, path = str(tmp_path / "R-50.pkl"), str(tmp_path / "converted.pth")
    with open(source, "wb") as file:
        pickle.dump({name: blob.numpy() for name, blob in msra(original).items()}, file, 2)
    converted = convert(read_checkpoint(source), source)
    write_checkpoint(converted, path)
    states = []
    for load, file in (
        (lambda model, file: DetectionCheckpointer(model).load(file), source),
        (lambda model, file: AACheckpointer(model, strict=True).load(file), path),
        (lambda model, file: AACheckpointer(model, strict=True).load(file), source),
    ):
        model = build(converted.notes["config"])
        load(model, file)
        states.append(model.state_dict())
    for name, value in states[0].items():
        expected = original.fc.state_dict()[name.split(".")[-1]] if "linear" in name else value
        assert torch.equal(states[1][name], expected), name
        assert torch.equal(states[2][name], expected), name


@pytest.mark.parametrize(
    "name, std, stride_in_1x1",
    [("resnet50", [1, 1, 1], True), ("resnext101_32x8d", [57.375, 57.12, 58.395], False)],
)
def test_caffe2_notes(name, std, stride_in_1x1):
    with torch.device("meta"):
        notes = notes_of(msra(getattr(torchvision.models, name)()))
    assert (notes["input_format"], notes["pixel_mean"]) == ("BGR", [103.53, 116.28, 123.675])
    assert notes["pixel_std"] == std
    assert notes["config"]["MODEL.RESNETS.STRIDE_IN_1X1"] == stride_in_1x1


def test_caffe2_notes_with_group_norm():
    """Detectron2's config for R-50-GN has MSRA's images, but the stride in the 3x3 conv."""
    with torch.device("meta"):
        weights = msra(torchvision.models.resnet50())
    notes = notes_of({name.replace("_bn_", "_gn_"): weight for name, weight in weights.items()})
    assert (notes["input_format"], notes["pixel_std"]) == ("BGR", [1, 1, 1])
    assert notes["config"]["MODEL.RESNETS.NORM"] == "GN"
    assert notes["config"]["MODEL.RESNETS.STRIDE_IN_1X1"] is False


# -- What is refused -----------------------------------------------------------------------------


def resized(weights, name):
    """One element more in the last direction of one weight."""
    weight = weights[name]
    more = torch.zeros(*weight.shape[:-1], weight.shape[-1] + 1)
    return {**weights, name: more}


def refused(weights, *words):
    with pytest.raises(InputError) as caught:
        convert({"model": weights}, "the/file.pth")
    message = str(caught.value)
    assert message.startswith("the/file.pth: ") and "\n" not in message
    for word in words:
        assert str(word) in message


@pytest.fixture(scope="module")
def published():
    """{name in OTHERS: its weights} of narrow networks."""
    names = [name for name in OTHERS if "Z" in name]
    strip = "module."
    return {
        name: {k.removeprefix(strip): v for k, v in state(name, OTHERS[name]()).items()}
        for name in names
    }


@pytest.mark.parametrize(
    "which, name",
    [
        ("Zhang 18, size 4", "layer1.0.conv1.weight"),
        ("Zhang 18, size 4", "layer2.0.conv2.1.weight"),
        ("Zhang 18, size 4", "layer2.0.conv2.0.filt"),
        ("Zhang 18, size 4", "fc.bias"),
        ("Zhang 50, size 3", "layer4.0.downsample.1.weight"),
        ("Zhang 50, size 3", "layer4.0.downsample.2.running_var"),
        ("Zou 18, size 3", "maxpool.1.bn.bias"),
        ("Zou 50, size 5", "layer3.0.conv3.0.conv.weight"),
        ("Zou 50, detection", "resnet.stem.bn1.weight"),
        ("Zou 50, detection", "resnet.layer3.5.conv2.weight"),
    ],
)
def test_wrong_shape(which, name, published):
    wrong = resized(published[which], name)
    found = "x".join(map(str, wrong[name].shape))
    expected = "x".join(map(str, published[which][name].shape))
    differ = f"{name} is {found} in the file and {expected} in the network"
    refused(wrong, f" 1 weights do not fit, the first: {differ}")


@pytest.mark.parametrize("which", ["Zhang 50, size 3", "Zou 18, size 3", "Zou 50, detection"])
def test_one_too_few_or_too_many(which, published):
    weights = published[which]
    for missing in weights:
        of_interest = "layer3.0." in missing or "layer" not in missing
        if of_interest and not missing.endswith("num_batches_tracked"):
            refused({k: v for k, v in weights.items() if k != missing})
    prefix = "resnet." if "detection" in which else ""
    for surplus in ("layer1.0.se.weight", "layer2.0.conv2.bias", "layer5.0.conv1.weight", "x"):
        refused({**weights, f"{prefix}{surplus}": torch.zeros(1)}, f"{prefix}{surplus}")


@pytest.mark.parametrize("name", ["stem.conv1.weight", "res2.0.conv1.weight", "linear.weight"])
def test_odd_shape_of_what_tells_the_architecture(name):
    weights = {f"backbone.{k}": v for k, v in build({}).backbone.state_dict().items()}
    for shape in ((), (3,), (0, 3, 7, 7)):
        refused({**weights, f"backbone.{name}": torch.zeros(shape)}, name, "must have")
    for shape in ((3, 64, 1, 1), (128, 5, 1, 1)):
        refused({**weights, f"backbone.{name}": torch.zeros(shape)})


def test_blur_that_is_not_binomial(published):
    weights = published["Zhang 18, size 4"]
    name = "layer3.0.conv2.0.filt"
    box = torch.full_like(weights[name], 1 / 16)
    refused({**weights, name: box}, f"{name} is not the binomial filter")
    small = {k: v[..., :1, :1] if k.endswith("filt") else v for k, v in weights.items()}
    refused(small, "kernel_size is 1")


def test_filter_in_another_place(published):
    """Before the second conv of three: there are such networks, but ours are not."""
    weights = {k.replace("conv3.", "tmp."): v for k, v in published["Zhang 50, size 3"].items()}
    first = r"(layer[234]\.0)\.conv2\.weight"
    weights = {re.sub(first, r"\1.conv2.1.weight", k): v for k, v in weights.items()}
    weights = {
        re.sub(r"tmp\.0\.", "conv2.0.", re.sub(r"tmp\.(1\.)?weight", "conv3.weight", k)): v
        for k, v in weights.items()
    }
    assert {"layer2.0.conv2.0.filt", "layer2.0.conv2.1.weight"} <= weights.keys()
    refused(weights, "layer2.0.conv2.")


@pytest.mark.parametrize(
    "name, reason",
    [
        ("resnet50d", "conv1.0.weight"),
        ("seresnet50", "layer1.0.se.fc1.weight is not in the network"),
        ("resnet26", "(2, 2, 2, 2) bottleneck blocks"),
        ("resnetv2_50", "stem.conv.weight"),
    ],
)
def test_other_networks_of_timm(name, reason):
    with torch.device("meta"):
        weights = timm.create_model(name).state_dict()
    refused(weights, reason)


def test_mixed_names(published):
    refused(
        published["Zhang 50, size 3"] | published["Zou 50, size 5"],
        "Zhang (antialiased-cnns) and of Zou (classification)",
    )
    plain = torchvision.models.resnet18().state_dict()
    refused({**published["Zou 18, size 3"], "layer3.0.downsample.0.weight": plain["fc.weight"]})
    refused({}, "there are none")
    weights = published["Zou 18, size 3"]
    twice = {**weights, "layer2.0.conv2.weight": weights["layer2.0.conv2.1.weight"]}
    refused(twice, "layer2.0.conv2.1.weight and layer2.0.conv2.weight are the same")


# -- Checkpoints with Detectron2's names ---------------------------------------------------------


def test_classifier_trained_here(tmp_path):
    """Its filters and statistics, under the bare names of a backbone; notes tell of its input."""
    model = build({"MODEL.ANTIALIAS.NAME": "adaptive", "MODEL.RESNETS.NORM": "BN"})
    AACheckpointer(model, str(tmp_path), input_format="RGB").save("model", iteration=7)
    path = str(tmp_path / "model.pth")
    converted = convert(read_checkpoint(path), path)
    assert converted.weights.keys() == model.backbone.state_dict().keys()
    for name, weight in model.backbone.state_dict().items():
        assert torch.equal(converted.weights[name], weight)
    assert converted.notes["input_format"] == "RGB"
    assert converted.notes["pixel_mean"] == [103.53, 116.28, 123.675]  # Detectron2's default
    config = converted.notes["config"]
    assert config["MODEL.ANTIALIAS.GROUPS"] == 8 and config["MODEL.CLASSIFIER.NUM_CLASSES"] == 1000
    assert "MODEL.ANTIALIAS.SOFTMAX" not in config  # nothing in the file tells


def test_written_by_detectron2s_converter():
    """Which calls the classifier stem.fc, and is in RGB unlike Detectron2's other files."""
    weights = randomise(torchvision.models.resnet18()).state_dict()
    ours = convert({"model": weights}, "").weights
    theirs = {k.replace("linear", "stem.fc"): v for k, v in ours.items()}
    converted = convert({"model": theirs, "__author__": "torchvision"}, "")
    assert converted.weights.keys() == ours.keys()
    assert converted.notes["input_format"] == "RGB"
    assert "input_format" not in convert({"model": theirs}, "").notes


def detector(*options):
    cfg = get_cfg()
    add_aa_config(cfg)
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", *options])
    return build_model(cfg)


@pytest.mark.parametrize(
    "config",
    [
        {"MODEL.RESNETS.OUT_FEATURES": ["res4"]},
        {"MODEL.RESNETS.RES5_DILATION": 2, "MODEL.ANTIALIAS.DILATED": False},
    ],
)
def test_backbones_without_some_of_the_parts(config):
    """Fewer stages or fewer filters, and offsets of deformable convs."""
    config = {"MODEL.ANTIALIAS.NAME": "adaptive", "MODEL.RESNETS.OUT_FEATURES": ["res5"], **config}
    cfg = get_cfg()
    add_aa_config(cfg)
    cfg.MODEL.BACKBONE.NAME = "build_aa_resnet_backbone"
    cfg.merge_from_list([item for pair in config.items() for item in pair])
    weights = {f"backbone.{k}": v for k, v in build_backbone(cfg).state_dict().items()}
    weights["backbone.res4.1.conv2_offset.weight"] = torch.zeros(18, 256, 3, 3)
    assert convert({"model": weights}, "").weights == weights
    refused({k: v for k, v in weights.items() if "res3.2.conv1" not in k}, "res3.2.conv1.weight")


@pytest.mark.parametrize(
    "options, found",
    [
        ({"name": "none,none,adaptive,none"}, {"GROUPS": 8, "KERNEL_SIZE": 3}),
        ({"name": "blur,pasa,flc,pasa", "groups": 4}, {"GROUPS": 4, "KERNEL_SIZE": 3}),
        ({"predictor_kernel": 5, "predictor_groups": 4}, {"GROUPS": 8, "KERNEL_SIZE": 3}),
        ({"predictor_kernel": 1, "kernel_size": 5, "groups": 2}, {"GROUPS": 2, "KERNEL_SIZE": 5}),
    ],
)
def test_filters_with_other_predictors(options, found):
    """From bare weights, without any notes."""
    network = build_resnet(18, lowpass=FilterOptions(**options).lowpass_per_place, num_classes=3)
    weights = network.state_dict()
    converted = convert({"model": weights}, "")
    assert converted.weights == weights
    config = converted.notes["config"]
    for key, value in found.items():
        assert config[f"MODEL.ANTIALIAS.{key}"] == value
    assert config.get("MODEL.ANTIALIAS.PREDICTOR_GROUPS", 1) == options.get("predictor_groups", 1)
    assert config.get("MODEL.ANTIALIAS.PREDICTOR_KERNEL", 0) == options.get("predictor_kernel", 0)
    name = next(name for name in weights if "predictor.weight" in name)
    refused(resized(weights, name), name)


FPN = [
    "MODEL.META_ARCHITECTURE", "RetinaNet",
    "MODEL.BACKBONE.NAME", "build_aa_resnet_retinanet_fpn_backbone",
    "MODEL.RESNETS.OUT_FEATURES", ["res3", "res4", "res5"],
    "MODEL.FPN.IN_FEATURES", ["res3", "res4", "res5"],
    "MODEL.RETINANET.IN_FEATURES", ["p3", "p4", "p5", "p6", "p7"],
    "MODEL.ANCHOR_GENERATOR.SIZES", [[8]] * 5,
]  # fmt: skip
C4 = ["MODEL.BACKBONE.NAME", "build_aa_resnet_backbone", "MODEL.ROI_HEADS.NAME", "AARes5ROIHeads"]


@pytest.mark.parametrize("options", [FPN, C4])
def test_whole_detector(options):
    model = detector(*options, "MODEL.ROI_HEADS.NUM_CLASSES", 2)
    weights = model.state_dict()
    converted = convert({"model": weights}, "")
    assert converted.weights == weights
    assert converted.notes["config"]["MODEL.ANTIALIAS.NAME"] == "adaptive"
    part = "res4.2.conv2.weight"
    name = next(name for name in weights if name.endswith(part))
    refused(resized(weights, name), name)
