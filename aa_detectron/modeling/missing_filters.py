"""The places in a model that should have a low-pass filter, and those that lack it."""

import logging

from torch import nn

from aa_detectron.layers.per_place import PLACES, names_per_place

from .bases import BasicBlock, BasicStem, BottleneckBlock, DeformBottleneckBlock
from .filter_names import FILTERS
from .resnet import AAStem
from .surgery import is_antialiased

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


def _plain_places(filter_name: str) -> set[str]:
    """Returns the parts of a ResNet, such as "res3", for which the name is "none"."""
    names = names_per_place(filter_name)
    return {place for place, name in zip(PLACES, names, strict=True) if name == "none"}


def warn_of_missing_filters(model: nn.Module, filter_name: str) -> None:
    """Logs a warning if a model lacks filters that ``MODEL.ANTIALIAS.NAME`` asks for.

    Places for which the name is "none" are left out. Detectron2's own backbones and heads ignore
    this key.

    Args:
        model: model that was built from a config with this key.
        filter_name: value of the key.
    """
    plain = _plain_places(filter_name)
    if len(plain) == len(PLACES):
        return
    found = filter_places(model)
    if not found and not is_antialiased(model):
        logger.warning(
            "MODEL.ANTIALIAS.NAME is %r, but the model has no filter. Set MODEL.BACKBONE.NAME "
            "build_antialiased_backbone, or MODEL.ANTIALIAS.NAME none for a model without filters.",
            filter_name,
        )
    places = {name: found[name] for name in found if plain.isdisjoint(name.split("."))}
    missing = [name for name, is_filtered in places.items() if not is_filtered]
    if not missing:
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


def warn_of_partial_filters(model: nn.Module) -> None:
    """Logs a warning if some places of a model have a filter and others have none.

    A wrong class of the stem, the blocks or the head leaves such a model, whose parts were put
    together one by one.

    Args:
        model: any model.
    """
    places = filter_places(model)
    missing = [name for name, is_filtered in places.items() if not is_filtered]
    if 0 < len(missing) < len(places):
        logger.warning(
            "Only %d of %d places in the model have a filter. There is none at %s. The stem and "
            "the blocks there must be of the classes in aa_detectron.modeling.resnet and be given "
            "a filter, as aa_detectron.modeling.aa_resnet_backbone does.",
            len(places) - len(missing),
            len(places),
            ", ".join(missing),
        )
