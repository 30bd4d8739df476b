"""Nothing but the filters changes in a model, although its code runs during antialias."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from aa_detectron import antialias
from aa_detectron.errors import InputError
from aa_detectron.modeling.surgery.untouched import untouched

IMAGE = torch.rand(1, 8, 21, 24, generator=torch.Generator().manual_seed(0))


class Stateful(nn.Module):
    """Changes its own state in every forward, in each way that PyTorch allows."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.ones(8))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.register_buffer("bank", torch.full((3,), torch.nan))
        self.hidden, self.seen = None, []

    def forward(self, x):
        self.mean.mul_(0.9).add_(0.1 * x.mean((0, 2, 3)))
        self.count.data += 1
        self.bank = torch.ones(3)
        self.hidden = x if self.hidden is None else self.hidden + x
        self.seen.append(x)
        self.extra = nn.Linear(2, 2)
        return x - self.mean[:, None, None] + random.random() + np.random.rand() + torch.rand(1)

    def train(self, mode=True):
        raise AssertionError  # as if it changed weights, like LoRA's


def state(stateful):
    buffers = [buffer.nan_to_num(-1).tolist() for buffer in stateful.buffers()]
    return buffers, stateful.hidden, list(stateful.seen), list(stateful.children())


def drawn():
    return random.random(), np.random.rand(), torch.rand(1).item()


@pytest.mark.parametrize("layers, error", [(1, False), (2, False), (0, True), (0, False)])
def test_state_of_the_model(layers, error):
    """With tracing alone, with a forward pass for the pool as well, and before an error."""
    stateful = Stateful()
    buffers, before = list(stateful.buffers()), state(stateful)
    strided = [nn.Conv2d(8, 8, 3, 2, 1), nn.MaxPool2d(2)][:layers]
    network = nn.Sequential(stateful, *strided)
    torch.manual_seed(0), random.seed(0), np.random.seed(0)
    expected = drawn()
    torch.manual_seed(0), random.seed(0), np.random.seed(0)
    if layers:
        assert len(antialias(network, "blur", example=IMAGE).filtered) == layers
    else:
        example = IMAGE[:, :5] if error else IMAGE
        with pytest.raises(InputError, match="failed" if error else "single pixel"):
            antialias(nn.Sequential(stateful, nn.AvgPool2d(21, 21)), "blur", example=example)
    assert drawn() == expected
    assert state(stateful) == before
    assert all(a is b for a, b in zip(stateful.buffers(), buffers, strict=True))


def test_mode_of_each_module():
    network = nn.Sequential(nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, 2, 1), nn.MaxPool2d(2))
    network[0].eval()
    for training in (True, False):
        with untouched(network, training):
            assert all(module.training == training for module in network.modules())
        assert [module.training for module in network.modules()] == [True, False, True, True]


def test_buffers_of_every_kind():
    """Buffers that cannot be copied, compared or written are no reason for an error."""
    network = nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1), nn.LazyBatchNorm2d())
    with torch.inference_mode():
        network.register_buffer("inference", torch.zeros(3))
    network.register_buffer("expanded", torch.zeros(1).expand(3))
    network.register_buffer("sparse", torch.zeros(3).to_sparse())
    network.register_buffer("meta", torch.zeros(3, device="meta"))
    with untouched(network, False), torch.inference_mode():
        network.inference += 1
    assert network.inference.tolist() == [0, 0, 0]
