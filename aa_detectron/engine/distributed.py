"""Training in several processes: options and errors of ``DistributedDataParallel``."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence

import torch.distributed
from detectron2.config import CfgNode
from detectron2.engine import defaults
from detectron2.utils import comm
from torch import nn

from aa_detectron.errors import InputError


@contextlib.contextmanager
def ddp_options(cfg: CfgNode) -> Iterator[None]:
    """Inside the block, a ``DefaultTrainer`` wraps its model with the options that it needs.

    Detectron2 passes no options to DDP. It also passes the GPU of the process for a model on the
    CPU, which DDP rejects.
    """
    create = defaults.create_ddp_model
    unused = cfg.SOLVER.FIND_UNUSED_PARAMETERS
    defaults.create_ddp_model = functools.partial(
        wrap_for_processes, create=create, find_unused_parameters=unused
    )
    try:
        yield
    finally:
        defaults.create_ddp_model = create


def wrap_for_processes(
    model: nn.Module,
    *,
    find_unused_parameters: bool = False,
    create: Callable = defaults.create_ddp_model,
    **kwargs: object,
) -> nn.Module:
    """Wraps a model for a training in several processes; a single process needs no wrapper.

    Args:
        model: model of this process.
        find_unused_parameters: whether DDP looks for parameters that no loss reaches. It always
            does if the backbone has outputs that no head reads.
        create: Detectron2's ``create_ddp_model``.
        kwargs: further arguments of that function.
    """
    if all(parameter.device.type == "cpu" for parameter in model.parameters()):
        kwargs["device_ids"] = None
    kwargs["find_unused_parameters"] = find_unused_parameters or bool(unread(model))
    return create(model, **kwargs)


def unread(model: nn.Module) -> list[str]:
    """Names of the backbone's outputs that no head of a Detectron2 model reads.

    No loss reaches the parameters that only such an output uses, for example in an FPN level.
    """
    backbone = getattr(model, "backbone", None)
    if backbone is None or not hasattr(backbone, "output_shape"):
        return []
    read: set[str] = set()
    for module in model.modules():
        for key, value in vars(module).items():
            is_list = isinstance(value, Sequence) and not isinstance(value, str)
            if key.endswith("in_features") and is_list:
                read.update(value)
    outputs = backbone.output_shape() if read else ()  # other packages' heads may use another name
    return [name for name in outputs if name not in read]


@contextlib.contextmanager
def unused_parameters_named(
    model: nn.Module, key: str = "SOLVER.FIND_UNUSED_PARAMETERS"
) -> Iterator[None]:
    """Turns DDP's error about parameters that no loss reaches into one line with their names.

    Args:
        model: model in DDP's wrapper.
        key: key of the config that must be set.

    Raises:
        InputError: parameters that no loss reaches; the message names them and the key to set.
    """
    try:
        yield
    except RuntimeError as error:
        if "Expected to have finished reduction" not in str(error):
            raise
        names = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
        names = [name.removeprefix("module.") for name in names]
        found = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        raise InputError(
            f"{key} is False, but must be True for this model on several "
            f"processes: no loss reaches {found or 'some of its parameters in every iteration'}"
        ) from error


def share_buffers(model: nn.Module) -> None:
    """Gives every process the buffers of the first process, which writes the checkpoints.

    The running statistics of BN differ between processes after training. Without this function,
    each process would test a different network.
    """
    if comm.get_world_size() > 1:
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, src=0)
