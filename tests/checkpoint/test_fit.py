"""The rule of what may be new, left over or of another shape."""

import subprocess
import sys

import pytest
import torch
from helpers import ROOT

from aa_detectron.checkpoint.fit import EXACT, rule_of_parts, rule_of_plain, rule_of_start


def named(*names, shape=(2,), dtype=torch.float32):
    return {name: torch.zeros(shape, dtype=dtype) for name in names}


def differences(rule, found, expected):
    def kind(misfit):
        if misfit.found is None:
            return "missing"
        return "left over" if misfit.expected is None else "differs"

    return [(misfit.name, kind(misfit)) for misfit in rule.misfits(found, expected)]


def test_exact():
    expected = named("a.weight", "b.weight", "c.weight", "n.num_batches_tracked", "pixel_mean")
    found = named("b.weight", "d.weight", "m.num_batches_tracked", "pixel_std") | named(
        "a.weight", shape=(3,)
    )
    assert differences(EXACT, found, expected) == [
        ("a.weight", "differs"),
        ("c.weight", "missing"),
        ("d.weight", "left over"),
    ]
    assert EXACT.misfits(expected, expected) == []


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.complex64, torch.bool])
def test_kind_of_type(dtype):
    """Also where a weight may be new."""
    for rule in (EXACT, rule_of_start((), ["a"])):
        (misfit,) = rule.misfits(named("a", dtype=dtype), named("a"))
        assert misfit.in_words() == f"a is {dtype} in the file and torch.float32 in the network"
    assert EXACT.misfits(named("a", dtype=torch.float16), named("a")) == []
    counted = "norm.num_batches_tracked"  # averaged in checkpoints of averaged weights
    assert EXACT.misfits(named(counted, shape=(1,)), named(counted, dtype=torch.int64)) == []


def test_parts_of_a_backbone():
    expected = named("stem.conv1.weight", "stem.aa.x", "res2.0.conv1.weight", "res5.0.conv1.weight")
    found = named("stem.conv1.weight", "res2.0.aa_shortcut.x", "res2.0.conv9.weight")
    assert differences(rule_of_parts(found), found, expected) == [
        ("res2.0.conv1.weight", "missing"),
        ("res2.0.conv9.weight", "left over"),
    ]
    expected, found = named("stem.aa.x", shape=(3,)), named("stem.aa.x")
    assert differences(rule_of_parts(found), found, expected) == [("stem.aa.x", "differs")]


def test_filters_of_antialias():
    """Ordinary weights fit a ResNet with blocks of another class, which have a filter so named."""
    name = "backbone.res3.0.shortcut.aa_input.predictor.weight"
    expected = named("backbone.res3.0.shortcut.weight", name)
    found = named("backbone.res3.0.shortcut.weight")
    rule = rule_of_start(("backbone.",), expected)
    assert differences(rule, found, expected) == []
    assert differences(rule_of_plain(found, expected), found, expected) == []
    assert differences(rule_of_parts(["res3.0.x"]), {}, named("res3.0.shortcut.aa_input.x")) == []


def test_plain():
    expected = named("stem.conv1.weight", "stem.aa.x", "res3.0.aa.x")
    found = named("stem.conv1.weight")
    assert differences(rule_of_plain(found, expected), found, expected) == []
    found |= named("stem.aa.x")
    assert differences(rule_of_plain(found, expected), found, expected) == [
        ("res3.0.aa.x", "missing")
    ]


def test_start():
    prefix = "backbone.bottom_up."
    resnet = [f"{prefix}{n}" for n in ("stem.conv1.w", "stem.aa.w", "res2.0.conv1.w", "linear.w")]
    expected = named(*resnet, "head.weight", "head.res2.project.weight")
    rule = rule_of_start((prefix,), expected)
    assert differences(rule, {}, expected) == [
        (resnet[0], "missing"),
        (resnet[2], "missing"),
    ]
    reshaped = {name: torch.zeros(5) for name in expected}
    assert differences(rule, reshaped, expected) == [
        (resnet[0], "differs"),
        (resnet[2], "differs"),
    ]
    surplus = named(
        "res5.0.conv1.w", "res2.0.conv7.w", "res2.7.conv1.w", "fc.w", "x.res2.project.w"
    )
    left = differences(rule, {**expected, **surplus}, expected)
    assert left == [("res2.7.conv1.w", "left over")]


WITHOUT_DETECTRON2 = """
import sys, types
package = types.ModuleType("aa_detectron")  # whose own import is not the question here
package.__path__ = [{folder!r}]
sys.modules["aa_detectron"] = package
for name in ("detectron2", "fvcore", "iopath"):
    sys.modules[name] = None
import aa_detectron.checkpoint, aa_detectron.checkpoint.fit, aa_detectron.checkpoint.architecture
import torch
torch.save({{"a": torch.ones(2)}}, {file!r})
assert aa_detectron.checkpoint.read_checkpoint({file!r})["model"]["a"].sum() == 2
"""


def test_imports_without_detectron2(tmp_path):
    code = WITHOUT_DETECTRON2.format(
        folder=str(ROOT / "aa_detectron"), file=str(tmp_path / "a.pth")
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
