"""The places in a model that should have a low-pass filter, and those that lack it."""

import logging

from detectron2.config import CfgNode
from torch import nn

from .bases import BasicBlock, BasicStem, BottleneckBlock, DeformBottleneckBlock
from .resnet import FILTERS, AAStem

logger = logging.getLogger(__name__)

_STEMS = (BasicStem, AAStem)
_BLOCKS = (BasicBlock, BottleneckBlock, DeformBottleneckBlock)


def filter_places(model: nn.Module) -> dict[str, bool]:
    """Finds the places in all ResNets of a model where stems and residual blocks downsample.

    Args:
        model: any model, with Detectron2's stems and blocks or the anti-aliased ones.

    Returns:
        {name: whether there is a filter}, such as {"backbone.stem.aa": True}. Filters of stride 1
        in dilated stages are left out.
    """
    return {
        f"{name}.{place}": not isinstance(getattr(module, place, None), nn.Identity | None)
        for name, module in model.named_modules()
        for place in _places(module)
    }


def _places(module: nn.Module) -> tuple[str, ...]:
    residual, shortcut = FILTERS
    if isinstance(module, _STEMS):
        return (residual,)
    if isinstance(module, _BLOCKS) and module.stride > 1:
        return (residual,) if module.shortcut is None else (residual, shortcut)
    return ()


def warn_of_missing_filters(model: nn.Module, cfg: CfgNode) -> None:
    """Logs a warning if a model lacks filters that ``MODEL.ANTIALIAS.NAME`` asks for.

    Detectron2's own backbones and heads ignore this key.

    Args:
        model: model that was built from the config.
        cfg: config of the model.
    """
    places, filter_name = filter_places(model), cfg.MODEL.ANTIALIAS.NAME
    missing = [name for name, is_filtered in places.items() if not is_filtered]
    if filter_name == "none" or not missing:
        return
    in_heads = [name.startswith("roi_heads.") for name in missing]
    ways = ["MODEL.ROI_HEADS.NAME AARes5ROIHeads"] if any(in_heads) else []
    ways += [] if all(in_heads) else ["a backbone build_aa_... as MODEL.BACKBONE.NAME"]
    logger.warning(
        "MODEL.ANTIALIAS.NAME is %r, but only %d of %d places in the model have a filter. "
        "There is none at %s. Set %s, or MODEL.ANTIALIAS.NAME none for a model without filters.",
        filter_name,
        len(places) - len(missing),
        len(places),
        ", ".join(missing),
        " and ".join(ways),
    )
