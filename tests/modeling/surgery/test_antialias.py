"""Surgery on whole networks."""

import copy
import pickle

import pytest
import timm
import torch
import torch.distributed as dist
import torchvision
from checkpoint.networks import randomise
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_resnet_backbone
from torch import nn

import aa_detectron
from aa_detectron import antialias, is_antialiased
from aa_detectron.errors import InputError, InvalidOption
from aa_detectron.layers import AdaptiveBlurPool2d, BlurPool2d, FilterOptions
from aa_detectron.modeling.build import build_resnet
from aa_detectron.models import aa_resnet

NETWORKS = {
    "resnet18": lambda: torchvision.models.resnet18(),
    "mobilenet_v3_small": lambda: torchvision.models.mobilenet_v3_small(),
    "googlenet": lambda: torchvision.models.googlenet(aux_logits=False, init_weights=False),
    "squeezenet": lambda: torchvision.models.squeezenet1_0(num_classes=10),
    "shufflenet": lambda: torchvision.models.shufflenet_v2_x0_5(),
    "fcn": lambda: torchvision.models.segmentation.lraspp_mobilenet_v3_large(
        weights=None, weights_backbone=None
    ),
    "resnet26d": lambda: timm.create_model("resnet26d"),
    "regnety_002": lambda: timm.create_model("regnety_002"),
    "efficientnet_lite0": lambda: timm.create_model("efficientnet_lite0"),
    "tf_mobilenetv3": lambda: timm.create_model("tf_mobilenetv3_small_minimal_100"),
    "mobilenetv4": lambda: timm.create_model("mobilenetv4_conv_small"),
}
IMAGE = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))


def shapes(network, x):
    """Sizes of the outputs of all modules, by module."""
    found = {}
    handles = [
        module.register_forward_hook(
            lambda module, args, output, name=name: found.setdefault(name, []).append(
                getattr(output, "shape", None)
            )
        )
        for name, module in network.named_modules()
    ]
    network(x)
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_any_network(name):
    """Names and sizes stay, every filter has a gradient and a size that was measured."""
    torch.manual_seed(0)
    plain = randomise(NETWORKS[name]())
    network = copy.deepcopy(plain)
    report = antialias(network, init="kaiming", stem=True)
    weights = plain.state_dict()
    missing, unexpected = network.load_state_dict(weights, strict=False)
    assert not unexpected
    filters = tuple(f"{place.filter_name}." for place in report.filtered)
    assert filters and all(key.startswith(filters) for key in missing)
    assert list(weights) == [key for key in network.state_dict() if not key.startswith(filters)]
    num_parameters = sum(p.numel() for p in network.parameters())
    assert report.num_parameters == num_parameters - sum(p.numel() for p in plain.parameters())
    # A network has no strided layer left, but for the filters and what the report names.
    left_alone = {place.name for place in report.left_alone}
    for key, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d) and ".aa" not in key:
            assert module.stride in (1, (1, 1)) or key in left_alone, key
    for size in ((65, 97), (75, 70)):
        x = torch.rand(1, 3, *size)
        with torch.no_grad():
            outputs = [shapes(model.eval(), x) for model in (plain, network)]
        hosts = {place.filter_name.rpartition(".")[0] for place in report.filtered}
        assert all(outputs[0][key] == outputs[1][key] for key in hosts), size
        assert outputs[0][""] == outputs[1][""]
    network.train()
    output = network(torch.rand(2, 3, 64, 64))
    output = output if isinstance(output, torch.Tensor) else output["out"]
    (output - output.mean()).square().sum().backward()
    for key, parameter in network.named_parameters():
        if key.startswith(filters):
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, key


@pytest.mark.parametrize("depth", [18, 50])
def test_torchvision_equals_our_resnet(depth, tmp_path):
    """The filters are where our own ResNet has them."""
    theirs = randomise(getattr(torchvision.models, f"resnet{depth}")(num_classes=10))
    path = tmp_path / "plain.pth"
    torch.save(theirs.state_dict(), path)
    ours = aa_resnet(depth, filter="blur", num_classes=10, weights=str(path)).eval()
    antialias(theirs, "blur")
    for x in (IMAGE, IMAGE[..., 3:]):
        torch.testing.assert_close(theirs.eval()(x), ours(x))


def detectron2_resnet(depth, stride_in_1x1):
    cfg = get_cfg()
    resnets = cfg.MODEL.RESNETS
    resnets.DEPTH, resnets.NORM, resnets.STRIDE_IN_1X1 = depth, "BN", stride_in_1x1
    resnets.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
    resnets.RES2_OUT_CHANNELS = 256 if depth >= 50 else 64
    cfg.MODEL.BACKBONE.FREEZE_AT = 0
    return build_resnet_backbone(cfg, ShapeSpec(channels=3))


def our_resnet(depth, stride_in_1x1, lowpass=None):
    features = ["res2", "res3", "res4", "res5"]
    return build_resnet(depth, lowpass=lowpass, stride_in_1x1=stride_in_1x1, out_features=features)


@pytest.mark.parametrize("make", [detectron2_resnet, our_resnet])
@pytest.mark.parametrize("depth, stride_in_1x1", [(18, False), (50, False), (50, True)])
def test_equals_build_resnet(make, depth, stride_in_1x1):
    """Same names, and same outputs to the last bit."""
    options = {"groups": 4, "kernel_size": 5, "init": "kaiming"}
    network = make(depth, stride_in_1x1)
    report = antialias(network, **options)
    expected = our_resnet(depth, stride_in_1x1, FilterOptions(**options).lowpass)
    assert set(network.state_dict()) == set(expected.state_dict())
    expected.load_state_dict(network.state_dict())
    for training in (True, False):
        outputs = [model.train(training)(IMAGE) for model in (network, expected)]
        assert all(torch.equal(outputs[0][key], outputs[1][key]) for key in outputs[1])
    assert len(report.filtered) == 7 and not [
        place for place in report.left_alone if "reads the image" not in place.note
    ]
    assert {place.filter_name.rpartition(".")[2] for place in report.filtered} == {
        "aa",
        "aa_shortcut",
    }


def small_network():
    return nn.Sequential(
        nn.Conv2d(3, 12, 3, 2, 1),
        nn.ReLU(),
        nn.Conv2d(12, 20, 3, 2, 1),
        nn.BatchNorm2d(20),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(20, 6, 1, 2),
        nn.Conv2d(6, 8, 2, 2),
    )


def test_written_out():
    """Each rule, against the same network by hand."""
    network = small_network().eval()
    plain = copy.deepcopy(network)
    blur = BlurPool2d(1, 3, 2)
    antialias(network, "blur")
    x = plain[:2](IMAGE)  # the conv that reads the image is left alone
    x = nn.functional.conv2d(x, plain[2].weight, plain[2].bias, padding=1)
    x = blur(plain[3:5](x))
    x = blur(nn.functional.max_pool2d(x, 2, 1))
    x = nn.functional.conv2d(blur(x), plain[6].weight, plain[6].bias)
    x = plain[7](x)  # the patch embedding is left alone
    torch.testing.assert_close(network(IMAGE), x)


def test_stem_and_patch_embedding_on_request():
    network = small_network().eval()
    plain = copy.deepcopy(network)
    antialias(network, "blur", stem=True, patch_embed=True, places=["0", "7"])
    x = nn.functional.conv2d(IMAGE, plain[0].weight, plain[0].bias, padding=1)
    x = plain[2:7](BlurPool2d(1, 3, 2)(x.relu()))
    x = plain[7](BlurPool2d(1, 3, 1)(x))
    torch.testing.assert_close(network(IMAGE), x)


def test_groups_divide_the_channels():
    network = small_network()
    report = antialias(network, groups=8)
    groups = {name: network.get_submodule(name).groups for name in names_of(report)}
    assert groups == {"4.aa": 5, "5.aa": 5, "6.aa_input": 5}
    assert network.get_submodule("6.aa_input").predictor.weight.shape == (45, 20, 3, 3)


def test_groups_of_the_predictor_divide_the_groups():
    network = small_network()
    antialias(network, groups=6, predictor_groups=6)  # 5 groups for 20 channels
    assert {network.get_submodule(name).predictor.groups for name in ("4.aa", "5.aa")} == {1}
    network = small_network()
    antialias(network, groups=4, predictor_groups=4)
    assert network[4].aa.predictor.groups == 4


def names_of(report):
    return [place.filter_name for place in report.filtered]


def test_report():
    text = str(antialias(small_network(), "blur"))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[2:] == [
        "0 Conv2d 3x3, stride 2 none left alone: reads the image; stem=True filters it",
        "2 Conv2d 3x3, stride 2 4.aa 20 behind the activation",
        "5 MaxPool2d 2x2, stride 2 5.aa 20 behind the pool at stride 1",
        "6 Conv2d 1x1, stride 2 6.aa_input 20 before the conv",
        "7 Conv2d 2x2, stride 2 none left alone: patch embedding; patch_embed=True filters it",
        "3 filters with 0 parameters; 2 layers left alone",
    ]


def test_selected_places():
    network = torchvision.models.resnet18()
    report = antialias(network, "blur", places=["layer3.*", "maxpool"])
    assert names_of(report) == [
        "maxpool.aa",
        "layer3.0.conv2.aa_input",
        "layer3.0.downsample.0.aa_input",
    ]
    assert network.layer2[0].conv1.stride == (2, 2)
    assert {place.note for place in report.left_alone} >= {"left alone: not in places"}


def test_a_function_builds_the_filter():
    network = small_network()
    asked = []

    def lowpass(channels, stride):
        asked.append((channels, stride))
        return BlurPool2d(channels, 5, stride)

    antialias(network, lowpass)
    assert asked == [(20, 2), (20, 2), (20, 2)] and network[4].aa.kernel.shape == (5, 5)


def test_device_dtype_and_mode():
    network = small_network().double().eval()
    antialias(network)
    assert network[4].aa.predictor.weight.dtype == torch.float64 and not network[4].aa.training
    assert network(IMAGE.double()).dtype == torch.float64
    with torch.device("meta"):
        network = small_network()
    antialias(network)
    assert network[4].aa.predictor.weight.is_meta


def test_random_numbers_stay():
    """The layers that are built later have the same random weights in every variant."""
    drawn = []
    for filter in ("blur", "adaptive"):
        torch.manual_seed(0)
        antialias(small_network(), filter)
        drawn.append(torch.rand(3))
    assert torch.equal(*drawn)


def test_frozen_weights_stay_frozen():
    network = small_network().requires_grad_(False)
    antialias(network)
    trainable = [name for name, p in network.named_parameters() if p.requires_grad]
    assert trainable and all(".aa" in name for name in trainable)


@pytest.mark.parametrize("make", [small_network, lambda: our_resnet(18, False)])
def test_copies(make):
    """deepcopy and pickle, as for a moving average of weights; a copy has its own filters."""
    network = make().eval()
    antialias(network, init="kaiming")
    expected = flat(network(IMAGE))
    copies = [copy.deepcopy(network), pickle.loads(pickle.dumps(network))]
    for other in copies:
        torch.testing.assert_close(flat(other(IMAGE)), expected, rtol=0, atol=0)
    for parameter in network.parameters():
        parameter.data.zero_()
    for other in copies:
        torch.testing.assert_close(flat(other(IMAGE)), expected, rtol=0, atol=0)


def flat(output):
    return list(output.values()) if isinstance(output, dict) else [output]


def test_compile():
    network = small_network().eval()
    antialias(network, init="kaiming")
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(IMAGE), network(IMAGE))


def test_data_parallel(tmp_path):
    dist.init_process_group("gloo", f"file://{tmp_path}/sync", rank=0, world_size=1)
    try:
        network = small_network()
        antialias(network, init="kaiming")
        nn.parallel.DistributedDataParallel(network)(IMAGE).square().sum().backward()
        assert all(p.grad.abs().sum() > 0 for p in network[4].parameters())
    finally:
        dist.destroy_process_group()


def test_is_antialiased():
    network = small_network()
    assert not is_antialiased(network)
    antialias(network, "blur")
    assert is_antialiased(network) and is_antialiased(nn.Sequential(network))
    assert is_antialiased(aa_resnet(18, filter="blur"))
    assert not is_antialiased(aa_resnet(18, filter="none"))
    assert aa_detectron.antialias is antialias


def test_a_module_that_is_called_like_a_filter():
    """It is no filter, and no filter takes its place."""
    network = small_network()
    network.aa, network[4].aa = nn.Linear(2, 2), nn.Linear(3, 3)
    assert not is_antialiased(network)
    assert "2.aa" in names_of(antialias(network, "blur"))
    assert isinstance(network[4].aa, nn.Linear) and is_antialiased(network)
    network = nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 2, 1))
    network[0].aa = nn.Linear(2, 2)
    report = antialias(network, "blur")
    assert names_of(report) == ["1.aa"]
    assert report.left_alone[0].note == "left alone: it has an attribute 'aa' of its own"


@pytest.mark.parametrize("name", ["adaptive", "blur", "gaussian", "flc"])
def test_our_own_layers_in_the_model(name):
    """They are left as they are, and the chain around them is traced."""
    own = FilterOptions(name, groups=4, predictor_smooth=True).build(16, 2)
    network = nn.Sequential(
        nn.Conv2d(8, 16, 3), own, nn.Conv2d(16, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU()
    ).eval()
    before, plain = described(own), network(IMAGE.repeat(1, 3, 1, 1)[:, 1:]).shape
    report = antialias(network)
    assert [(place.name, place.filter_name) for place in report.places] == [("2", "4.aa")]
    assert described(own) == before
    assert network(IMAGE.repeat(1, 3, 1, 1)[:, 1:]).shape == plain


def described(network):
    return [
        (name, type(m), getattr(m, "stride", None), m.training, len(m._forward_hooks),
         len(m._forward_pre_hooks))
        for name, m in network.named_modules()
    ]  # fmt: skip


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"filter": "none"}, InvalidOption, "filter is 'none', but must be the name of a filter"),
        ({"filter": "blurr"}, InvalidOption, "filter is 'blurr', but must be one of"),
        ({"kernel_size": 4}, InvalidOption, "kernel_size is 4, but must be odd"),
        ({"groups": 0}, InvalidOption, "groups is 0, but must be a divisor"),
        ({"init": "zeros"}, InvalidOption, "init is 'zeros', but must be one of"),
        ({"places": ["9*"]}, InvalidOption, r"places is '9\*', but must be a name or pattern of 0"),
        ({"places": ["0"]}, InputError, "no layer that can be filtered: left alone: reads the im"),
    ],
)
def test_bad_input_changes_nothing(options, error, message):
    network = small_network()
    before = described(network)
    with pytest.raises(error, match=message):
        antialias(network, **options)
    assert described(network) == before


def test_no_strided_layer():
    with pytest.raises(InputError, match="no layer that can be filtered: no layer downsamples"):
        antialias(nn.Sequential(nn.Conv2d(3, 4, 3)))


def test_second_call():
    network = small_network()
    antialias(network, "blur")
    before = described(network)
    with pytest.raises(InputError, match=r"already anti-aliased: it has the filter 4\.aa"):
        antialias(network, "blur")
    assert described(network) == before


def test_fewer_changes_under_a_shift_of_one_pixel():
    """The purpose; the committed table has it for more networks."""
    from skimage import data

    torch.manual_seed(0)
    plain = torchvision.models.resnet18().eval()
    filtered = copy.deepcopy(plain)
    antialias(filtered, "blur")
    image = torch.from_numpy(data.astronaut()).permute(2, 0, 1)[None, :, 100:260, 100:260] / 255
    first, second = image[..., :-1, :-1], image[..., 1:, 1:]
    changes = []
    with torch.no_grad():
        for network in (plain, filtered):
            outputs = network(first), network(second)
            changes.append((outputs[1] - outputs[0]).norm() / outputs[0].norm())
    assert changes[1] < 0.8 * changes[0]


def test_adaptive_filters_start_as_the_blur():
    plain = small_network().eval()
    networks = [copy.deepcopy(plain) for _ in range(2)]
    antialias(networks[0], "blur")
    antialias(networks[1], "adaptive")
    assert isinstance(networks[1][4].aa, AdaptiveBlurPool2d)
    torch.testing.assert_close(networks[1](IMAGE), networks[0](IMAGE))
