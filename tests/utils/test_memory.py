"""Evaluations return the free memory that a model leaves between objects that stay."""

import ctypes
import platform
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.data import transforms as T
from PIL import Image

from aa_detectron.consistency import evaluate_consistency
from aa_detectron.data.pairs import ShiftedPairMapper
from aa_detectron.data.windows import ShiftedWindowMapper
from aa_detectron.evaluation.consistency import ConsistencyOptions, measure_consistency
from aa_detectron.utils import memory

STATUS = Path("/proc/self/status")


def resident() -> float:
    """Resident set of this process in MB."""
    return int(re.findall(r"VmRSS:\s+(\d+)", STATUS.read_text())[0]) * 1024 / 1e6


class Growing(torch.nn.Module):
    """A model like oneDNN: each call needs larger memory than before, and keeps a bit between."""

    def __init__(self):
        super().__init__()
        self.kept, self.calls, self.freed = [], 0, 0

    def forward(self, crops):
        self.calls += 1
        size = 40_000 + 500 * self.calls  # below glibc's threshold of mmap, 128 KiB
        blocks = [bytearray(size) for _ in range(20)]
        for block in blocks:
            del block[1000:]
        self.kept += blocks
        self.freed += 20 * (size - 1000) / 1e6
        return [{"logits": torch.zeros(3)} for _ in crops]


def predict(model):
    return lambda crops: [output["logits"].numpy() for output in model(crops)]


def with_any_function(model, folder):
    image = np.zeros((16, 16, 3), np.uint8)
    evaluate_consistency(predict(model), [image] * 50, progress=False)


def with_detectron2(model, folder):
    Image.new("RGB", (16, 16)).save(folder / "0.png")
    augmentations = {"augmentations": [T.NoOpTransform()], "image_format": "RGB"}
    measure_consistency(
        model,
        str(folder),
        ConsistencyOptions(pairs_per_image=100),
        pair_mapper=ShiftedPairMapper(max_shift=4, seed=0, **augmentations),
        window_mapper=ShiftedWindowMapper(**augmentations),
    )


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other memory allocator")
@pytest.mark.parametrize("evaluate", [with_any_function, with_detectron2])
def test_free_memory_does_not_pile_up(evaluate, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "GROWTH", 10**7)
    evaluate(Growing(), tmp_path)  # imports and first uses
    model = Growing()
    ctypes.CDLL(None).malloc_trim(0)
    before = resident()
    evaluate(model, tmp_path)
    assert model.calls == 100 and model.freed > 120
    assert resident() - before < model.freed / 4


def test_memory_returns_after_growth_since_the_first_item(monkeypatch):
    """What one item needs does not count."""
    returned, seen = [], []
    sizes = iter(np.array([9, 10, 10.1, 11, 9, 9.9, 10, 30, 30.5, 31.1, 2]) * memory.GROWTH)
    monkeypatch.setattr(memory, "resident_memory", lambda: next(sizes))
    monkeypatch.setattr(memory, "return_free_memory", lambda: returned.append(seen[-1]))
    loader = memory.MemoryReturningLoader(range(11))
    for item in loader:
        seen.append(item)
    assert len(loader) == 11 and seen == list(range(11))
    assert returned == [2, 7]


@pytest.mark.skipif(platform.system() != "Linux", reason="no /proc")
def test_resident_memory_is_that_of_the_kernel():
    assert memory.resident_memory() / 1e6 == pytest.approx(resident(), rel=0.02)


@pytest.mark.parametrize("error", [AttributeError, OSError, TypeError])
def test_other_c_libraries(monkeypatch, error):
    """macOS and musl have no malloc_trim; on Windows, the library has no name."""

    def fail(name):
        raise error

    monkeypatch.setattr(memory.ctypes, "CDLL", fail)
    memory.return_free_memory()
