#!/usr/bin/env python
"""What aa_detectron.antialias does to networks of torchvision and timm."""

import argparse
import copy
import importlib.resources

import numpy as np
import timm
import torch
import torchvision
from measuring import parse_arguments, write
from torch import Tensor, nn

from aa_detectron import antialias
from aa_detectron.consistency.sources.images import read_image
from aa_detectron.errors import InputError, exit_on_bad_input
from aa_detectron.modeling.surgery import AntialiasReport

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee")
TORCHVISION = (
    *("resnet18", "resnet50", "resnext50_32x4d", "densenet121", "mobilenet_v3_large"),
    *("efficientnet_b0", "regnet_y_400mf", "convnext_tiny", "googlenet", "vgg16"),
)
TIMM = (
    *("resnet50d", "regnety_004", "convnext_pico", "efficientnet_lite0"),
    "mobilenetv4_conv_small",
)
ODD_SIZES = ((97, 131), (111, 70), (75, 75))
SHIFTS = ((0, 1), (1, 0), (1, 1))
SIDE = 224
NOTES = (
    "Networks with random weights of seed 0, unless --weights is given. Convs that read the image "
    "are filtered as well (stem), and patch embeddings where there is no other place. 'places': "
    "layers that downsample and have a filter now, of all that downsample. 'parameters': added by "
    "adaptive filters. 'names': every weight of the plain network keeps its name and shape. "
    f"'sizes': with inputs of {', '.join(f'{h}x{w}' for h, w in ODD_SIZES)} pixels, every layer "
    "that has a filter returns a map of the same size as before. 'gradient': every new parameter "
    "has one. The last three columns: change of the logits when the window moves by one pixel, "
    "|f(shifted) - f| / |f - mean f| in percent, averaged over "
    f"{len(PHOTOGRAPHS)} photographs ({', '.join(PHOTOGRAPHS)}) and {len(SHIFTS)} directions; "
    "mean f is over the photographs. Adaptive filters have random (Kaiming) weights; with "
    "--weights they start as the blur."
)


def add_options(parser: argparse.ArgumentParser) -> None:
    names = [*(f"torchvision/{name}" for name in TORCHVISION), *(f"timm/{name}" for name in TIMM)]
    parser.add_argument("--networks", nargs="+", default=names, metavar="LIBRARY/NAME")
    parser.add_argument(
        "--weights",
        metavar="FILE",
        help="of the only network: a state_dict with its weights in the same order",
    )


def make_network(name: str, weights: str | None) -> nn.Module:
    library, _, model = name.partition("/")
    torch.manual_seed(0)
    if library == "timm":
        network = timm.create_model(model)
    elif model == "googlenet":
        network = torchvision.models.googlenet(aux_logits=False, init_weights=False)
    else:
        network = torchvision.models.get_model(model, weights=None)
    if weights:
        found = torch.load(weights, map_location="cpu", weights_only=True)
        if [v.shape for v in found.values()] != [v.shape for v in network.state_dict().values()]:
            raise InputError(f"{weights}: its weights have other shapes than those of {name}")
        network.load_state_dict(dict(zip(network.state_dict(), found.values(), strict=True)))
    return network.eval()


def filtered(plain: nn.Module, kind: str, init: str) -> tuple[nn.Module, AntialiasReport]:
    network = copy.deepcopy(plain)
    has_other_places = any(
        isinstance(module, nn.MaxPool2d | nn.AvgPool2d)
        or (isinstance(module, nn.Conv2d) and max(module.kernel_size) > max(module.stride) > 1)
        for module in network.modules()
    )
    report = antialias(network, kind, stem=True, patch_embed=not has_other_places, init=init)
    return network, report


def names_stay(plain: nn.Module, network: nn.Module, report: AntialiasReport) -> bool:
    missing, unexpected = network.load_state_dict(plain.state_dict(), strict=False)
    new = tuple(f"{place.filter_name}." for place in report.filtered)
    return not unexpected and all(name.startswith(new) for name in missing)


def sizes_stay(plain: nn.Module, network: nn.Module, report: AntialiasReport) -> bool:
    hosts = {place.filter_name.rpartition(".")[0] for place in report.filtered}
    images = [torch.rand(1, 3, *size) for size in ODD_SIZES]
    return all(_sizes(plain, hosts, image) == _sizes(network, hosts, image) for image in images)


def _sizes(network: nn.Module, names: set[str], image: Tensor) -> dict[str, torch.Size]:
    found: dict[str, torch.Size] = {}
    handles = [
        network.get_submodule(name).register_forward_hook(
            lambda module, args, output, name=name: found.update({name: output.shape})
        )
        for name in names
    ]
    with torch.no_grad():
        network(image)
    for handle in handles:
        handle.remove()
    return found


def has_gradients(network: nn.Module, report: AntialiasReport) -> bool:
    """Tells whether a loss reaches every parameter of the filters, in training mode.

    Residual branches that start at zero (the scale of a norm is zero) get a scale of one first.
    """
    network = copy.deepcopy(network).train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and not module.weight.any():
            nn.init.ones_(module.weight)
    logits = network(torch.rand(2, 3, 97, 97))
    (logits - logits.mean()).square().sum().backward()
    new = tuple(f"{place.filter_name}." for place in report.filtered)
    return all(
        parameter.grad is not None and bool(parameter.grad.any())
        for name, parameter in network.named_parameters()
        if name.startswith(new)
    )


def photographs() -> Tensor:
    """Windows of one pixel more than the network's input, normalized, (photographs, 3, H, W)."""
    folder = importlib.resources.files("skimage") / "data"
    windows = []
    for name in PHOTOGRAPHS:
        with importlib.resources.as_file(folder / f"{name}.png") as path:
            image = read_image(path)
        top, left = ((side - SIDE - 1) // 2 for side in image.shape[:2])
        windows.append(image[top : top + SIDE + 1, left : left + SIDE + 1])
    x = torch.from_numpy(np.stack(windows)).permute(0, 3, 1, 2) / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (x - mean.view(3, 1, 1)) / std.view(3, 1, 1)


@torch.no_grad()
def change_under_shift(network: nn.Module, images: Tensor) -> float:
    """Percent by which the logits change when the window moves by one pixel."""
    logits = {
        (y, x): network(images[..., y : y + SIDE, x : x + SIDE]) for y, x in ((0, 0), *SHIFTS)
    }
    spread = (logits[0, 0] - logits[0, 0].mean(0)).norm(dim=1).mean()
    moved = [(logits[shift] - logits[0, 0]).norm(dim=1).mean() for shift in SHIFTS]
    return 100 * (torch.stack(moved).mean() / spread).item()


def make_row(name: str, weights: str | None, images: Tensor) -> dict:
    plain = make_network(name, weights)
    init = "binomial" if weights else "kaiming"
    adaptive, report = filtered(plain, "adaptive", init)
    blur, _ = filtered(plain, "blur", init)
    networks = {"plain": plain, "blur": blur, "adaptive": adaptive}
    return {
        "network": name,
        "places": f"{len(report.filtered)} of {len(report.places)}",
        "parameters": report.num_parameters,
        "names": names_stay(plain, adaptive, report),
        "sizes": sizes_stay(plain, adaptive, report),
        "gradient": has_gradients(adaptive, report),
        **{kind: change_under_shift(net, images) for kind, net in networks.items()},
    }


def main() -> None:
    args = parse_arguments(__doc__, add_options)
    images = photographs()
    rows = []
    for name in args.networks:
        rows.append(make_row(name, args.weights, images))
        print(rows[-1], flush=True)
    weights = "ImageNet weights" if args.weights else "random weights"
    write(args, f"Anti-aliasing of other networks, {weights}", rows, NOTES)


if __name__ == "__main__":
    with exit_on_bad_input():
        main()
