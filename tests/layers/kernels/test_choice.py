"""Choice of the kernels, fallback, and the check of all kernels."""

import logging
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

import aa_detectron.__main__ as main_module
from aa_detectron.errors import InvalidOption
from aa_detectron.layers import AdaptiveBlurPool2d
from aa_detectron.layers.kernels import (
    check,
    choice,
    get_kernels,
    in_place,
    op,
    set_kernels,
    using_kernels,
)

KERNELS = {
    "forward": "filter, forward",
    "grad_x": "filter, gradient of the map",
    "grad_weights": "filter, gradient of the weights",
}
"""{function: name of its row in the check}."""


def fail(*args):
    raise RuntimeError("cannot be launched\nwith details")


@pytest.fixture
def compiled(monkeypatch):
    """A module that takes the place of a GPU's kernels, on the CPU."""
    kernels = SimpleNamespace(**{name: getattr(in_place, name) for name in KERNELS})
    monkeypatch.setattr(op, "compiled_filter", lambda: kernels)
    monkeypatch.setitem(choice.HAS_KERNELS, "cpu", True)
    return kernels


def step(layer, x):
    """Output and all gradients."""
    out = layer(x)
    inputs = (x, *layer.parameters())
    return out.detach(), *torch.autograd.grad(out.square().sum(), inputs)


def arguments():
    torch.manual_seed(0)
    x = torch.randn(2, 8, 9, 12, requires_grad=True)
    return AdaptiveBlurPool2d(8, groups=2, init="kaiming"), x


def test_cases_on_a_gpu_have_every_value_of_every_option():
    cases = list(check._cases())
    sample = cases[:: check.SAMPLE["cuda"]]
    for every, some in zip(zip(*cases, strict=True), zip(*sample, strict=True), strict=True):
        assert set(every) == set(some)


def test_plain_calls_no_kernel(compiled):
    layer, x = arguments()
    expected = step(layer, x)
    for name in KERNELS:
        setattr(compiled, name, fail)
    with using_kernels("plain"):
        found = step(layer, x)
    torch.testing.assert_close(found, expected)
    assert get_kernels() == "auto" and choice.HAS_KERNELS["cpu"]


@pytest.mark.parametrize("name", KERNELS)
def test_falls_back_with_one_warning(name, compiled, caplog):
    layer, x = arguments()
    expected = step(layer, x)
    setattr(compiled, name, fail)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            torch.testing.assert_close(step(layer, x), expected)
    (record,) = caplog.records
    message = record.getMessage()
    assert "RuntimeError: cannot be launched" in message and "details" not in message
    assert "python -m aa_detectron --check" in message


def test_falls_back_in_the_memory_format_that_compilers_expect(compiled):
    compiled.forward = fail
    layer, x = arguments()
    assert layer(x.to(memory_format=torch.channels_last)).is_contiguous(
        memory_format=torch.channels_last
    )


@pytest.mark.parametrize("error", [MemoryError, torch.OutOfMemoryError])
def test_a_lack_of_memory_is_an_error(error, compiled):
    def forward(*args):
        raise error("no memory")

    compiled.forward = forward
    layer, x = arguments()
    with pytest.raises(error):
        layer(x)
    assert choice.HAS_KERNELS["cpu"]


def test_illegal_choice():
    with pytest.raises(InvalidOption, match="kernels is 'fast', but must be one of 'auto', 'pl"):
        set_kernels("fast")


@pytest.mark.parametrize("value, said", [("plain", "plain"), ("fast", "AA_DETECTRON_KERNELS is")])
def test_environment_variable(value, said, monkeypatch):
    monkeypatch.setenv(choice.VARIABLE, value)
    code = "from aa_detectron.layers.kernels import get_kernels; print(get_kernels())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert said in done.stdout + done.stderr.splitlines()[-1] if done.stderr else done.stdout


@pytest.fixture
def few_cases(monkeypatch):
    monkeypatch.setattr(check, "SIZES", ((9, 14),))
    monkeypatch.setattr(check, "SIDES", (3,))
    monkeypatch.setattr(check, "STRIDES", (2,))
    monkeypatch.setattr(check, "TOLERANCES", {torch.float32: 2e-5, torch.float16: 0.002})


def test_check_passes(few_cases, capsys):
    assert main_module.check()
    table = capsys.readouterr().out
    passes = 3 * 2  # forward and gradients in two dtypes; more with a GPU
    assert table.count(" ok") >= passes
    assert "filter, gradient of the weights" in table


@pytest.mark.parametrize("name", KERNELS)
def test_check_catches_an_error_in_each_kernel(name, few_cases, monkeypatch):
    kernel = getattr(in_place, name)

    def wrong(*args):
        result = kernel(*args).clone()
        result[(-1,) * result.dim()] += 0.01 * result.abs().max()
        return result

    monkeypatch.setattr(in_place, name, wrong)
    failed = {row.kernel for row in check.check_kernels() if row.failure and row.device == "cpu"}
    assert failed == {KERNELS[name]}


def test_check_catches_a_kernel_that_cannot_be_launched(few_cases, monkeypatch, capsys):
    monkeypatch.setattr(in_place, "forward", fail)
    monkeypatch.setattr(sys, "argv", ["aa_detectron", "--check"])
    with pytest.raises(SystemExit) as exit_:
        main_module.main()
    assert exit_.value.code == 1 and "RuntimeError: cannot be launched" in capsys.readouterr().out


def test_check_on_a_gpu():
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    assert not [row for row in check.check_kernels() if row.failure]
