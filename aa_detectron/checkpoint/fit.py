"""The rules by which weights fit a network: what may be new, left over or of another shape."""

import dataclasses
from collections.abc import Callable, Iterable

from torch import Tensor

from aa_detectron.modeling.filter_names import FILTER_NAMES, is_filter

Weights = dict[str, Tensor]
Names = Callable[[str], bool]

_EXTENSIONS = {*FILTER_NAMES, "conv2_offset"}
_STAGES = ("res2", "res3", "res4", "res5")
_SAY_NOTHING = {"num_batches_tracked", "pixel_mean", "pixel_std"}


@dataclasses.dataclass(frozen=True)
class Misfit:
    """A weight that does not fit.

    Args:
        name: name in the network.
        found: weight in the file; None if it is missing there.
        expected: weight in the network; None if it is missing there.
    """

    name: str
    found: Tensor | None
    expected: Tensor | None

    def in_words(self, name: str | None = None) -> str:
        """Says what is wrong: a missing weight, or other shapes, or other types.

        Args:
            name: name for the message; None for the name in the network.
        """
        name, found, expected = name or self.name, self.found, self.expected
        if expected is None:
            return f"{name} is not in the network"
        if found is None:
            return f"{name} is missing"
        if found.shape == expected.shape:
            return f"{name} is {found.dtype} in the file and {expected.dtype} in the network"
        sides = [shape_in_words(weight.shape) for weight in (found, expected)]
        return f"{name} is {sides[0]} in the file and {sides[1]} in the network"


@dataclasses.dataclass(frozen=True)
class Rule:
    """What may differ between the weights of a file and the state of a network.

    Weights of the same name must have the same kind of type. Counters of batches and the
    normalization of images may always be missing or left over: nothing depends on the counters,
    and the config has the normalization.

    Args:
        new: whether a weight of the network, by its name, may be missing in the file.
        left_over: whether a weight of the file, by its name, may be missing in the network.
        new_shapes: whether a weight that may be new may also have another shape in the file.
    """

    new: Names = lambda name: False
    left_over: Names = lambda name: False
    new_shapes: bool = False

    def misfits(self, found: Weights, expected: Weights) -> list[Misfit]:
        """Lists the weights that do not fit.

        Args:
            found: weights of a file, by their names in the network.
            expected: state of the network; tensors without data suffice.

        Returns:
            Weights of another shape or type, then missing weights, then surplus weights.
        """
        different = [
            Misfit(name, found[name], weight)
            for name, weight in expected.items()
            if name in found and not self._fits(name, found[name], weight)
        ]
        missing = [
            Misfit(name, None, expected[name])
            for name in expected
            if name not in found and not says_nothing(name) and not self.new(name)
        ]
        surplus = [
            Misfit(name, found[name], None)
            for name in found
            if name not in expected and not says_nothing(name) and not self.left_over(name)
        ]
        return different + missing + surplus

    def _fits(self, name: str, found: Tensor, expected: Tensor) -> bool:
        if name.endswith("num_batches_tracked"):
            return True
        if found.shape != expected.shape:
            return self.new_shapes and self.new(name)
        return _kind(found) == _kind(expected)


EXACT = Rule()
"""Nothing may differ: for evaluations, resumed trainings and conversions of whole networks."""


def rule_of_parts(found: Iterable[str]) -> Rule:
    """The rule for the backbone of a detector, compared with a whole ResNet.

    The backbone may lack the last stages, or the filters of dilated stages. It may have deformable
    convs, or filters of the user's own.

    Args:
        found: names of the backbone's weights.
    """
    stages = {name.split(".")[0] for name in found}
    return Rule(
        new=lambda name: is_extension(name) or name.split(".")[0] not in stages,
        left_over=is_extension,
    )


def rule_of_plain(found: Iterable[str], expected: Iterable[str]) -> Rule:
    """The rule for a ResNet of plain arguments.

    Its filters may be new if the file has no filters at all. The file's classifier may be left over
    if the network has none.

    Args:
        found: names of the weights of the file.
        expected: names of the network's weights.
    """
    has_filters, has_classifier = any(map(is_filter, found)), any(map(_is_linear, expected))
    return Rule(
        new=lambda name: is_filter(name) and not has_filters,
        left_over=lambda name: _is_linear(name) and not has_classifier,
    )


def rule_of_start(resnets: tuple[str, ...], expected: Iterable[str]) -> Rule:
    """The rule for weights that a training starts from.

    In ResNets, filters, offsets of deformable convs and classifiers may be new; outside of them
    everything may be new. Anything may be left over, such as a classifier or a whole stage, except
    a block that is missing in one of the network's stages: it belongs to a deeper network.

    Args:
        resnets: prefixes of the names of the weights in ResNets.
        expected: names of the network's weights.
    """
    stages = {stage for name in expected if (stage := _stage(name))}
    blocks = {block for name in expected if (block := _block(name))}
    return Rule(
        new=lambda name: not name.startswith(resnets) or is_extension(name) or _is_linear(name),
        left_over=lambda name: _stage(name) not in stages or _block(name) in {None, *blocks},
        new_shapes=True,
    )


def is_extension(name: str) -> bool:
    """Returns whether a weight belongs to a module that ordinary ImageNet checkpoints lack."""
    return not _EXTENSIONS.isdisjoint(name.split("."))


def says_nothing(name: str) -> bool:
    """Returns whether a state may be missing or left over without any effect."""
    # Old checkpoints of Detectron2 contain the anchors, which follow from the config.
    is_anchors = "anchor_generator.cell_anchors" in name
    return is_anchors or name.rsplit(".", 1)[-1] in _SAY_NOTHING


def shape_in_words(shape: Iterable[int]) -> str:
    """Formats a shape, such as "64x3x7x7"."""
    return "x".join(map(str, shape)) or "a number"


def _is_linear(name: str) -> bool:
    return "linear" in name.split(".")


def _stage(name: str) -> str | None:
    return next((part for part in name.split(".") if part in _STAGES), None)


def _block(name: str) -> tuple[str, str] | None:
    parts = name.split(".")
    pairs = zip(parts, parts[1:], strict=False)
    blocks = [(part, number) for part, number in pairs if part in _STAGES and number.isdigit()]
    return blocks[0] if blocks else None


def _kind(weight: Tensor) -> tuple[bool, bool]:
    return weight.is_floating_point(), weight.is_complex()


def without_statistics(state: Weights) -> Weights:
    """Returns a model's state without the running statistics of norms.

    Files of Caffe2 have none, since their norms are folded into scale and bias. Detectron2's
    FrozenBN then uses mean 0 and variance 1.

    Args:
        state: state of the model.
    """
    statistics = (".running_mean", ".running_var")
    return {name: value for name, value in state.items() if not name.endswith(statistics)}
