"""Names of filters in a network, by which their weights are told from all others."""

FILTERS = ("aa", "aa_shortcut")
"""Names of the filters in a stem or block of our ResNet."""
OUTPUT, INPUT = "aa", "aa_input"
"""Names of a filter of :func:`~aa_detectron.antialias`, behind and before its module."""
FILTER_NAMES = frozenset({*FILTERS, OUTPUT, INPUT})
"""Names of filters in the modules that have them."""


def is_filter(name: str) -> bool:
    """Tells whether a weight or module of this name, such as "res3.0.aa.offset", is in a filter."""
    return not FILTER_NAMES.isdisjoint(name.split("."))
