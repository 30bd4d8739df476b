"""The one place that knows how builds of Detectron2 differ.

Upstream's source build and the pure-Python build on the package index (see
``tools/install_detectron2.py``) are both version 0.6, but the latter has faults that stop or bend
ordinary training. :func:`apply` fixes each of them where the installed build has it, and leaves
alone what works. The fixed functions replace the faulty ones in every module loaded so far; modules
loaded later find only the fixed ones.

Importing this file needs nothing but the standard library.
"""

import contextlib
import functools
import importlib
import importlib.util
import random
import sys
import types
import warnings
from collections.abc import Callable, MutableMapping
from pathlib import Path

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


# -- Mending -------------------------------------------------------------------------------------


def apply() -> list[str]:
    """Mend the installed Detectron2; a second call finds nothing left to do.

    Returns:
        Names of the mends that were needed now, in the order of :data:`MENDS`.
    """
    _import_quietly()
    return [mend.__name__ for mend in MENDS if mend()]


def mend_load_coco_json() -> bool:
    """Read COCO annotations as they are written; returns whether the build needed it.

    The pure-Python build converts each of them with ``kwimage``: an extra dependency that raises
    on uncompressed RLE, as real COCO has it for crowds, and may rewrite polygons. During the
    call we lend it a ``kwimage`` that hands annotations through, which leaves upstream's code.
    """
    from detectron2.data.datasets import coco

    faulty = coco.load_coco_json
    if "kwimage" not in faulty.__code__.co_names:
        return False
    verbatim = types.ModuleType("kwimage", "Hands annotations through unchanged.")
    verbatim.Segmentation = verbatim.Points = _Verbatim

    @functools.wraps(faulty)
    def load_coco_json(*args, **kwargs):
        with _swapped(sys.modules, "kwimage", verbatim):
            return faulty(*args, **kwargs)

    _replace(faulty, load_coco_json)
    return True


def mend_exif_orientation() -> bool:
    """Turn photographs upright as their EXIF tag says; returns whether the build needed it.

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


def mend_map_dataset() -> bool:
    """Let `MapDataset` replace a sample that cannot be used; returns whether the build needed it.

    When the mapper returns None, the pure-Python build draws another index with ``random.sample``
    from a set, which is a `TypeError` since Python 3.11.
    """
    from detectron2.data.common import MapDataset

    try:
        MapDataset([None, 0], lambda sample: sample)[0]
        return False
    except TypeError:
        pass
    faulty = MapDataset.__init__

    @functools.wraps(faulty)
    def __init__(self, dataset, map_func):
        faulty(self, dataset, map_func)
        rng = _SetSampler()
        rng.setstate(self._rng.getstate())
        self._rng = rng

    MapDataset.__init__ = __init__  # in place: subclasses and isinstance() see no difference
    return True


def mend_training_seed() -> bool:
    """Let ``cfg.SEED`` seed the order of training; returns whether the build needed it.

    In the pure-Python build a `TrainingSampler` made from a config draws its seed from numpy's
    global generator, so the order depends on whatever was drawn before. A negative SEED still means
    a random order, and a sampler given by the caller is left as it is.
    """
    from detectron2.config import configurable
    from detectron2.data import build

    faulty = build.build_detection_train_loader
    if _passes_seed(faulty.from_config):
        return False

    @functools.wraps(faulty.from_config)
    def from_config(cfg, *args, **kwargs):
        if cfg.SEED < 0:
            return faulty.from_config(cfg, *args, **kwargs)
        seeded = functools.partial(build.TrainingSampler, seed=cfg.SEED)
        with _swapped(vars(build), "TrainingSampler", seeded):
            return faulty.from_config(cfg, *args, **kwargs)

    _replace(faulty, configurable(from_config=from_config)(faulty.__wrapped__))
    return True


MENDS: tuple[Callable[[], bool], ...] = (
    mend_load_coco_json,
    mend_exif_orientation,
    mend_map_dataset,
    mend_training_seed,
)


# -- Helpers -------------------------------------------------------------------------------------


class _Verbatim:
    """Stands in for ``kwimage.Segmentation`` and ``kwimage.Points``: gives back what it got."""

    def __init__(self, annotation):
        self._annotation = annotation

    @classmethod
    def coerce(cls, annotation):
        return cls(annotation)

    def to_coco(self, style):
        return self._annotation


class _SetSampler(random.Random):
    """`random.Random` that samples from a set as well; the draws are those from ``list(set)``."""

    def sample(self, population, k, **kwargs):
        return super().sample(list(population), k, **kwargs)


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


def _upright(image):
    """The PIL ``image`` turned as its EXIF orientation says; as it is if that is unreadable.

    Not `PIL.ImageOps.exif_transpose`, which also rewrites the other tags and fails on broken ones.
    """
    from PIL import Image

    try:
        orientation = image.getexif().get(_ORIENTATION_TAG)
    except Exception:  # Pillow raises whatever a damaged tag leads to
        return image
    turn = _TO_UPRIGHT.get(orientation)
    return image if turn is None else image.transpose(Image.Transpose[turn])


def _passes_seed(from_config: Callable) -> bool:
    """Whether the loader's ``from_config`` gives its `TrainingSampler` a seed.

    Tried on a stand-in that returns its keywords: a real sampler without a seed would draw one
    from numpy's global generator, and importing us must not change anybody's random numbers.
    """
    from detectron2.config import get_cfg
    from detectron2.data import build

    with _swapped(vars(build), "TrainingSampler", lambda size, **keywords: keywords):
        cfg = get_cfg()
        cfg.SEED = 0
        return "seed" in from_config(cfg, mapper=len, dataset=[{}])["sampler"]


@contextlib.contextmanager
def _swapped(names: MutableMapping, name: str, value):
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
    """Let every loaded module that holds ``old``, under whatever name, hold ``new`` instead.

    That includes a user's script which took the name from Detectron2 before it imported us.
    """
    for module in list(sys.modules.values()):
        if type(module) is types.ModuleType:  # a lazy module would be loaded by looking into it
            for name, value in list(vars(module).items()):
                if value is old:
                    setattr(module, name, new)


def _import_quietly() -> None:
    """Import what we mend without the noise that these builds make under a recent torch.

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
