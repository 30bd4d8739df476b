"""Names of classes, in the forms in which libraries have them."""

from collections.abc import Mapping, Sequence, ValuesView
from numbers import Integral
from typing import Any

import numpy as np

from aa_detectron.errors import InvalidOption

ClassNames = Sequence[str] | Mapping[int, str] | np.ndarray
"""Names in the order of the classes, or the name of each class index."""

MOST = 1_000_000
"""Limit of a dict's class indices, since all indices below them get a name as well."""
LEGAL = (
    "a list of names in the order of the classes, or a dict from class indices to names, with "
    f"indices from 0 to {MOST - 1}"
)


def list_names(names: ClassNames | None) -> list[str] | None:
    """Converts names of classes to a list.

    Args:
        names: names in the order of the classes, or a dict from class indices from 0 to names, such
            as ultralytics' ``model.names``. A class that the dict lacks has its index as its name.

    Returns:
        names by class index; None for None.

    Raises:
        InvalidOption: anything else, such as a single string.
    """
    if names is None:
        return None
    if isinstance(names, Mapping) and all(map(_is_index, names)):
        named = {int(index): str(name) for index, name in names.items()}
        return [named.get(index, str(index)) for index in range(max(named, default=-1) + 1)]
    is_array = hasattr(names, "__array__") and np.ndim(names) == 1
    is_list = isinstance(names, Sequence | ValuesView) and not isinstance(names, str | bytes)
    if not is_array and not is_list:
        raise InvalidOption("class_names", names, LEGAL)
    return [str(name) for name in names]


def _is_index(index: Any) -> bool:
    return isinstance(index, Integral) and 0 <= int(index) < MOST
