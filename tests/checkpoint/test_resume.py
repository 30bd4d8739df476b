"""What a training goes on from."""

import copy
import logging
import math
import os
import threading

import pytest
import torch
import torchvision
from checkpoint.test_checkpointer import Detector, config
from torch import nn

from aa_detectron.checkpoint.checkpointer import check_has_weights
from aa_detectron.engine import AACheckpointer
from aa_detectron.errors import InputError


class Training:
    """State as that of Detectron2's trainers."""

    def __init__(self, kind, **options):
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
        self.optimizer = kind(self.model.parameters(), lr=0.1, **options)
        self.iteration, self.base_lrs = 6, [0.1]

    def step(self):
        self.model(torch.randn(5, 4)).square().sum().backward()
        self.optimizer.step()

    def state_dict(self):
        hooks = {"LRScheduler": {"base_lrs": self.base_lrs, "last_epoch": self.iteration}}
        inner = {"iteration": self.iteration, "optimizer": self.optimizer.state_dict()}
        return {"iteration": self.iteration, "hooks": hooks, "_trainer": inner}

    def load_state_dict(self, state):
        self.iteration = state["iteration"]
        self.optimizer.load_state_dict(state["_trainer"]["optimizer"])


SGD = {"kind": torch.optim.SGD, "momentum": 0.9}
ADAMW = {"kind": torch.optim.AdamW}


def resume(folder, training):
    checkpointer = AACheckpointer(training.model, str(folder), trainer=training)
    return checkpointer.resume_or_load("", resume=True)


@pytest.fixture(params=[SGD, ADAMW], ids=["SGD", "AdamW"])
def kept(request, tmp_path):
    training = Training(**request.param)
    training.step()
    AACheckpointer(training.model, str(tmp_path), trainer=training).save("model")
    return request.param, tmp_path


def test_resumed(kept):
    which, folder = kept
    training = Training(**which)
    training.iteration = 0
    resume(folder, training)
    assert training.iteration == 6 and training.optimizer.state_dict()["state"]


def of_optimizer(change):
    return lambda c: change(c["trainer"]["_trainer"]["optimizer"])


def of_state(value):
    def change(optimizer):
        entry = optimizer["state"][0]
        entry[max(entry, key=lambda key: getattr(entry[key], "ndim", 0))] = value

    return of_optimizer(change)


CHANGES = {
    "no statistics": (lambda c: c["model"].pop("1.running_var"), "1.running_var is missing"),
    "a weight too many": (lambda c: c["model"].update(x=torch.ones(1)), "x is not in the network"),
    "no trainer": (lambda c: c.pop("trainer"), "trainer"),
    "odd trainer": (lambda c: c.update(trainer=[1]), "trainer"),
    "no inner trainer": (lambda c: c["trainer"].pop("_trainer"), "_trainer is missing"),
    "no iteration": (lambda c: c["trainer"].pop("iteration"), "iteration is missing"),
    "text as iteration": (lambda c: c["trainer"].update(iteration="7"), "iteration is '7'"),
    "fraction as iteration": (lambda c: c["trainer"].update(iteration=1.5), "iteration is 1.5"),
    "negative inner iteration": (
        lambda c: c["trainer"]["_trainer"].update(iteration=-1),
        "iteration is -1",
    ),
    "no schedule": (lambda c: c["trainer"]["hooks"].clear(), "LRScheduler is missing"),
    "other groups": (
        lambda c: c["trainer"]["hooks"]["LRScheduler"].update(base_lrs=[0.1, 0.1]),
        "base_lrs",
    ),
    "NaN in the schedule": (
        lambda c: c["trainer"]["hooks"]["LRScheduler"].update(base_lrs=[math.nan]),
        "base_lrs is nan",
    ),
    "no optimizer": (lambda c: c["trainer"]["_trainer"].pop("optimizer"), "optimizer is missing"),
    "no state": (of_optimizer(lambda o: o["state"].clear()), "optimizer has no"),
    "no groups": (of_optimizer(lambda o: o.update(param_groups=[])), "not an optimizer's"),
    "odd groups": (of_optimizer(lambda o: o.update(param_groups=[3])), "optimizer is not an"),
    "lr": (of_optimizer(lambda o: o["param_groups"][0].update(lr=math.inf)), "lr is inf"),
    "fewer parameters": (
        of_optimizer(lambda o: o["param_groups"][0]["params"].pop()),
        "other parameters",
    ),
    "unknown parameter": (of_optimizer(lambda o: o["state"].update({99: {}})), "other parameters"),
    "another shape": (of_state(torch.zeros(7)), "another shape"),
    "NaN in the state": (of_state(torch.full((3, 4), math.nan)), "not finite"),
}


@pytest.mark.parametrize("which", CHANGES)
def test_changed(which, kept):
    options, folder = kept
    change, reason = CHANGES[which]
    content = torch.load(folder / "model.pth", weights_only=True)
    change(content)
    torch.save(content, folder / "model.pth")
    training = Training(**options)
    before = copy.deepcopy(training.model.state_dict())
    with pytest.raises(InputError, match=f"model.pth: .*{reason}"):
        resume(folder, training)
    for name, value in training.model.state_dict().items():
        assert torch.equal(value, before[name])


def test_another_optimizer(kept):
    options, folder = kept
    with pytest.raises(InputError, match="belongs to another optimizer"):
        resume(folder, Training(**(SGD if options is ADAMW else ADAMW)))


@pytest.mark.parametrize(
    "tag", [b"", b"\xff\xfe", b"..", b"../model.pth", b"a\0b", b"model\n.pth", b"/etc/passwd"]
)
def test_odd_tag(tag, kept):
    options, folder = kept
    (folder / "last_checkpoint").write_bytes(tag)
    with pytest.raises(InputError, match="last_checkpoint: "):
        resume(folder, Training(**options))


def test_tag_is_a_folder(tmp_path):
    """Not a reason to begin anew without a word."""
    (tmp_path / "last_checkpoint").mkdir()
    with pytest.raises(InputError, match="last_checkpoint: cannot be read"):
        resume(tmp_path, Training(**SGD))


def test_evaluation_needs_weights(tmp_path):
    checkpointer = AACheckpointer(nn.Linear(1, 1), str(tmp_path))
    check_has_weights(checkpointer, "model.pth")
    for resume_ in (False, True):
        with pytest.raises(InputError, match="MODEL.WEIGHTS: is empty"):
            check_has_weights(checkpointer, "", resume=resume_)
    checkpointer.save("model")
    check_has_weights(checkpointer, "", resume=True)


def test_counters_are_not_listed(tmp_path, caplog):
    """torchvision's ordinary weights in frozen norms, and in filters without counters."""
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "resnet18.pth")
    checkpointer = AACheckpointer(Detector(config("adaptive", depth=18)))
    checkpointer.logger = logging.getLogger("test")
    with caplog.at_level(logging.INFO, "test"):
        checkpointer.load(str(tmp_path / "resnet18.pth"))
    text = "\n".join(record.getMessage() for record in caplog.records)
    assert "num_batches_tracked" not in text and "aa_shortcut.predictor" in text


def test_two_save_at_once(tmp_path, monkeypatch):
    """Each into a file of its own."""
    original, both = torch.save, threading.Barrier(2)

    def slow(content, file):
        both.wait(60)
        original(content, file)
        both.wait(60)

    monkeypatch.setattr(torch, "save", slow)
    models = [nn.Linear(300, 300) for _ in range(2)]
    threads = [
        threading.Thread(target=AACheckpointer(model, str(tmp_path)).save, args=("model",))
        for model in models
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = torch.load(tmp_path / "model.pth", weights_only=True)["model"]["weight"]
    assert any(torch.equal(found, model.weight) for model in models)
    assert sorted(os.listdir(tmp_path)) == ["last_checkpoint", "model.pth"]
