"""Rows of a map with padding, for compiled loops.

A padded row is stored as its polyphase components: ``phases[z % stride, z // stride]`` has position
z. Loops over the columns of the output then run through contiguous memory. A filter of side k pads
(k - 1) // 2 positions in front and k // 2 behind.
"""

from .compiled import Array, compiled

MODES = {"constant": 0, "replicate": 1, "reflect": 2}
"""Numbers of the modes of ``F.pad``."""


@compiled
def tap(phases: Array, j: int) -> Array:
    """Returns the values of a row that column j of the filters reads, by column of the output."""
    return phases[j % len(phases), j // len(phases) :]


@compiled
def origin(position: int, size: int, mode: int) -> int:
    """Returns the position in the map that a padded position copies; -1 for a zero."""
    if 0 <= position < size:
        return position
    if mode == 0:
        return -1
    if mode == 1:
        return min(max(position, 0), size - 1)
    return -position if position < 0 else 2 * (size - 1) - position


@compiled
def place_of_copy(position: int, copy: int, size: int, k: int) -> int:
    """Returns a place that may hold a copy of a position: itself (0), or one of the padding.

    Args:
        position: position in the map.
        copy: number of the place, 0 to k - 1.
        size: number of positions in the map.
        k: side of the filters.
    """
    before = (k - 1) // 2
    if copy == 0:
        return position
    return copy - 1 - before + (size if copy > before else 0)


@compiled
def split(row: Array, phases: Array, k: int, mode: int) -> None:
    """Pads a row for filters of side k, and splits it into its phases."""
    size, stride, before = len(row), len(phases), (k - 1) // 2
    if stride == 2:  # pairs and a constant stride are faster
        first = phases[before % 2, before // 2 :]
        second = phases[1 - before % 2, (before + 1) // 2 :]
        for n in range(size // 2):
            first[n] = row[2 * n]
            second[n] = row[2 * n + 1]
        if size % 2:
            first[size // 2] = row[size - 1]
        _pad(row, phases, k, mode, 2)
    else:
        for z in range(size):
            phases[(z + before) % stride, (z + before) // stride] = row[z]
        _pad(row, phases, k, mode, stride)


@compiled
def _pad(row: Array, phases: Array, k: int, mode: int, stride: int) -> None:
    before = (k - 1) // 2
    for n in range(k - 1):
        z = n if n < before else len(row) + n
        source = origin(z - before, len(row), mode)
        phases[z % stride, z // stride] = row[source] if source >= 0 else 0


@compiled
def merge(phases: Array, row: Array, k: int, mode: int) -> None:
    """The adjoint of :func:`split`."""
    stride, before = len(phases), (k - 1) // 2
    if stride == 2:
        first = phases[before % 2, before // 2 :]
        second = phases[1 - before % 2, (before + 1) // 2 :]
        for n in range(len(row) // 2):
            row[2 * n] = first[n]
            row[2 * n + 1] = second[n]
        if len(row) % 2:
            row[len(row) - 1] = first[len(row) // 2]
    else:
        for z in range(len(row)):
            row[z] = phases[(z + before) % stride, (z + before) // stride]
    _add_padding(phases, row, k, mode, stride)


@compiled
def _add_padding(phases: Array, row: Array, k: int, mode: int, stride: int) -> None:
    before = (k - 1) // 2
    for n in range(k - 1):
        z = n if n < before else len(row) + n
        source = origin(z - before, len(row), mode)
        if source >= 0:
            row[source] += phases[z % stride, z // stride]
