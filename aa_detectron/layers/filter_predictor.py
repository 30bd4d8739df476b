"""The conv and norm that predict the adaptive filters."""

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .kernels import padded_conv2d
from .kernels.reference import is_autocast
from .norm import get_norm


class FilterPredictor(nn.Conv2d):
    """``norm(conv_kxk(pad(x))) + offset``, at the kept positions only.

    A norm that does not look at the map (FrozenBN; BN and SyncBN in eval mode) and the offset are
    folded into the conv, outside of autocast. It is done in every call: that takes less than a
    pass over the logits, and there is nothing that could go stale.

    Args:
        channels: C.
        groups: g.
        kernel_size: k, of the conv and of the filters.
        stride: s >= 1.
        norm: "BN", "SyncBN", "FrozenBN", "GN" (as many groups as filters) or "" for none.
        padding_mode: see :func:`~aa_detectron.layers.blur_pool.pad_same`.

    Shape:
        (N, C, H, W), offset (1, g * k * k, 1, 1) -> (N, g * k * k, ceil(H / s), ceil(W / s))
    """

    def __init__(
        self,
        channels: int,
        groups: int,
        kernel_size: int,
        stride: int,
        norm: str,
        padding_mode: str,
    ):
        logits = groups * kernel_size**2
        super().__init__(
            channels,
            logits,
            kernel_size,
            stride=stride,
            padding=kernel_size // 2,
            padding_mode=padding_mode,
            bias=False,
        )
        self.norm = get_predictor_norm(norm, groups, logits)

    def forward(self, x: Tensor, offset: Tensor) -> Tensor:
        # Autocast would round the offset.
        folded = None if is_autocast(x) else self._folded(offset)
        weight, bias = folded or (self.weight, None)
        logits = padded_conv2d(x, weight, bias, self.stride[0], self.padding_mode)
        if folded:
            return logits
        return (logits if self.norm is None else self.norm(logits)) + offset

    def _folded(self, offset: Tensor) -> tuple[Tensor, Tensor] | None:
        """Weight and bias that do the norm's work, if it is an affine map of each channel."""
        norm, bias = self.norm, offset.flatten()
        if norm is None:
            return self.weight, bias
        from_the_map = isinstance(norm, _BatchNorm) and norm.training
        if from_the_map or getattr(norm, "running_var", None) is None:
            return None
        scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
        return self.weight * scale.view(-1, 1, 1, 1), norm.bias - norm.running_mean * scale + bias


def get_predictor_norm(norm: str, groups: int, channels: int) -> nn.Module | None:
    """As ``get_norm``, but "GN" has as many groups as filters: 32 rarely divide the logits."""
    return nn.GroupNorm(groups, channels) if norm == "GN" else get_norm(norm, channels)
