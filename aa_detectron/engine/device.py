"""The device of a config, on a machine that may have no GPU."""

import functools
import logging

import torch

logger = logging.getLogger(__name__)


def usable_device(key: str, device: str) -> str:
    """Returns the device of a config, or "cpu" with a warning for a GPU that does not exist.

    Args:
        key: config key of the device, for the message.
        device: device, such as "cuda".
    """
    if not device.startswith("cuda") or torch.cuda.is_available():
        return device
    _warn_of_no_gpu(key, device)
    return "cpu"


@functools.cache
def _warn_of_no_gpu(key: str, device: str) -> None:
    """Warns once per process, since a process may load many configs."""
    logger.warning("%s is %r, but there is no GPU: using the CPU", key, device)
