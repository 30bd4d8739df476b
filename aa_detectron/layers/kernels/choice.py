"""Which kernels run: the compiled ones of the device, or PyTorch operators everywhere."""

import contextlib
import importlib.util
import logging
import os
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _get_current_dispatch_mode

from aa_detectron.errors import InvalidOption, check_choice, first_line

logger = logging.getLogger(__name__)

VARIABLE = "AA_DETECTRON_KERNELS"
"""Environment variable with the choice at the start."""
CHOICES = ("auto", "plain")


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ImportError:  # an import hook blocks the package
        return False


def _at_start() -> str:
    found = os.environ.get(VARIABLE, "auto")
    check_choice(VARIABLE, found, CHOICES)
    return found


HAS_KERNELS = {"cuda": _is_installed("triton")}
"""{type of a device: whether its compiled filter is installed and has not failed}."""
_choice = _at_start()


def set_kernels(choice: str) -> None:
    """Chooses the kernels of all filters in this process.

    The environment variable ``AA_DETECTRON_KERNELS`` has the choice at the start.

    Args:
        choice: "auto" for compiled kernels where there are some, or "plain" for PyTorch operators.

    Raises:
        InvalidOption: another choice.
    """
    global _choice
    check_choice("kernels", choice, CHOICES)
    _choice = choice


def get_kernels() -> str:
    """Returns the choice of :func:`set_kernels`."""
    return _choice


def is_plain() -> bool:
    """Tells whether PyTorch operators were chosen."""
    return _choice == "plain"


def has_filter_kernel(device_type: str) -> bool:
    """Tells whether the filter of a kind of device is compiled, and is to be used."""
    return not is_plain() and HAS_KERNELS.get(device_type, False)


@contextlib.contextmanager
def using_kernels(choice: str) -> Iterator[None]:
    """Inside the block, :func:`set_kernels` has the given choice."""
    before = get_kernels()
    set_kernels(choice)
    try:
        yield
    finally:
        set_kernels(before)


def with_fallback(device_type: str, kernel: Callable[[], Any], plain: Callable[[], Any]) -> Any:
    """Runs a compiled kernel, or PyTorch operators if it cannot be compiled or launched.

    The first failure is a warning; afterwards, PyTorch operators are used on this kind of device.
    Errors of the input and a lack of memory are raised.

    Args:
        device_type: type of the device.
        kernel: function that runs the kernel.
        plain: function that computes the same in PyTorch operators.
    """
    if not has_filter_kernel(device_type):
        return plain()
    try:
        return kernel()
    except (InvalidOption, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # Triton has many kinds
        HAS_KERNELS[device_type] = False
        logger.warning(
            "The compiled filter for %s cannot be used (%s: %s). PyTorch operators are used "
            "instead, which are slower. Please report this with the output of "
            "`python -m aa_detectron --check`. %s=plain silences this warning.",
            device_type,
            type(error).__name__,
            first_line(error),
            VARIABLE,
        )
        return plain()


def is_eager(*tensors: Tensor) -> bool:
    """Tells whether neither a compiler, a transform, a mode nor a kind of tensor sees operators."""
    return (
        all(type(t) in (Tensor, nn.Parameter) for t in tensors)
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
        and not is_transformed()
        and _get_current_dispatch_mode() is None
    )


def is_transformed() -> bool:
    """Tells whether a transform of ``torch.func`` is active, such as ``grad`` or ``vmap``."""
    # A compiler traces the transforms as well, and cannot trace this function of torch's.
    return not torch.compiler.is_compiling() and torch._C._are_functorch_transforms_active()
