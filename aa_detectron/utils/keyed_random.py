"""Random numbers that depend on a key, not on earlier random numbers."""

import contextlib
import random
from collections.abc import Callable, Iterator

import numpy as np
import torch

from .hashing import hash_key


def seed_generators(*key: object) -> None:
    """Seeds the global generators of Python, NumPy and PyTorch, on all devices."""
    _seed(hash_key(*key), torch.manual_seed)


@contextlib.contextmanager
def keyed_random(*key: object) -> Iterator[None]:
    """Inside the block, the global generators of the CPU are seeded by the key.

    After the block, the generators have the states from before the block.
    """
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    # Unlike torch.manual_seed, this does not seed other devices.
    _seed(hash_key(*key), torch.default_generator.manual_seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


@contextlib.contextmanager
def own_random() -> Iterator[None]:
    """Inside the block, PyTorch's CPU generator is seeded from its state before the block.

    After the block, the generator has the state from before the block. Random numbers inside the
    block differ from the random numbers after it.
    """
    state = torch.get_rng_state()
    try:
        torch.default_generator.manual_seed(int(torch.randint(2**63 - 1, (), device="cpu")))
        yield
    finally:
        torch.set_rng_state(state)


def _seed(number: int, seed_torch: Callable[[int], object]) -> None:
    # With the same seed, Python and NumPy would draw the same numbers.
    random.seed(number >> 64)
    np.random.seed([number >> 32 & 0xFFFFFFFF, number & 0xFFFFFFFF])
    seed_torch(number % 2**63)
