"""The networks as plain modules, with torchvision's conventions and without a config.

Example::

    net = aa_resnet50(filter="adaptive", groups=8, num_classes=1000)
    logits = net(images)  # (N, 3, H, W) -> (N, 1000)
"""

import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from aa_detectron.checkpoint import convert, read_checkpoint
from aa_detectron.checkpoint.conversion import INPUTS, differing_inputs
from aa_detectron.checkpoint.fit import rule_of_plain
from aa_detectron.checkpoint.namings import RGB
from aa_detectron.checkpoint.options import differing, without_alias
from aa_detectron.checkpoint.strides import stride_option
from aa_detectron.errors import InputError, check_choice
from aa_detectron.layers import FilterOptions
from aa_detectron.layers.build import KINDS
from aa_detectron.layers.per_place import joined_names, names_per_place
from aa_detectron.modeling.bases import ResNet
from aa_detectron.modeling.build import build_resnet

logger = logging.getLogger(__name__)

__all__ = [
    "AAResNet",
    "aa_resnet",
    "aa_resnet18",
    "aa_resnet34",
    "aa_resnet50",
    "aa_resnet101",
    "aa_resnet152",
    "aa_resnext50_32x4d",
    "aa_resnext101_32x8d",
]


class AAResNet(ResNet):
    """A ResNet that returns its last output itself, not in a dict.

    Shape:
        (N, 3, H, W) -> logits (N, num_classes); without a classifier the feature map of res5,
        (N, C, ceil(H / 32), ceil(W / 32)) with a max pooling of 3 pixels.
    """

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for name in self.stage_names:
            x = getattr(self, name)(x)
        if self.num_classes is None:
            return x
        return self.linear(self.avgpool(x).flatten(1))

    def __prepare_scriptable__(self) -> nn.Sequential:
        """Returns the same layers, with the same names, as a chain that TorchScript compiles."""
        layers = OrderedDict(self.named_children())
        if "linear" in layers:
            layers["flatten"] = nn.Flatten()
            layers.move_to_end("linear")
        chain = nn.Sequential(layers)
        chain.training = self.training  # train() would also change layers with a mode of their own
        return chain


def aa_resnet(
    depth: int,
    *,
    filter: str | Sequence[str] = "adaptive",
    stem_pool_size: int = 3,
    num_classes: int | None = 1000,
    weights: str | None = None,
    num_groups: int = 1,
    width_per_group: int = 64,
    **filter_options: Any,
) -> AAResNet:
    """Builds a ResNet for images that are normalized as in torchvision, (N, 3, H, W) floats.

    With filter "none" the network computes the same as torchvision's, in training as well.

    Args:
        depth: number of layers: 18, 34, 50, 101 or 152.
        filter: "none", or the name of a filter, see :class:`~aa_detectron.layers.FilterOptions`.
            Four names are for stem, res3, res4 and res5.
        stem_pool_size: side of the max pooling before the stem's filter: 3 pixels, or 2 as
            published.
        num_classes: number of classes; None for the feature map of res5 instead of logits.
        weights: path of a checkpoint of a ResNet of this shape, with names of any library that
            ``tools/convert_weights.py`` knows; only adaptive filters may be missing, and without
            ``num_classes`` the classifier is left out. A warning says if they come from a network
            with other images or strides, such as MSRA's. None for random weights.
        num_groups: number of groups of the 3x3 convs, above 1 for ResNeXt; 1 at depths 18 and 34.
        width_per_group: number of channels in a group of res2's 3x3 convs; without effect at
            depths 18 and 34.
        filter_options: further fields of :class:`~aa_detectron.layers.FilterOptions`, such as
            ``kernel_size`` or ``groups``.

    Raises:
        InvalidOption: an argument has an illegal value.
        InputError: the weights cannot be read or do not fit.
    """
    names = names_per_place(filter, "filter")
    for name in names:
        check_choice("filter", name, ("none", *KINDS))
    options = FilterOptions(joined_names(names), **filter_options)
    network = build_resnet(
        depth,
        lowpass=options.lowpass_per_place,
        stem_pool_size=stem_pool_size,
        num_classes=num_classes,
        num_groups=num_groups,
        width_per_group=width_per_group,
        network=AAResNet,
    )
    if num_classes is not None:
        network.linear.reset_parameters()  # as in torchvision; Detectron2 draws other values
    if weights is not None:
        keys = options.to_config() | {"MODEL.ANTIALIAS.STEM_POOL_SIZE": stem_pool_size}
        _load(network, weights, without_alias(keys))
    return network


def aa_resnet18(**options: Any) -> AAResNet:
    """Builds ResNet-18, with the options of :func:`aa_resnet`."""
    return aa_resnet(18, **options)


def aa_resnet34(**options: Any) -> AAResNet:
    """Builds ResNet-34, with the options of :func:`aa_resnet`."""
    return aa_resnet(34, **options)


def aa_resnet50(**options: Any) -> AAResNet:
    """Builds ResNet-50, with the options of :func:`aa_resnet`."""
    return aa_resnet(50, **options)


def aa_resnet101(**options: Any) -> AAResNet:
    """Builds ResNet-101, with the options of :func:`aa_resnet`."""
    return aa_resnet(101, **options)


def aa_resnet152(**options: Any) -> AAResNet:
    """Builds ResNet-152, with the options of :func:`aa_resnet`."""
    return aa_resnet(152, **options)


def aa_resnext50_32x4d(**options: Any) -> AAResNet:
    """Builds ResNeXt-50 32x4d, with the options of :func:`aa_resnet`."""
    return aa_resnet(50, num_groups=32, width_per_group=4, **options)


def aa_resnext101_32x8d(**options: Any) -> AAResNet:
    """Builds ResNeXt-101 32x8d, with the options of :func:`aa_resnet`."""
    return aa_resnet(101, num_groups=32, width_per_group=8, **options)


def _load(network: AAResNet, path: str, given: dict[str, Any]) -> None:
    """Loads weights with the names of any known library.

    A warning says if the weights come from a network with other options, with images of another
    format or normalization than torchvision's, or with the stride in another conv.

    Args:
        network: network that gets the weights.
        path: path of the checkpoint.
        given: options of the network, by config key.
    """
    converted = convert(read_checkpoint(path), path)
    found, expected = converted.weights, network.state_dict()
    wrong = rule_of_plain(found, expected).misfits(found, expected)
    if wrong:
        first = wrong[0].in_words()
        raise InputError(f"{path}: {len(wrong)} weights do not fit, the first: {first}")
    network.load_state_dict(found, strict=False)
    notes, config = converted.notes, converted.notes["config"]
    other = {key: config[key] for key in differing(config, given | stride_option(network))}
    try:
        other |= {INPUTS[name]: notes[name] for name in differing_inputs(notes, RGB)}
    except TypeError as error:  # this package did not write these notes
        raise InputError(f"{path}: {', '.join(INPUTS)} in its notes are illegal") from error
    if other:
        theirs = ", ".join(f"{key} {value}" for key, value in other.items())
        logger.warning("%s: the weights come from a network with %s", path, theirs)
