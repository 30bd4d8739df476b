"""The one place that knows how builds of Detectron2 differ.

Upstream's source build and the pure-Python build on the package index (see
``tools/install_detectron2.py``) are both version 0.6, but the latter has faults that stop or
distort ordinary training. :func:`apply` fixes each of them where the installed build has it, and
leaves alone what works. The fixed functions replace the faulty ones in every module loaded so far;
modules loaded later find only the fixed ones.

Importing this file needs nothing but the standard library.
"""

import contextlib
import functools
import importlib
import importlib.util
import sys
import types
import warnings
from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

_HOW_TO_INSTALL = (
    "needs Detectron2, which is not installed; get it with `make install` in a clone of "
    "aa_detectron (everything pinned), with `python tools/install_detectron2.py` from that clone "
    "(pure Python, beside your PyTorch), or from source with `pip install --no-build-isolation "
    "'git+https://github.com/facebookresearch/detectron2.git'`"
)

_ABSENT = object()


# -- What is installed ---------------------------------------------------------------------------


def has_detectron2() -> bool:
    """Whether Detectron2 is installed; it is not imported."""
    try:
        spec = importlib.util.find_spec("detectron2")
    except ImportError:
        return False
    # A bare folder of that name (a clone of the repository beside us) is found without an origin.
    return spec is not None and spec.origin is not None


def require_detectron2(name: str) -> None:
    """Raises :class:`ImportError` where Detectron2 is missing, with the ways to get it.

    Args:
        name: what needs it.
    """
    if not has_detectron2():
        raise ImportError(f"{name} {_HOW_TO_INSTALL}", name="detectron2")


def has_compiled_ops() -> bool:
    """Whether ``detectron2._C`` loads (deformable convolution, rotated boxes, fast COCO eval).

    It is loaded, not only looked for: one compiled against another torch is there and fails.
    """
    try:
        importlib.import_module("detectron2._C")
    except ImportError:
        return False
    return True


def has_projects() -> bool:
    """Whether ``detectron2.projects`` holds its projects (DeepLab, PointRend, Panoptic-DeepLab).

    Every build has the package, but in the pure-Python one it is empty.
    """
    return importlib.util.find_spec("detectron2.projects.deeplab") is not None


def describe_build() -> str:
    """The Detectron2 in use in one line: version, kind, projects or not, folder."""
    import detectron2

    kind = "with compiled ops" if has_compiled_ops() else "pure Python"
    projects = "with" if has_projects() else "without"
    folder = Path(detectron2.__file__).parent
    return f"detectron2 {detectron2.__version__} ({kind}, {projects} projects) in {folder}"


# -- Fixing --------------------------------------------------------------------------------------


def apply() -> list[str]:
    """Fixes the installed Detectron2; a second call finds nothing left to do.

    Returns:
        Names of the fixes that were needed now, in the order of :data:`FIXES`.
    """
    _import_quietly()
    return [fix.__name__ for fix in FIXES if fix()]


def fix_load_coco_json() -> bool:
    """Reads COCO annotations as they are written; returns whether the build needed it.

    The pure-Python build converts each of them with ``kwimage``: an extra dependency that raises
    on uncompressed RLE, as real COCO has it for crowds, and may rewrite polygons. During the
    call it gets a ``kwimage`` that hands annotations through, which leaves upstream's code.
    """
    from detectron2.data.datasets import coco

    faulty = coco.load_coco_json
    if "kwimage" not in faulty.__code__.co_names:
        return False
    verbatim = types.ModuleType("kwimage", "Hands annotations through unchanged.")
    vars(verbatim).update(Segmentation=_Verbatim, Points=_Verbatim)

    @functools.wraps(faulty)
    def load_coco_json(*args: object, **kwargs: object) -> list[dict]:
        with _swapped(sys.modules, "kwimage", verbatim):
            return faulty(*args, **kwargs)

    _replace(faulty, load_coco_json)
    return True


def fix_exif_orientation() -> bool:
    """Turns photographs upright as their EXIF tag says; returns whether the build needed it.

    The pure-Python build has this switched off: such an image then has width and height swapped,
    lies sideways under its annotations, and Detectron2's size check stops the training.
    """
    from detectron2.data import detection_utils
    from PIL import Image

    faulty = detection_utils._apply_exif_orientation
    on_its_side = Image.new("L", (2, 1))
    on_its_side.getexif()[_ORIENTATION_TAG] = 6
    if faulty(on_its_side).size == (1, 2):
        return False
    _replace(faulty, _upright)
    return True


FIXES: tuple[Callable[[], bool], ...] = (
    fix_load_coco_json,
    fix_exif_orientation,
)


# -- Helpers -------------------------------------------------------------------------------------


class _Verbatim:
    """Stands in for ``kwimage.Segmentation`` and ``kwimage.Points``: gives back what it got."""

    def __init__(self, annotation: object):
        self._annotation = annotation

    @classmethod
    def coerce(cls, annotation: object) -> "_Verbatim":
        return cls(annotation)

    def to_coco(self, style: str) -> object:
        return self._annotation


_ORIENTATION_TAG = 0x0112  # of EXIF; 1, or none, is upright
_TO_UPRIGHT = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


def _upright(image: "Image.Image") -> "Image.Image":
    """The PIL ``image`` turned as its EXIF orientation says; as it is if that is unreadable.

    Not `PIL.ImageOps.exif_transpose`, which also rewrites the other tags and fails on broken ones.
    """
    from PIL import Image

    try:
        orientation = image.getexif().get(_ORIENTATION_TAG)
    except Exception:  # Pillow raises whatever a damaged tag leads to
        return image
    turn = _TO_UPRIGHT.get(orientation or 1)
    return image if turn is None else image.transpose(Image.Transpose[turn])


@contextlib.contextmanager
def _swapped(names: MutableMapping, name: str, value: object) -> Iterator[None]:
    """``names[name]`` is ``value`` inside the block, and what it was before, or absent, after."""
    before = names.get(name, _ABSENT)
    names[name] = value
    try:
        yield
    finally:
        if before is _ABSENT:
            del names[name]
        else:
            names[name] = before


def _replace(old: Callable, new: Callable) -> None:
    """Lets every loaded module that holds ``old``, under whatever name, hold ``new`` instead.

    That includes a user's script which took the name from Detectron2 before it imported us.
    """
    for module in list(sys.modules.values()):
        if type(module) is types.ModuleType:  # a lazy module would be loaded by looking into it
            for name, value in list(vars(module).items()):
                if value is old:
                    setattr(module, name, new)


def _import_quietly() -> None:
    """Imports what is fixed without the noise that these builds make under a recent torch.

    Users can do nothing about it: `torch.jit.script` is deprecated, ``pkg_resources`` as well.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
        for name in ("data", "engine", "evaluation", "modeling"):
            importlib.import_module(f"detectron2.{name}")
    # model_zoo is imported later, if at all: it is slow, and fails without pkg_resources.
    warnings.filterwarnings(
        "ignore", "pkg_resources is deprecated", UserWarning, r"detectron2\.model_zoo"
    )
