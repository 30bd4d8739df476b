"""Choice of the kernels, fallback, and the check of all kernels."""

import importlib
import logging
import subprocess
import sys

import pytest
import torch

import aa_detectron.__main__ as main_module
from aa_detectron.errors import InvalidOption
from aa_detectron.layers import AdaptiveBlurPool2d
from aa_detectron.layers.kernels import check, choice, get_kernels, set_kernels, using_kernels

cpu_filter = importlib.import_module("aa_detectron.layers.kernels.cpu.filter")
cpu_blur = importlib.import_module("aa_detectron.layers.kernels.cpu.blur")
KERNELS = {
    (cpu_filter, "forward"): "filter, forward",
    (cpu_filter, "grad_x"): "filter, gradient of the map",
    (cpu_filter, "grad_weights"): "filter, gradient of the weights",
    (cpu_blur, "forward"): "blur, forward",
    (cpu_blur, "adjoint"): "blur, gradient of the map",
}
"""{(module, function): name of its row in the check}."""


def fail(*args):
    raise RuntimeError("cannot be launched\nwith details")


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    for device in ("cpu", "cuda"):
        monkeypatch.setitem(choice.HAS_KERNELS, device, choice.HAS_KERNELS[device])


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
    cases = list(check._cases("filter"))
    sample = cases[:: check.SAMPLE["cuda"]]
    for every, some in zip(zip(*cases, strict=True), zip(*sample, strict=True), strict=True):
        assert set(every) == set(some)


def test_plain_calls_no_kernel(monkeypatch):
    layer, x = arguments()
    expected = step(layer, x)
    for module, name in KERNELS:
        monkeypatch.setattr(module, name, fail)
    with using_kernels("plain"):
        found = step(layer, x)
    torch.testing.assert_close(found, expected)
    assert get_kernels() == "auto" and choice.HAS_KERNELS["cpu"]


@pytest.mark.parametrize("name", ["forward", "grad_x", "grad_weights"])
def test_falls_back_with_one_warning(name, monkeypatch, caplog):
    layer, x = arguments()
    expected = step(layer, x)
    monkeypatch.setattr(cpu_filter, name, fail)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            torch.testing.assert_close(step(layer, x), expected)
    (record,) = caplog.records
    message = record.getMessage()
    assert "RuntimeError: cannot be launched" in message and "details" not in message
    assert "python -m aa_detectron --check" in message


def test_falls_back_in_the_memory_format_that_compilers_expect(monkeypatch):
    monkeypatch.setattr(cpu_filter, "forward", fail)
    layer, x = arguments()
    assert layer(x.to(memory_format=torch.channels_last)).is_contiguous(
        memory_format=torch.channels_last
    )


@pytest.mark.parametrize("error", [MemoryError, torch.OutOfMemoryError])
def test_a_lack_of_memory_is_an_error(error, monkeypatch):
    def forward(*args):
        raise error("no memory")

    monkeypatch.setattr(cpu_filter, "forward", forward)
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
    monkeypatch.setattr(check, "BLUR_SIDES", (3,))
    monkeypatch.setattr(check, "STRIDES", (2,))
    monkeypatch.setattr(check, "DTYPES", dict.fromkeys(check.DTYPES, (torch.float32,)))


def test_check_passes(few_cases, capsys):
    assert main_module.check()
    table = capsys.readouterr().out
    assert table.count(" ok") == 3 + 2  # the passes of filter and blur
    assert "filter, gradient of the weights" in table


@pytest.mark.parametrize("module, name", KERNELS)
def test_check_catches_an_error_in_each_kernel(module, name, few_cases, monkeypatch):
    kernel = getattr(module, name)

    def wrong(*args):
        result = kernel(*args).clone()
        result[(-1,) * result.dim()] += 0.01 * result.abs().max()
        return result

    monkeypatch.setattr(module, name, wrong)
    failed = {row.kernel for row in check.check_kernels() if row.failure}
    assert failed == {KERNELS[module, name]}


def test_check_catches_a_kernel_that_cannot_be_launched(few_cases, monkeypatch, capsys):
    monkeypatch.setattr(cpu_filter, "forward", fail)
    monkeypatch.setattr(sys, "argv", ["aa_detectron", "--check"])
    with pytest.raises(SystemExit) as exit_:
        main_module.main()
    assert exit_.value.code == 1 and "RuntimeError: cannot be launched" in capsys.readouterr().out


def test_check_on_a_gpu():
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    assert not [row for row in check.check_kernels() if row.failure]
