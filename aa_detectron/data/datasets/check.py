"""Checks of a registered dataset before the first iteration, by the kind in its metadata."""

import logging
import os
from collections.abc import Iterable

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog

from aa_detectron.data.images import image_size
from aa_detectron.data.label_maps import check_label_file, check_labels, read_label_map
from aa_detectron.errors import InputError, InvalidOption

from .cityscapes import check_cityscapes
from .coco_check import CocoFacts, check_coco
from .dicts_check import check_dicts

logger = logging.getLogger(__name__)

COCO_KINDS = ("coco", "coco_panoptic_seg")
"""Values of ``evaluator_type`` for instances."""
SEM_SEG_KINDS = ("sem_seg", "cityscapes_sem_seg", "coco_panoptic_seg")
"""Values of ``evaluator_type`` for label maps."""
MAX_LABEL_MAPS = 32
"""Number of label maps of a dataset that are checked before it is used."""


def check_dataset(
    name: str, *, for_training: bool, needs_masks: bool, mask_format: str | None = None
) -> None:
    """Checks the annotations of a registered dataset.

    COCO files are read whole, once (see :mod:`.coco_cache`). Annotations of other kinds are loaded
    where Detectron2 would load them only after the training. No image is opened. At most
    :data:`MAX_LABEL_MAPS` label maps are read.

    Args:
        name: name of the dataset.
        for_training: whether the dataset is for training; otherwise it is for testing.
        needs_masks: value of ``MODEL.MASK_ON``.
        mask_format: value of ``INPUT.MASK_FORMAT``, for training with masks; None accepts both.

    Raises:
        InputError: the annotations cannot be used. The message names the file and the record, what
            was found and what is legal.
        InvalidOption: a mask is in RLE, but ``mask_format`` is "polygon".
    """
    if not for_training:
        check_metadata(name)
    if coco_file(name):
        check_coco_use(
            name, for_training=for_training, needs_masks=needs_masks, mask_format=mask_format
        )
        return
    check_source(name)
    kind = MetadataCatalog.get(name).get("evaluator_type")
    if for_training and kind not in (*COCO_KINDS, *SEM_SEG_KINDS, None):
        return  # the training loader reads it next
    dicts = load_dataset(name)
    if kind in SEM_SEG_KINDS:
        check_some_label_maps(name, dicts)
    else:
        check_dicts(name, dicts, for_training=for_training, needs_masks=needs_masks)


def check_coco_use(
    name: str, *, for_training: bool, needs_masks: bool, mask_format: str | None = None
) -> None:
    """Checks a dataset with a COCO file as :func:`check_dataset` does; ignores other datasets.

    See :func:`check_dataset` for arguments and errors.
    """
    json_file, facts = coco_file(name), check_source(name, needs_annotations=for_training)
    if json_file is None or facts is None:
        return
    if for_training:
        check_training(json_file, facts, needs_masks=needs_masks, mask_format=mask_format)
    else:
        check_testing(json_file, facts, needs_masks=needs_masks)


def load_dataset(name: str) -> list[dict]:
    """Dataset dicts of a registered dataset.

    Raises:
        InputError: the files are missing or malformed, or hold no image.
    """
    check_source(name)
    dicts = DatasetCatalog.get(name)
    if not len(dicts):
        metadata = MetadataCatalog.get(name)
        where = metadata.get("json_file") or metadata.get("image_root") or name
        raise InputError(f"{where}: holds no image of {name}")
    return dicts


def check_source(name: str, *, needs_annotations: bool = False) -> CocoFacts | None:
    """Checks the files from which Detectron2's own loaders make the dataset dicts.

    Returns:
        Facts about the COCO file; None for other kinds of dataset.

    Raises:
        InputError: a file is missing or malformed. The message names it.
    """
    metadata = MetadataCatalog.get(name)
    if metadata.get("evaluator_type") == "cityscapes_sem_seg" and metadata.get("gt_dir"):
        check_cityscapes(metadata.image_dir, metadata.gt_dir)
    json_file = coco_file(name)
    if not json_file:
        return None
    remedy = metadata.get("remedy", "")  # of the package's own datasets
    facts = check_coco(json_file, remedy, needs_annotations=needs_annotations)
    classes = metadata.get("thing_classes")
    # Detectron2's panoptic datasets list classes that the file does not have.
    is_listed = classes is not None and metadata.get("evaluator_type") != "coco_panoptic_seg"
    if is_listed and list(classes) != facts.classes:
        found = _differing(facts.classes, list(classes))
        raise InputError(f"{json_file}: has {found} of {name}, in the order of their ids")
    return facts


def coco_file(name: str) -> str | None:
    """Path of a dataset's COCO file; None for a dataset without one."""
    metadata = MetadataCatalog.get(name)
    json_file = metadata.get("json_file")
    is_coco = metadata.get("evaluator_type", "coco") in COCO_KINDS
    is_json = json_file is not None and not os.fspath(json_file).endswith(".zip")
    return os.fspath(json_file) if is_coco and is_json else None


def check_metadata(name: str) -> None:
    """Checks the metadata that evaluators of a dataset read.

    Raises:
        InputError: an entry is missing. The message shows how to add it.
    """
    metadata = MetadataCatalog.get(name)
    needed = {}
    if metadata.get("evaluator_type") in SEM_SEG_KINDS:
        needed = {"ignore_label": "255", "stuff_classes": "[...]"}
    elif metadata.get("evaluator_type") == "coco" and not metadata.get("json_file"):
        needed = {"thing_classes": "[...]"}
    for key, value in needed.items():
        if metadata.get(key) is None:
            remedy = f"MetadataCatalog.get({name!r}).{key} = {value}"
            raise InputError(f"dataset {name}: its metadata has no {key}; add {remedy}")


def check_training(
    json_file: str, facts: CocoFacts, *, needs_masks: bool, mask_format: str | None = None
) -> None:
    """Checks that a detector can be trained on a COCO file.

    Raises:
        InputError, InvalidOption: see :func:`check_dataset`.
    """
    if not facts.objects:
        raise InputError(f"{json_file}: has no object to train on, only crowds or no annotation")
    if needs_masks and facts.no_mask:
        raise InputError(f"{json_file}: {facts.no_mask}")
    if needs_masks and mask_format == "polygon" and facts.first_rle:
        legal = f"'bitmask' for {json_file}: {facts.first_rle}"
        raise InvalidOption("INPUT.MASK_FORMAT", mask_format, legal)


def check_testing(json_file: str, facts: CocoFacts, *, needs_masks: bool) -> None:
    """Checks that COCO's evaluation can read a COCO file; accepts a file without annotations.

    Raises:
        InputError: see :func:`check_dataset`.
    """
    problem = facts.untestable or (facts.no_crowd_mask if needs_masks else None)
    if problem:
        raise InputError(f"{json_file}: {problem}")


def check_same_classes(names: Iterable[str]) -> None:
    """Checks that the datasets of a training have the same classes in the same order.

    Raises:
        InputError: two datasets differ. The message names them and the first class that differs.
    """
    known = {}
    for name in names:
        facts = check_source(name)
        classes = facts.classes if facts else MetadataCatalog.get(name).get("thing_classes")
        if classes is not None:
            known[name] = list(classes)
    for name, classes in known.items():
        first, expected = next(iter(known.items()))
        if classes != expected:
            found = _differing(classes, expected)
            raise InputError(f"DATASETS.TRAIN: {name} has {found} of {first}, in the same order")


def check_some_label_maps(name: str, dicts: list[dict]) -> None:
    """Checks some evenly spread label maps; warns about classes that none of them contains.

    Raises:
        InputError: a label map cannot be read, or contains a label that is no class.
    """
    metadata = MetadataCatalog.get(name)
    classes, ignore_label = metadata.get("stuff_classes"), metadata.get("ignore_label", 255)
    labeled = [d for d in dicts if "sem_seg_file_name" in d]
    if not classes or not labeled:
        return
    chosen = np.unique(np.linspace(0, len(labeled) - 1, MAX_LABEL_MAPS).round().astype(int))
    found: set[int] = set()
    for image in (labeled[i] for i in chosen):
        file_name = image["sem_seg_file_name"]
        if os.path.isfile(image["file_name"]):  # or the loader says which image is missing
            check_label_file(file_name, image_size(image["file_name"]))
        labels = read_label_map(file_name)
        check_labels(labels, len(classes), ignore_label, file_name)
        found.update(np.unique(labels).tolist())
    _warn_of_absent_classes(name, classes, found, ignore_label, len(chosen), len(labeled))


def _warn_of_absent_classes(
    name: str, classes: list[str], found: set[int], ignore_label: int, looked: int, count: int
) -> None:
    absent = [c for i, c in enumerate(classes) if i not in found or i == ignore_label]
    if not absent or (looked < count and len(absent) < len(classes) - 1):
        return
    hint = ""
    if ignore_label in found:
        hint = f"; they have {ignore_label}, the ignore label: is it meant to be a class?"
    names = ", ".join(absent[:5]) + ", ..." * (len(absent) > 5)
    logger.warning(f"{name}: of {looked} label maps looked at, none has {names}{hint}")


def check_images(name: str) -> None:
    """Checks that the images of a COCO file exist; opens none.

    Raises:
        InputError: images are missing. The message names the first and counts all.
    """
    facts, root = check_source(name), MetadataCatalog.get(name).get("image_root")
    if facts is None or root is None or "://" in os.fspath(root):
        return
    folders = {}
    for folder in {os.path.dirname(file_name) for file_name in facts.file_names}:
        try:
            folders[folder] = set(os.listdir(os.path.join(root, folder)))
        except OSError:
            folders[folder] = set()
    missing = [
        file_name
        for file_name in facts.file_names
        if os.path.basename(file_name) not in folders[os.path.dirname(file_name)]
    ]
    if missing:
        first, count = os.path.join(root, missing[0]), len(facts.file_names)
        raise InputError(f"{first}: no such image, {len(missing)} of {count} are missing")


def _differing(found: list[str], expected: list[str]) -> str:
    """The first difference between two lists of classes, in words."""
    if len(found) != len(expected):
        return f"{len(found)} classes, but must have the {len(expected)}"
    number = next(
        i for i, pair in enumerate(zip(found, expected, strict=True)) if len(set(pair)) > 1
    )
    return f"{found[number]!r} for class {number}, but must have the {expected[number]!r}"
