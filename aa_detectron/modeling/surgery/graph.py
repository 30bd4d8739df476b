"""The parts of a model whose data flow can be traced, and what follows a conv there."""

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from torch import fx, nn

from .report import is_lowpass
from .untouched import switch_off_hooks, untouched

_ACTIVATIONS = {
    *("relu", "relu_", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish"),
    *("hardswish", "hardtanh", "hardsigmoid", "sigmoid", "tanh", "softplus", "prelu"),
}
"""Names of functions and methods of tensors."""
_NOT_POINTWISE = (
    *(nn.MultiheadAttention, nn.Softmax, nn.Softmax2d, nn.LogSoftmax, nn.Softmin),
    nn.GLU,  # halves the number of channels
)
_PASSED = (nn.Identity, nn.Dropout, nn.Dropout2d)


class End(NamedTuple):
    """The point at which a filter follows a conv, its norm and its activation."""

    host: nn.Module
    """Module whose output, or input, is filtered."""
    is_input: bool
    place: str
    """Description of the point, such as "behind the activation"."""


class Graph:
    """The traced parts of a model in one mode.

    A model that cannot be traced as a whole is traced in the largest submodules that can be.

    Args:
        model: any model; it is not changed.
        training: mode of the model.
    """

    def __init__(self, model: nn.Module, training: bool):
        self.calls: dict[nn.Module, list[fx.Node]] = defaultdict(list)
        self.functions: list[tuple[str, fx.Node]] = []
        """Calls of functions and methods, each with the name of the module that calls it."""
        self._modules: dict[fx.Node, nn.Module] = {}
        self._uncalled: set[nn.Module] = set()
        """Modules that the model surely does not call in this mode."""
        self._read: set[nn.Module] = set()
        """Modules whose parameters are read by the code of other modules."""
        self._shared: set[nn.Module] = set()
        """Modules in traced parts that code outside of their part may call as well."""
        with untouched(model, training):
            switch_off_hooks(model)
            for name, part, graph in _traced_parts(model, ""):
                self._add(graph, part, name)
                outside = {module for _, module in model.named_modules(memo={part})}
                self._shared |= outside.intersection(part.modules())

    def knows(self, conv: nn.Module) -> bool:
        """Tells whether it is known how often the model calls a conv."""
        return bool(self.calls[conv]) or self.omits(conv)

    def omits(self, conv: nn.Module) -> bool:
        """Tells whether the model surely does not call a conv in this mode."""
        return conv in self._uncalled

    def bypasses(self, conv: nn.Module) -> bool:
        """Tells whether a conv's weight is used without a call, which is what runs the hooks."""
        return not self.calls[conv] and conv in self._read

    def ends(self, conv: nn.Module) -> list[End]:
        """Lists the points of a conv-norm-activation chain that can be filtered, in its order.

        A filter there sees every use of the feature map: of a module that is called once, or of the
        only module that reads the map.

        Args:
            conv: conv of the model.
        """
        ends = [End(conv, False, "behind the conv")]
        if not self._is_called_once(conv):
            return ends
        (node,) = self.calls[conv]
        while len(node.users) == 1:
            (node,) = node.users
            module = self._modules.get(node)
            if isinstance(module, _PASSED):
                continue
            kind = _kind(node, module)
            if kind and (end := self._end_at(node, f"behind the {kind}")):
                ends.append(end)
            if kind != "norm":
                break
        return ends

    def allows(self, conv: nn.Module, end: End) -> bool:
        """Tells whether a filter at a point changes nothing but a conv's chain."""
        if self.omits(conv):
            return end.host is conv or not self.calls[end.host]
        return end in self.ends(conv)

    def _is_called_once(self, module: nn.Module) -> bool:
        return len(self.calls[module]) == 1 and module not in self._shared

    def _end_at(self, node: fx.Node, place: str) -> End | None:
        module = self._modules.get(node)
        if module is not None and self._is_called_once(module):
            return End(module, False, place)
        if len(node.users) != 1:
            return None
        (user,) = node.users
        reader = self._modules.get(user)
        if reader is not None and self._is_called_once(reader) and user.args == (node,):
            return End(reader, True, place)
        return None

    def _add(self, graph: fx.Graph, part: nn.Module, name: str) -> None:
        for node in graph.nodes:
            if node.op == "call_module":
                called = part.get_submodule(str(node.target))
                self._modules[node] = called
                self.calls[called].append(node)
            elif node.op == "get_attr":
                self._read.add(part.get_submodule(str(node.target).rpartition(".")[0]))
            elif node.op in ("call_function", "call_method"):
                stack = [path for path, _ in node.meta.get("nn_module_stack", {}).values()]
                self.functions.append((f"{name}.{stack[-1] if stack else ''}".strip("."), node))
        if not name:  # the whole model
            called_or_inside = {inner for called in self.calls for inner in called.modules()}
            self._uncalled = set(part.modules()) - called_or_inside


def _traced_parts(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module, fx.Graph]]:
    tracer = _Tracer()
    if tracer.is_leaf_module(module, name):  # a leaf would be traced through its own code
        return
    try:
        graph = tracer.trace(module)
    except Exception:  # whatever the model's code raises for a value that is not known yet
        for child_name, child in module.named_children():
            yield from _traced_parts(child, f"{name}.{child_name}".removeprefix("."))
    else:
        yield name, module, graph


def _kind(node: fx.Node, module: nn.Module | None) -> str:
    """Returns "norm", "activation" or "" for the call of a module, function or method."""
    if module is None:
        name = getattr(node.target, "__name__", node.target)
        return "activation" if name in _ACTIVATIONS else ""
    if is_norm(module):  # timm's BatchNormAct2d is both
        return "activation" if "NormAct" in type(module).__name__ else "norm"
    is_activation = type(module).__module__ == "torch.nn.modules.activation"
    return "activation" if is_activation and not isinstance(module, _NOT_POINTWISE) else ""


class _Tracer(fx.Tracer):
    # Detectron2's Conv2d has a norm inside, and timm's norms have an activation.
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        is_leaf = isinstance(m, nn.Conv2d) or is_norm(m) or is_lowpass(m)
        return is_leaf or super().is_leaf_module(m, module_qualified_name)


def is_norm(module: nn.Module) -> bool:
    """Tells whether a module is a norm of feature maps; libraries share no base class for these."""
    is_named_so = "Norm" in type(module).__name__ and type(module) is not nn.LayerNorm
    if isinstance(module, nn.Sequential):  # a chain of layers, such as a norm and an activation
        return False
    return is_named_so and not any(isinstance(m, nn.Conv2d) for m in module.modules())
