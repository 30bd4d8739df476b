"""One filter for a whole network, or one for each part of it that downsamples."""

from collections.abc import Sequence

from aa_detectron.errors import InvalidOption

PLACES = ("stem", "res3", "res4", "res5")
"""Parts of a ResNet that have filters: the stem and the stages with a stride."""


def names_per_place(name: str | Sequence[str], option: str = "name") -> tuple[str, ...]:
    """Splits the names of the filters of a network.

    Args:
        name: name of all filters, or four names, for stem, res3, res4 and res5: a sequence, or a
            string with commas between the names.
        option: name of the argument or config key, for messages.

    Returns:
        Names of the filters in stem, res3, res4 and res5.

    Raises:
        InvalidOption: there are neither one nor four names.
    """
    given = name.split(",") if isinstance(name, str) else name
    names = tuple(each.strip() if isinstance(each, str) else each for each in given)
    if len(names) == 1:
        return names * len(PLACES)
    if len(names) != len(PLACES) or not all(isinstance(each, str) for each in names):
        legal = f"one name, or four with commas between them, for {', '.join(PLACES)}"
        raise InvalidOption(option, name, legal)
    return names


def joined_names(names: Sequence[str]) -> str:
    """Returns the shortest string that :func:`names_per_place` splits into these names."""
    return names[0] if len(set(names)) == 1 else ",".join(names)
