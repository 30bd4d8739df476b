import random

import numpy as np
import pytest
import torch

from aa_detectron.utils.hashing import hash_key
from aa_detectron.utils.keyed_random import keyed_random, own_random, seed_generators


def draw():
    return random.random(), np.random.rand(), torch.rand(()).item()


def test_draws_follow_from_the_key_alone():
    with keyed_random(1, "a", 2):
        first = draw()
    draw()
    with keyed_random(1, "a", 2):
        assert draw() == first
    seed_generators(1, "a", 2)
    assert draw() == first
    for key in [(2, "a", 2), (1, "b", 2), (1, "a", 3)]:
        with keyed_random(*key):
            assert all(new != old for new, old in zip(draw(), first, strict=True))


def test_the_generators_differ():
    seed_generators(1)
    assert len({random.random(), np.random.rand(), torch.rand((), dtype=float).item()}) == 3


def test_the_block_leaves_no_trace():
    seed_generators(0)
    expected = draw()
    seed_generators(0)
    with keyed_random(5):
        draw()
    assert draw() == expected
    seed_generators(0)
    with pytest.raises(KeyError), keyed_random(5):
        draw()
        raise KeyError
    assert draw() == expected


def test_golden():
    """Trainings of a published seed must stay the same."""
    assert hash_key(1, "sample", 7) == GOLDEN
    assert hash_key("1/sample", 7) == GOLDEN  # the parts' text counts


GOLDEN = 8972393773670592766586089291913064450


def test_own_random_follows_from_the_generator_and_leaves_it():
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        with own_random():
            inside = torch.rand(5)
        after = torch.rand(5)
        torch.manual_seed(seed)
        assert torch.equal(after, torch.rand(5))
        assert not torch.equal(inside, after)
        drawn.append(inside)
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[1], drawn[2])
