"""The points at which filters follow convs, in train and eval mode."""

from collections import Counter

from torch import nn

from .graph import End, Graph
from .without_rule import function_without_rule


class Chains:
    """The conv-norm-activation chains of a model, as far as both modes have them.

    Args:
        model: any model; it is not changed.
    """

    def __init__(self, model: nn.Module):
        self._graphs = [Graph(model, training) for training in (False, True)]

    def calls(self, conv: nn.Module) -> bool:
        """Tells whether the model may call a conv as a module wherever it uses its weight.

        Args:
            conv: conv of the model.
        """
        is_unused = all(graph.omits(conv) for graph in self._graphs)
        return not is_unused and not any(graph.bypasses(conv) for graph in self._graphs)

    def end(self, conv: nn.Module) -> End:
        """Finds the last module of a conv's chain that can be filtered in both modes.

        Args:
            conv: conv of the model.
        """
        if not all(graph.knows(conv) for graph in self._graphs):
            return End(conv, False, "behind the conv, since its model cannot be traced")
        ends = max((graph.ends(conv) for graph in self._graphs), key=len)
        return [end for end in ends if all(graph.allows(conv, end) for graph in self._graphs)][-1]

    def functions_without_rule(self) -> list[tuple[str, str]]:
        """Lists calls of functions that downsample: names of the calling modules, descriptions."""
        in_eval, in_train = (
            [
                (name, function)
                for name, node in graph.functions
                if (function := function_without_rule(node))
            ]
            for graph in self._graphs
        )
        return in_eval + list((Counter(in_train) - Counter(in_eval)).elements())
