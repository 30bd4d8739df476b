"""The one place that knows how builds of Detectron2 differ.

Upstream's source build and the pure-Python build on the package index (see
``tools/install_detectron2.py``) are both version 0.6. The pure-Python build has faults that stop or
distort ordinary training. :func:`apply` fixes the faults that the installed build has, and changes
nothing else. The fixed functions replace the faulty functions in every module loaded so far.
Modules loaded later find only the fixed functions.

Importing this file needs only the standard library.
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
    "get it with `make install` in a clone of "
    "aa_detectron (everything pinned), with `python tools/install_detectron2.py` from that clone "
    "(pure Python, beside your PyTorch), or from source with `pip install --no-build-isolation "
    "'git+https://github.com/facebookresearch/detectron2.git'`"
)

_ABSENT = object()


# -- What is installed ---------------------------------------------------------------------------


def has_detectron2() -> bool:
    """Whether Detectron2 is installed and can be imported. This imports it."""
    return why_missing() is None


def why_missing() -> str | None:
    """Returns why Detectron2 cannot be used: it "is not installed" or "cannot be imported (...)".

    Returns None if it can be used. The first call imports it.
    """
    return _import_error() if _is_installed() else "is not installed"


def require_detectron2(name: str) -> None:
    """Raises :class:`ImportError` if Detectron2 is missing or broken, and says what to do.

    Args:
        name: name of the module or function that needs Detectron2, for the message.
    """
    reason = why_missing()
    if reason is not None:
        advice = "reinstall it for this PyTorch" if _is_installed() else _HOW_TO_INSTALL
        message = f"{name} needs Detectron2, which {reason}; {advice}"
        raise ImportError(message, name="detectron2")


def _is_installed() -> bool:
    try:
        spec = importlib.util.find_spec("detectron2")
    except ImportError:
        return False
    # A plain folder of that name, such as a clone of the repository, is found without an origin.
    return spec is not None and spec.origin is not None


@functools.cache
def _import_error() -> str | None:
    try:
        _import_quietly()
    except Exception as error:  # a build for other versions can raise any of them
        from aa_detectron.errors import first_line  # not above: this file also runs by itself

        return f"cannot be imported ({type(error).__name__}: {first_line(error)})"
    return None


def has_compiled_ops() -> bool:
    """Whether ``detectron2._C`` loads (deformable convolution, rotated boxes, fast COCO eval).

    The module is loaded, since one that was compiled for another PyTorch exists but fails to load.
    """
    try:
        importlib.import_module("detectron2._C")
    except ImportError:
        return False
    return True


def has_projects() -> bool:
    """Whether ``detectron2.projects`` holds its projects (DeepLab, PointRend, Panoptic-DeepLab).

    Every build has the package, but it is empty in the pure-Python build.
    """
    return importlib.util.find_spec("detectron2.projects.deeplab") is not None


def describe_build() -> str:
    """One line about the installed Detectron2: version, kind, whether it has projects, folder."""
    import detectron2

    kind = "with compiled ops" if has_compiled_ops() else "pure Python"
    projects = "with" if has_projects() else "without"
    folder = Path(detectron2.__file__).parent
    return f"detectron2 {detectron2.__version__} ({kind}, {projects} projects) in {folder}"


# -- Fixing --------------------------------------------------------------------------------------


def apply() -> list[str]:
    """Fixes the installed Detectron2; a second call changes nothing.

    Returns:
        Names of the fixes that this call applied, in the order of :data:`FIXES`.
    """
    _import_quietly()
    return [fix.__name__ for fix in FIXES if fix()]


def fix_load_coco_json() -> bool:
    """Reads COCO annotations without changing them; returns whether the build needed the fix.

    The pure-Python build converts each annotation with ``kwimage``. This extra dependency raises on
    uncompressed RLE, which COCO uses for crowds, and may rewrite polygons. The fix replaces
    ``kwimage`` during the call by a module that returns annotations unchanged.
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
    """Turns images upright by their EXIF tag; returns whether the build needed the fix.

    The pure-Python build ignores the tag. The width and height of such an image are then swapped,
    the annotations do not fit it, and Detectron2's size check stops the training.
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
    """Replaces ``kwimage.Segmentation`` and ``kwimage.Points``; returns annotations unchanged."""

    def __init__(self, annotation: object):
        self._annotation = annotation

    @classmethod
    def coerce(cls, annotation: object) -> "_Verbatim":
        return cls(annotation)

    def to_coco(self, style: str) -> object:
        return self._annotation


_ORIENTATION_TAG = 0x0112  # EXIF tag; an image with value 1 or without the tag is upright
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
    """Turns a PIL image upright by its EXIF tag; an image with an unreadable tag is unchanged.

    ``PIL.ImageOps.exif_transpose`` also rewrites the other tags, and fails on broken tags.
    """
    from PIL import Image

    try:
        orientation = image.getexif().get(_ORIENTATION_TAG)
    except Exception:  # a damaged tag can raise any exception
        return image
    turn = _TO_UPRIGHT.get(orientation or 1)
    return image if turn is None else image.transpose(Image.Transpose[turn])


@contextlib.contextmanager
def _swapped(names: MutableMapping, name: str, value: object) -> Iterator[None]:
    """Sets ``names[name]`` to ``value`` inside the block; afterwards the entry is as before."""
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
    """Replaces ``old`` by ``new`` in every loaded module, under any name.

    This includes a user's script that imported the name from Detectron2 before this package.
    """
    for module in list(sys.modules.values()):
        if type(module) is types.ModuleType:  # reading a lazy module would load it
            for name, value in list(vars(module).items()):
                if value is old:
                    setattr(module, name, new)


def _import_quietly() -> None:
    """Imports the modules to fix without the deprecation warnings of a recent PyTorch.

    Users cannot act on these warnings, which are about ``torch.jit.script`` and ``pkg_resources``.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
        for name in ("data", "engine", "evaluation", "modeling"):
            importlib.import_module(f"detectron2.{name}")
    # model_zoo is not imported here, since it is slow and fails without pkg_resources.
    warnings.filterwarnings(
        "ignore", "pkg_resources is deprecated", UserWarning, r"detectron2\.model_zoo"
    )
