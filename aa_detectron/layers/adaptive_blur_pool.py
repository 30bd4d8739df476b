"""Content-adaptive low-pass filter with stride (Zou et al., BMVC 2020, section 3)."""

import functools

import torch
from torch import Tensor, nn

from aa_detectron.errors import InvalidOption, check_choice

from .blur_pool import PADDING_MODES, binomial_kernel
from .constants import ModuleWithConstants, constant_like
from .filter_predictor import FilterPredictor
from .kernels import filter_map, normalize

ADAPTIVITIES = ("spatial_channel", "spatial", "channel", "image")
SOFTMAX_AXES = ("group", "all")
INITS = ("binomial", "kaiming")
NORMS = ("BN", "SyncBN", "FrozenBN", "GN", "")


def adaptive_blur_pool2d(
    x: Tensor, filters: Tensor, stride: int = 2, padding_mode: str = "reflect"
) -> Tensor:
    """Pads, filters with one k x k filter per group of channels and location, and downsamples.

    Only kept positions are computed, in float32 at least; see
    :func:`~aa_detectron.layers.kernels.filter_map`.

    Args:
        x: (N, C, H, W).
        filters: (N, g, k * k, ceil(H / s), ceil(W / s)) with taps in row-major order, k odd and C
            divisible by g; group i filters the channels from i * C / g on. Of size 1 x 1 in space
            for the same filter everywhere.
        stride: s >= 1.
        padding_mode: see :func:`~aa_detectron.layers.blur_pool.pad_same`.

    Returns:
        (N, C, ceil(H / s), ceil(W / s)) in the dtype and memory format of ``x``.

    Raises:
        InvalidOption: a shape or value outside of these.
    """
    return filter_map(x, filters, stride, padding_mode)


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
    return normalize(logits.unflatten(1, (groups, -1)), axis)


class AdaptiveBlurPool2d(ModuleWithConstants):
    """Downsampling behind a low-pass filter that is predicted from the map itself.

    ``Y = apply(softmax(norm(conv_kxk(pad(X)))), pad(X))``, predicted and applied at the kept
    positions only. In training, the statistics of a "BN" predictor therefore come from the kept
    positions. The softmax is made where the filters are applied: only logits are ever stored.

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
        device, dtype: of the weights, as in torch's layers.

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
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
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
        self.predictor = FilterPredictor(
            channels, self.groups, kernel_size, stride, norm, padding_mode
        )
        nn.init.kaiming_normal_(self.predictor.weight, mode="fan_out", nonlinearity="relu")
        if init == "binomial":
            nn.init.zeros_(_scale(self.predictor))
        offset = functools.partial(_offset, init, kernel_size, self.groups)
        self.register_constant("offset", offset)
        self.to(device=device, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        return filter_map(x, self._logits(x), self.stride, self.padding_mode, self.softmax)

    def predict_filters(self, x: Tensor) -> Tensor:
        """The filters for a map (N, C, H, W): (N, g, k * k, H', W'), or (N, g, k * k, 1, 1)."""
        return normalize(self._logits(x), self.softmax)

    def _logits(self, x: Tensor) -> Tensor:
        logits = self.predictor(x, constant_like(self.offset, self.predictor.weight))
        if not self.per_location:
            logits = logits.mean((2, 3), keepdim=True)
        return logits.unflatten(1, (self.groups, -1))

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, groups={self.groups}, "
            f"per_location={self.per_location}, softmax={self.softmax}, {self.padding_mode}"
        )


def _offset(init: str, kernel_size: int, groups: int) -> Tensor:
    """(1, g * k * k, 1, 1): the logits of the binomial blur, or zeros."""
    kernel = binomial_kernel(kernel_size)
    logits = kernel.log() if init == "binomial" else torch.zeros_like(kernel)
    return logits.flatten().repeat(groups).view(1, -1, 1, 1)


def _scale(conv: FilterPredictor) -> Tensor:
    """What must be zero for the conv's output to start at zero and still learn.

    The norm's scale; but FrozenBN's is a buffer, which would keep the output at zero for ever.
    """
    scale = getattr(conv.norm, "weight", None)
    return scale if isinstance(scale, nn.Parameter) else conv.weight
