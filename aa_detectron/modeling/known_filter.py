"""The config of the filters that a model already has."""

from typing import Any

from torch import nn

from aa_detectron.layers import AdaptiveBlurPool2d, BlurPool2d

from .missing_filters import filter_places
from .surgery import filters_of


def known_filter(model: nn.Module) -> dict[str, Any] | None:
    """Finds the options of the filters of a model, as far as the layers know them.

    Args:
        model: any model.

    Returns:
        {key of ``MODEL.ANTIALIAS``: value} of the options that all filters share; NAME "none" for
        a model without filters. None if the filters are of several kinds, or of a kind that is
        neither "blur" nor "adaptive", or if some places have none.
    """
    found = [model.get_submodule(name) for name in filters_of(model)]
    if not found:
        return {"NAME": "none"}
    known = [_options(layer) for layer in found]
    if not all(known) or not all(filter_places(model).values()):
        return None
    shared = dict(set.intersection(*(set(options.items()) for options in known)))
    return shared if "NAME" in shared else None


def _options(layer: nn.Module) -> dict[str, Any]:
    if type(layer) is BlurPool2d and layer.kernel.shape[-1] > 2:  # 2 is also "wavelet"
        size = layer.kernel.shape[-1]
        return {"NAME": "blur", "KERNEL_SIZE": size, "PADDING_MODE": layer.padding_mode}
    if not isinstance(layer, AdaptiveBlurPool2d):
        return {}
    options = {
        "NAME": "adaptive",
        "KERNEL_SIZE": layer.kernel_size,
        "PADDING_MODE": layer.padding_mode,
        "SOFTMAX": layer.softmax,
        "INIT": "binomial" if layer.offset.any() else "kaiming",
        "PREDICTOR_SMOOTH": not isinstance(layer.smooth, nn.Identity),
    }
    if layer.groups > 1:  # a single group may be asked for in two ways
        adaptivity = "spatial_channel" if layer.per_location else "channel"
        options |= {"GROUPS": layer.groups, "ADAPTIVITY": adaptivity}
    return options
