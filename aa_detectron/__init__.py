"""Adaptive anti-aliasing for detection and segmentation, an extension of Detectron2.

Where Detectron2 is installed, importing this package fixes the faults of that build (see
``compat``) and registers backbones, filters and datasets. It changes no default of Detectron2.
Without Detectron2, or with one that cannot be imported, ``aa_detectron.consistency``,
``antialias``, ``aa_detectron.layers`` and ``aa_detectron.models`` work, and everything else says
what is missing.
"""

from typing import Any

from . import compat

__version__ = "0.2.0.dev0"

__all__ = ["add_aa_config", "antialias", "is_antialiased"]
_SURGERY = ("antialias", "is_antialiased")  # imported when used, since they need torch

if compat.has_detectron2():
    compat.apply()

    from . import data, modeling  # noqa: F401  registration only
    from .config import add_aa_config


def __getattr__(name: str) -> Any:
    if name in _SURGERY:
        from .modeling import surgery

        return getattr(surgery, name)
    if name in __all__:
        compat.require_detectron2(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
