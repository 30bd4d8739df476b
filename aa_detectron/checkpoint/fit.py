"""Whether weights fit a network: the one rule of what may be new, left over or of another shape."""

import dataclasses
from collections.abc import Callable, Iterable

from torch import Tensor

from aa_detectron.modeling.resnet import FILTERS

Weights = dict[str, Tensor]
Names = Callable[[str], bool]

_EXTENSIONS = {*FILTERS, "conv2_offset"}
_STAGES = ("res2", "res3", "res4", "res5")
_SAY_NOTHING = {"num_batches_tracked", "pixel_mean", "pixel_std"}


@dataclasses.dataclass(frozen=True)
class Misfit:
    """A weight that does not fit.

    Args:
        name: name in the network.
        found: the weight in the file; None if it is missing there.
        expected: the network's; None if it has no place there.
    """

    name: str
    found: Tensor | None
    expected: Tensor | None

    def in_words(self, name: str | None = None) -> str:
        """What is wrong with it, in the words for a conversion; ``name`` replaces its name."""
        name = name or self.name
        if self.expected is None:
            return f"{name} has no place in the network"
        if self.found is None:
            return f"{name} is missing"
        is_, must_be = self.differences()
        return f"{name} is {is_} and has to be {must_be}"

    def differences(self) -> tuple[str, str]:
        """Shape of the found and of the expected weight, or their types if the shapes agree."""
        if self.found.shape != self.expected.shape:
            return shape_in_words(self.found.shape), shape_in_words(self.expected.shape)
        return str(self.found.dtype), str(self.expected.dtype)


@dataclasses.dataclass(frozen=True)
class Rule:
    """What may differ between the weights of a file and the state of a network.

    Weights that share a name must always share the kind of type. Counters of batches and the
    images' normalization may always be missing or left over: nothing depends on the former, and
    the config has the latter.

    Args:
        new: tells which names of the network may be missing in the file.
        left_over: tells which names of the file may have no place in the network.
        new_shapes: whether what may be new may also be there in another shape.
    """

    new: Names = lambda name: False
    left_over: Names = lambda name: False
    new_shapes: bool = False

    def misfits(self, found: Weights, expected: Weights) -> list[Misfit]:
        """What does not fit: first by shape or type, then what is missing, then what is left over.

        Args:
            found: weights of a file, by their names in the network.
            expected: state of the network; tensors without data will do.
        """
        both = [Misfit(name, found[name], expected[name]) for name in expected if name in found]
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
        return [misfit for misfit in both if not self._fits(misfit)] + missing + surplus

    def _fits(self, pair: Misfit) -> bool:
        if pair.name.endswith("num_batches_tracked"):
            return True
        if pair.found.shape != pair.expected.shape:
            return self.new_shapes and self.new(pair.name)
        return _kind(pair.found) == _kind(pair.expected)


EXACT = Rule()
"""Everything has its place: for evaluation, resuming, and the conversion of whole networks."""


def rule_of_parts(found: Iterable[str]) -> Rule:
    """For a backbone of a detector against a whole ResNet.

    It may lack the last stages or the filters of dilated ones, have deformable convs, or filters
    of the user's own.
    """
    stages = {name.split(".")[0] for name in found}
    return Rule(
        new=lambda name: is_extension(name) or name.split(".")[0] not in stages,
        left_over=is_extension,
    )


def rule_of_plain(found: Iterable[str]) -> Rule:
    """For a network with filters: weights without any leave them new."""
    return EXACT if any(map(is_filter, found)) else Rule(new=is_filter)


def rule_of_start(resnets: tuple[str, ...], expected: Iterable[str]) -> Rule:
    """For weights that a training starts from.

    Filters, offsets and classifiers may be new in ResNets, and everything outside of them. A
    classifier may be left over in every detector, and res5 in some; a block in a stage may not.

    Args:
        resnets: prefixes of the names of ResNets.
        expected: names of the network.
    """
    stages = {stage for name in expected if (stage := _stage(name))}
    blocks = {block for name in expected if (block := _block(name))}
    return Rule(
        new=lambda name: not name.startswith(resnets) or is_extension(name) or _is_linear(name),
        left_over=lambda name: _stage(name) not in stages or _block(name) in {None, *blocks},
        new_shapes=True,
    )


def is_filter(name: str) -> bool:
    """Whether it is the name of a filter's weight."""
    return not set(FILTERS).isdisjoint(name.split("."))


def is_extension(name: str) -> bool:
    """Whether a weight is of a module that no ordinary ImageNet checkpoint has."""
    return not _EXTENSIONS.isdisjoint(name.split("."))


def says_nothing(name: str) -> bool:
    """Whether it does not matter that a state is missing or left over."""
    # Old checkpoints of Detectron2 have the anchors, which follow from the config.
    is_anchors = "anchor_generator.cell_anchors" in name
    return is_anchors or name.rsplit(".", 1)[-1] in _SAY_NOTHING


def shape_in_words(shape: Iterable[int]) -> str:
    """The sides with an x between them."""
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
