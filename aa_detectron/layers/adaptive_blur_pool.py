"""Content-adaptive low-pass filter with a stride (Zou et al., BMVC 2020, section 3)."""

import functools

import torch
from torch import Tensor, nn

from aa_detectron.errors import InvalidOption, check_choice

from .blur_pool import BlurPool2d, binomial_kernel
from .constants import ModuleWithConstants, constant_like
from .filter_predictor import FilterPredictor
from .kernels import filter_map, normalize
from .norm import NORMS
from .padding import PADDING_MODES

# torch.fx records a call of these, since it cannot trace them.
torch.fx.wrap("constant_like")
torch.fx.wrap("filter_map")

ADAPTIVITIES = ("spatial_channel", "spatial", "channel", "image")
SOFTMAX_AXES = ("group", "all")
INITS = ("binomial", "kaiming")


def adaptive_blur_pool2d(
    x: Tensor, filters: Tensor, stride: int = 2, padding_mode: str = "reflect"
) -> Tensor:
    """Pads, filters with one k x k filter per group of channels and location, and downsamples.

    Only the kept positions are computed, with sums in float32 or float64; see
    :func:`~aa_detectron.layers.kernels.filter_map`.

    Args:
        x: feature map, (N, C, H, W).
        filters: filters, (N, g, k * k, ceil(H / s), ceil(W / s)), with taps in row-major order, k
            odd and C divisible by g. Group i filters the C / g channels that start at channel
            i * C / g. A shape of (N, g, k * k, 1, 1) applies the same filter everywhere.
        stride: stride, s >= 1.
        padding_mode: "reflect", "replicate" or "zeros", see
            :func:`~aa_detectron.layers.padding.pad_same`.

    Returns:
        Filtered map, (N, C, ceil(H / s), ceil(W / s)), in the dtype and memory format of ``x``.

    Raises:
        InvalidOption: a shape or value is not one of these.
    """
    return filter_map(x, filters, stride, padding_mode)


def softmax_filters(logits: Tensor, groups: int, axis: str = "group") -> Tensor:
    """Turns logits into low-pass filters, in float32 even under autocast.

    Args:
        logits: logits, (N, g * k * k, H', W'), with the k * k taps of each group side by side.
        groups: number of groups, g.
        axis: "group" makes the taps of each group sum to 1; "all" makes the taps of all groups
            together sum to 1, as in the authors' published code.

    Returns:
        Filters, (N, g, k * k, H', W'), float32 (float64 for float64 logits).
    """
    return normalize(logits.unflatten(1, (groups, -1)), axis)


class AdaptiveBlurPool2d(ModuleWithConstants):
    """Downsampling after a low-pass filter that is predicted from the feature map itself.

    ``Y = apply(softmax(norm(conv_kxk(pad(X)))), pad(X))``, predicted and applied at the kept
    positions only. In training, the statistics of a "BN" predictor therefore come from the kept
    positions. The softmax is computed where the filters are applied: only logits are stored.

    Source: Zou et al., BMVC 2020, section 3.

    Args:
        channels: number of channels of the input, C.
        kernel_size: side of the filters, k, odd and at least 3.
        stride: stride, s >= 1; 1 filters without downsampling.
        groups: number of groups, g, a divisor of ``channels``; each group of C / g channels has
            its own filter.
        adaptivity: "spatial_channel" for a filter per location and group; "spatial" for a filter
            per location (g = 1); "channel" for a filter per image and group; "image" for a filter
            per image (g = 1). The filter of an image comes from the mean of the logits over its
            locations.
        softmax: "group" or "all", see :func:`softmax_filters`.
        norm: norm after the predictor's conv: "BN", "SyncBN", "FrozenBN", "GN" (as many groups as
            filters) or "" for no norm.
        init: initialization. With "binomial" the layer starts as the binomial blur of the same k:
            the logits have the offset log(binomial), and the predictor starts at zero (the norm's
            scale where it is trainable, else the conv). "kaiming" is the published
            initialization: Kaiming normal (fan_out), without an offset.
        padding_mode: "reflect", "replicate" or "zeros".
        predictor_groups: number of groups of the predictor's conv, a divisor of ``groups``, and 1
            where g = 1. Each group of channels predicts its own filters, with as many times fewer
            weights and multiplications.
        predictor_smooth: whether the predictor sees the map behind a binomial 3x3 blur of stride
            1. This equals a blur of the logits in space, except at the borders: filters vary slowly
            from pixel to pixel. The map that is filtered is not blurred.
        predictor_kernel: side of the predictor's conv, odd; 0 for ``kernel_size``.
        device: device of the weights, as in torch's layers.
        dtype: dtype of the weights, as in torch's layers.

    Shape:
        (N, C, H, W) -> (N, C, ceil(H / s), ceil(W / s))

    Raises:
        InvalidOption: a value is not one of these.
    """

    offset: Tensor

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
        predictor_groups: int = 1,
        predictor_smooth: bool = False,
        predictor_kernel: int = 0,
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
        if predictor_kernel < 0 or (predictor_kernel and predictor_kernel % 2 == 0):
            raise InvalidOption("predictor_kernel", predictor_kernel, "odd, or 0 for kernel_size")

        self.kernel_size, self.stride, self.padding_mode = kernel_size, stride, padding_mode
        self.softmax = softmax
        self.groups = 1 if adaptivity in ("spatial", "image") else groups
        self.per_location = adaptivity in ("spatial", "spatial_channel")
        _check_predictor_groups(predictor_groups, self.groups)
        smoothing = functools.partial(BlurPool2d, channels, 3, 1, padding_mode)
        self.smooth = smoothing() if predictor_smooth else nn.Identity()
        self.predictor = FilterPredictor(
            channels,
            self.groups,
            kernel_size,
            stride,
            norm,
            padding_mode,
            predictor_groups,
            predictor_kernel or kernel_size,
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
        """Predicts the filters that the layer applies to a feature map.

        Args:
            x: feature map, (N, C, H, W).

        Returns:
            Filters, (N, g, k * k, ceil(H / s), ceil(W / s)) float32 (float64 for float64 logits);
            (N, g, k * k, 1, 1) where the adaptivity is "channel" or "image".
        """
        return normalize(self._logits(x), self.softmax)

    def _logits(self, x: Tensor) -> Tensor:
        offset = constant_like(self.offset, self.predictor.weight)
        logits = self.predictor(self.smooth(x), offset)
        if not self.per_location:
            logits = logits.mean((2, 3), keepdim=True)
        return logits.unflatten(1, (self.groups, -1))

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, groups={self.groups}, "
            f"per_location={self.per_location}, softmax={self.softmax}, {self.padding_mode}"
        )


def _check_predictor_groups(predictor_groups: int, filters: int) -> None:
    if predictor_groups < 1 or filters % predictor_groups:
        legal = f"a divisor of the {filters} filters per location"
        raise InvalidOption("predictor_groups", predictor_groups, legal)


def _offset(init: str, kernel_size: int, groups: int) -> Tensor:
    """Returns the logits of the binomial blur, or zeros: (1, g * k * k, 1, 1)."""
    kernel = binomial_kernel(kernel_size)
    logits = kernel.log() if init == "binomial" else torch.zeros_like(kernel)
    return logits.flatten().repeat(groups).view(1, -1, 1, 1)


def _scale(conv: FilterPredictor) -> Tensor:
    """Returns the weight that must be zero for an output that starts at zero and still learns.

    It is the scale of the norm. The scale of FrozenBN is a buffer and would keep the output at
    zero forever; the weight of the conv is returned instead.
    """
    scale = getattr(conv.norm, "weight", None)
    return scale if isinstance(scale, nn.Parameter) else conv.weight
