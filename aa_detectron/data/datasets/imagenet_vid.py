"""Frames of ImageNet-VID (ILSVRC 2015), for classifiers that were trained on ImageNet-1k.

imagenet_vid.json lists the 30 classes in the order of the development kit. "imagenet_1k" lists the
ImageNet-1k classes whose synset in WordNet 3.0 (Copyright 2006 by Princeton University) is the VID
class's synset or a descendant of it: 288 classes in all, none of them in two VID classes.
ImageNet-Vid-Robust (Shankar et al., ICCV 2021) has the same mapping.
"""

import functools
import os
import xml.etree.ElementTree as ET

from aa_detectron.errors import InputError

from .imagenet import read_class_list
from .register import register

CLASSES = read_class_list("imagenet_vid.json")
"""{"wnid", "name", "imagenet_1k": indices of ImageNet-1k's classes} of each class, by index."""

FIFTHS = (1, 2, 3)
"""Places of the three frames in a sequence, in fifths of its length."""


def load_imagenet_vid(folder: str, split: str) -> list[dict]:
    """Dataset dicts of three frames per sequence, near 1/5, 2/5 and 3/5 of the sequence.

    In a sequence of n frames they have the indices n // 5, 2n // 5 and 3n // 5, counted from 0. A
    frame without annotated objects is replaced by the next frame that has some, or skipped where no
    such frame follows. No frame is used twice, so sequences of less than 4 frames give fewer.

    Args:
        folder: path of ILSVRC2015, with Annotations/VID/<split> and Data/VID/<split>. In them,
            frames are <sequence>/<number>.xml and .JPEG, or one folder deeper, as in training.
        split: "train" or "val".

    Returns:
        {"file_name", "image_id": path relative to Data/VID/<split> with forward slashes,
        "vid_classes": sorted indices into :data:`CLASSES` of the annotated classes} for each frame,
        sorted by path.

    Raises:
        InputError: the folder has no sequences; an annotation is no whole XML or has another
            class; or a frame has no image.
    """
    annotations = os.path.join(folder, "Annotations", "VID", split)
    images = os.path.join(folder, "Data", "VID", split)
    sequences = find_sequences(annotations)
    if not sequences:
        expected = os.path.join(annotations, "<sequence>", "000000.xml")
        raise InputError(f"{annotations}: found no sequence there, expected {expected}")
    dicts = []
    for sequence, frames in sequences.items():
        paths = [os.path.join(annotations, sequence, f"{frame}.xml") for frame in frames]
        for index, classes in choose_frames(paths).items():
            file_name = os.path.join(images, sequence, f"{frames[index]}.JPEG")
            if not os.path.isfile(file_name):
                raise InputError(f"{file_name}: no such frame, though {paths[index]} is there")
            image_id = f"{sequence}/{frames[index]}.JPEG".replace(os.sep, "/")
            dicts.append({"file_name": file_name, "image_id": image_id, "vid_classes": classes})
    return dicts


def find_sequences(annotations: str) -> dict[str, list[str]]:
    """{path relative to ``annotations``: sorted names of frames} of each sequence, sorted by path.

    The names have no suffix.
    """
    sequences: dict[str, list[str]] = {}
    for path, _, files in os.walk(annotations):
        frames = sorted(os.path.splitext(f)[0] for f in files if f.endswith(".xml"))
        if frames:
            sequences[os.path.relpath(path, annotations)] = frames
    return dict(sorted(sequences.items()))


def choose_frames(paths: list[str]) -> dict[int, list[int]]:
    """{index: annotated classes} of the frames that represent a sequence.

    Args:
        paths: annotation files of all frames of the sequence, in order.
    """
    chosen: dict[int, list[int]] = {}
    for fifth in FIFTHS:
        for index in range(fifth * len(paths) // 5, len(paths)):
            classes = read_classes(paths[index])
            if classes:
                chosen[index] = classes
                break
    return dict(sorted(chosen.items()))


def read_classes(path: str) -> list[int]:
    """Sorted indices of the classes in an annotation file (XML), without repeats.

    Raises:
        InputError: the file is no whole XML, or names another class.
    """
    try:
        names = ET.parse(path).findall("object/name")
    except (OSError, ET.ParseError, LookupError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as XML ({error})") from None
    indices = {c["wnid"]: i for i, c in enumerate(CLASSES)}
    found = {(name.text or "").strip() for name in names}
    unknown = sorted(found.difference(indices))
    if unknown:
        legal = f"one of ImageNet-VID's {len(CLASSES)} wnids"
        raise InputError(f"{path}: found an object {unknown[0]!r}, expected {legal}")
    return sorted(indices[wnid] for wnid in found)


def register_imagenet_vid(root: str) -> None:
    """Registers ``imagenet_vid_{train,val}`` in ``root``/ILSVRC2015.

    The metadata has "classes" (names) and "wnids" of the 30 classes, and "imagenet_1k": a list of
    indices for each class. No file is read before loading. For the errors of loading see
    :func:`load_imagenet_vid`.
    """
    folder = os.path.join(root, "ILSVRC2015")
    for split in ("train", "val"):
        register(
            f"imagenet_vid_{split}",
            functools.partial(load_imagenet_vid, folder, split),
            image_root=os.path.join(folder, "Data", "VID", split),
            evaluator_type="imagenet_vid",
            classes=[c["name"] for c in CLASSES],
            wnids=[c["wnid"] for c in CLASSES],
            imagenet_1k=[c["imagenet_1k"] for c in CLASSES],
        )
