"""The conv and norm that predict the adaptive filters."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .norm import get_norm
from .padded_conv import padded_conv2d
from .precision import is_autocast

# torch.fx records a call of it, since it cannot trace it.
torch.fx.wrap("padded_conv2d")


class FilterPredictor(nn.Conv2d):
    """``norm(conv_kxk(pad(x))) + offset``, at the kept positions only.

    The offset, and a norm that does not depend on the map (FrozenBN; BN and SyncBN in eval mode),
    are folded into the conv, except under autocast, in TorchScript and in torch.fx. Every call
    folds them anew: this takes less time than one pass over the logits, and no copy of the weights
    can become outdated.

    Args:
        channels: number of channels of the input, C.
        filters: number of filters per location, g.
        kernel_size: side of the filters, k.
        stride: stride, s >= 1.
        norm: "BN", "SyncBN", "FrozenBN", "GN" (as many groups as filters) or "" for no norm.
        padding_mode: "reflect", "replicate" or "zeros", see
            :func:`~aa_detectron.layers.padding.pad_same`.
        groups: number of groups of the conv, a divisor of C and g: each group of channels predicts
            its own g / groups filters.
        conv_size: side of the conv's kernel, odd; None for k.

    Shape:
        (N, C, H, W), offset (1, g * k * k, 1, 1) -> (N, g * k * k, ceil(H / s), ceil(W / s))
    """

    def __init__(
        self,
        channels: int,
        filters: int,
        kernel_size: int,
        stride: int,
        norm: str,
        padding_mode: str,
        groups: int = 1,
        conv_size: int | None = None,
    ):
        logits = filters * kernel_size**2
        conv_size = kernel_size if conv_size is None else conv_size
        super().__init__(
            channels,
            logits,
            conv_size,
            stride=stride,
            padding=conv_size // 2,
            groups=groups,
            padding_mode=padding_mode,  # type: ignore[arg-type]  # a checked str
            bias=False,
        )
        self.norm = get_predictor_norm(norm, filters, logits)

    # nn.Conv2d is the base for the names of the weights; nobody calls this as a plain conv.
    def forward(self, x: Tensor, offset: Tensor) -> Tensor:  # type: ignore[override]
        # TorchScript compiles the first branch only.
        if torch.jit.is_scripting():
            logits = padded_conv2d(
                x, self.weight, None, self.stride[0], self.padding_mode, self.groups
            )
            return self._normalized(logits, offset)
        else:
            return self._predict(x, offset)

    def _predict(self, x: Tensor, offset: Tensor) -> Tensor:
        # Autocast would round an offset that is folded into the conv. A graph of torch.fx would
        # keep the fold of the mode in which it was traced.
        is_symbolic = isinstance(x, torch.fx.Proxy)
        folded = None if is_symbolic or is_autocast(x) else self._folded(offset)
        weight, bias = folded or (self.weight, None)
        logits = padded_conv2d(x, weight, bias, self.stride[0], self.padding_mode, self.groups)
        return logits if folded else self._normalized(logits, offset)

    def _normalized(self, logits: Tensor, offset: Tensor) -> Tensor:
        if self.norm is not None:
            logits = self.norm(logits)
        return logits + offset

    def _folded(self, offset: Tensor) -> tuple[Tensor, Tensor] | None:
        """Returns the conv's weight and bias with norm and offset, if the norm can be folded."""
        norm: Any = self.norm  # Detectron2's and torchvision's FrozenBN share no type
        bias = offset.flatten()
        if norm is None:
            return self.weight, bias
        from_the_map = isinstance(norm, _BatchNorm) and norm.training
        if from_the_map or getattr(norm, "running_var", None) is None:
            return None
        scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
        return self.weight * scale.view(-1, 1, 1, 1), norm.bias - norm.running_mean * scale + bias


def get_predictor_norm(norm: str, filters: int, channels: int) -> nn.Module | None:
    """Returns the norm of a predictor.

    "GN" has as many groups as there are filters: the number of logits is rarely divisible by the
    usual 32.

    Args:
        norm: "BN", "SyncBN", "FrozenBN", "GN" or "" for no norm.
        filters: number of filters per location, g.
        channels: number of logits, g * k * k.
    """
    return nn.GroupNorm(filters, channels) if norm == "GN" else get_norm(norm, channels)
