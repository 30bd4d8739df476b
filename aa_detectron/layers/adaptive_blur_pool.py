"""Content-adaptive low-pass filter with stride (Zou et al., BMVC 2020, section 3)."""

import math

import torch
from detectron2.layers import Conv2d, get_norm
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from aa_detectron.errors import InvalidOption, check_choice

from .blur_pool import PADDING_MODES, binomial_kernel, pad_same

ADAPTIVITIES = ("spatial_channel", "spatial", "channel", "image")
SOFTMAX_AXES = ("group", "all")
INITS = ("binomial", "kaiming")
NORMS = ("BN", "SyncBN", "FrozenBN", "GN", "")


class _FilterPadded(torch.autograd.Function):
    """Sum over the taps of strided views of the map, with gradients made in the same way.

    Autograd alone would make a whole map of zeros for the gradient of every tap's view.
    """

    @staticmethod
    def forward(ctx, padded: Tensor, filters: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(padded, filters)
        ctx.stride = stride
        grouped = padded.unflatten(1, (filters.shape[1], -1))
        out = None
        for tap, window in enumerate(_windows(grouped, filters.shape[2], stride)):
            weight = filters[:, :, tap].unsqueeze(2)
            out = window * weight if out is None else _add_product(out, window, weight)
        return out.flatten(1, 2).to(padded.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        padded, filters = ctx.saved_tensors
        need_padded, need_filters = ctx.needs_input_grad[:2]
        grouped = padded.unflatten(1, (filters.shape[1], -1))
        grad = grad.unflatten(1, grouped.shape[1:3]).to(filters.dtype)
        grad_padded = grad_filters = None
        if need_filters:
            grad_filters = torch.empty_like(filters)
            for tap, window in enumerate(_windows(grouped, filters.shape[2], ctx.stride)):
                summed = (grad * window).sum(2)
                grad_filters[:, :, tap] = summed.sum_to_size(filters[:, :, tap].shape)
        if need_padded:
            grad_padded = torch.zeros_like(padded, dtype=filters.dtype)
            into = grad_padded.unflatten(1, grouped.shape[1:3])
            for tap, window in enumerate(_windows(into, filters.shape[2], ctx.stride)):
                window.addcmul_(grad, filters[:, :, tap].unsqueeze(2))
            grad_padded = grad_padded.to(padded.dtype)
        return grad_padded, grad_filters, None


def _add_product(total: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """``total += a * b``, where ``a`` may be of lower precision than the others."""
    return total.addcmul_(a, b) if a.dtype == b.dtype else total.add_(a * b)


def _windows(grouped: Tensor, taps: int, stride: int):
    """Views of (N, g, C / g, H + k - 1, W + k - 1): what each tap sees at every location."""
    k = math.isqrt(taps)
    height, width = grouped.shape[-2] - k + 1, grouped.shape[-1] - k + 1
    for tap in range(taps):
        i, j = divmod(tap, k)
        yield grouped[..., i : height + i : stride, j : width + j : stride]


def filter_padded(padded: Tensor, filters: Tensor, stride: int) -> Tensor:
    """Filters a padded map with one k x k filter per group of channels and location.

    Only kept positions are computed. Saved for the gradient are the two arguments; nothing of
    k * k times the map's size is ever made.

    Args:
        padded: (N, C, H + k - 1, W + k - 1).
        filters: (N, g, k * k, H', W') in row-major order of the taps, H' = ceil(H / s), or
            (N, g, k * k, 1, 1) for the same filter everywhere; C is divisible by g, and group i
            filters the channels from i * C / g on. The sums are made in the dtype of the filters,
            which may be higher than that of the map.
        stride: s >= 1.

    Returns:
        (N, C, H', W') in the dtype of ``padded``.
    """
    return _FilterPadded.apply(padded, filters, stride)


def adaptive_blur_pool2d(
    x: Tensor, filters: Tensor, stride: int = 2, padding_mode: str = "reflect"
) -> Tensor:
    """Pads, then :func:`filter_padded` (the sum of the layer, at kept positions only).

    Args:
        x: (N, C, H, W).
        filters: (N, g, k * k, ceil(H / s), ceil(W / s)), or of size 1 x 1 in space.
        stride: s >= 1.
        padding_mode: see :func:`~aa_detectron.layers.blur_pool.pad_same`.

    Returns:
        (N, C, ceil(H / s), ceil(W / s)).
    """
    k = math.isqrt(filters.shape[2])
    return filter_padded(pad_same(x, k, padding_mode), filters, stride)


def softmax_filters(logits: Tensor, groups: int, axis: str = "group") -> Tensor:
    """Turns logits into low-pass filters; always in float32, also under autocast.

    Args:
        logits: (N, g * k * k, H', W'), group-major.
        groups: g.
        axis: "group" makes every group's filter sum to 1; "all" makes all groups' taps together
            sum to 1, as in the authors' published code.

    Returns:
        (N, g, k * k, H', W') float32 (float64 for float64 logits).
    """
    logits = logits if logits.dtype == torch.float64 else logits.float()
    grouped = logits.unflatten(1, (groups, -1))
    if axis == "all":
        return logits.softmax(1).view_as(grouped)
    return grouped.softmax(2)


class AdaptiveBlurPool2d(nn.Module):
    """Downsampling behind a low-pass filter that is predicted from the map itself.

    ``Y = apply(softmax(norm(conv_kxk(pad(X)))), pad(X))``, predicted and applied at the kept
    positions only. In training, the statistics of a "BN" predictor therefore come from the kept
    positions.

    Args:
        channels: C of the input.
        kernel_size: k, odd, 3 or more.
        stride: 1 filters without downsampling.
        groups: g, a divisor of ``channels``; every group of C / g channels has its own filter.
        adaptivity: "spatial_channel": a filter per location and group; "spatial": per location
            (g = 1); "channel": per image and group; "image": per image (g = 1). The filter of an
            image comes from the mean of the logits over its locations.
        softmax: "group" or "all", see :func:`softmax_filters`.
        norm: of the predictor's conv: "BN", "SyncBN", "FrozenBN", "GN" (as many groups as
            filters) or "" for none.
        init: "binomial" starts as the binomial blur of the same k: the logits carry the offset
            log(binomial), and the predictor starts at zero (the norm's scale where it is
            trainable, else the conv). "kaiming" is the published start: Kaiming normal (fan_out),
            no offset.
        padding_mode: "reflect", "replicate" or "zeros".

    Shape:
        (N, C, H, W) -> (N, C, ceil(H / stride), ceil(W / stride))

    Raises:
        InvalidOption: a value outside of these.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int = 3,
        stride: int = 2,
        groups: int = 8,
        *,
        adaptivity: str = "spatial_channel",
        softmax: str = "group",
        norm: str = "BN",
        init: str = "binomial",
        padding_mode: str = "reflect",
    ):
        super().__init__()
        if kernel_size < 3 or kernel_size % 2 == 0:
            raise InvalidOption("kernel_size", kernel_size, "odd and at least 3")
        if stride < 1:
            raise InvalidOption("stride", stride, "at least 1")
        check_choice("adaptivity", adaptivity, ADAPTIVITIES)
        check_choice("softmax", softmax, SOFTMAX_AXES)
        check_choice("norm", norm, NORMS)
        check_choice("init", init, INITS)
        check_choice("padding_mode", padding_mode, PADDING_MODES)
        if groups < 1 or channels % groups:
            raise InvalidOption("groups", groups, f"a divisor of the {channels} channels")

        self.kernel_size, self.stride, self.padding_mode = kernel_size, stride, padding_mode
        self.softmax = softmax
        self.groups = 1 if adaptivity in ("spatial", "image") else groups
        self.per_location = adaptivity in ("spatial", "spatial_channel")
        logits = self.groups * kernel_size**2
        self.predictor = Conv2d(
            channels,
            logits,
            kernel_size,
            stride=stride,
            bias=False,
            norm=get_predictor_norm(norm, self.groups, logits),
        )
        nn.init.kaiming_normal_(self.predictor.weight, mode="fan_out", nonlinearity="relu")
        offset = torch.zeros(logits)
        if init == "binomial":
            offset = binomial_kernel(kernel_size).log().flatten().repeat(self.groups)
            nn.init.zeros_(_scale(self.predictor))
        self.register_buffer("offset", offset.view(1, -1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        padded = pad_same(x, self.kernel_size, self.padding_mode)
        # Autocast may have padded in float32.
        return filter_padded(padded, self._predict(padded), self.stride).to(x.dtype)

    def predict_filters(self, x: Tensor) -> Tensor:
        """The filters for a map (N, C, H, W): (N, g, k * k, H', W'), or (N, g, k * k, 1, 1)."""
        return self._predict(pad_same(x, self.kernel_size, self.padding_mode))

    def _predict(self, padded: Tensor) -> Tensor:
        logits = self.predictor(padded)
        if not self.per_location:
            logits = logits.mean((2, 3), keepdim=True)
        return softmax_filters(logits + self.offset, self.groups, self.softmax)

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, groups={self.groups}, "
            f"per_location={self.per_location}, softmax={self.softmax}, {self.padding_mode}"
        )


def get_predictor_norm(norm: str, groups: int, channels: int) -> nn.Module | None:
    """Detectron2's ``get_norm``, whose "GN", however, wants a multiple of 32 channels."""
    return nn.GroupNorm(groups, channels) if norm == "GN" else get_norm(norm, channels)


def _scale(conv: Conv2d) -> Tensor:
    """What must be zero for the conv's output to start at zero and still learn.

    The norm's scale; but FrozenBN's is a buffer, which would keep the output at zero for ever.
    """
    scale = getattr(conv.norm, "weight", None)
    return scale if isinstance(scale, nn.Parameter) else conv.weight
