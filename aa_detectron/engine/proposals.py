"""Checks of precomputed proposals (``MODEL.LOAD_PROPOSALS``), which Detectron2 unpickles."""

import numpy as np
from detectron2.config import CfgNode
from detectron2.structures import BoxMode

from aa_detectron.checkpoint.pickled import ArrayUnpickler
from aa_detectron.data.datasets.check import load_dataset
from aa_detectron.errors import InputError, InvalidOption


class _ProposalUnpickler(ArrayUnpickler):
    """Also accepts :class:`BoxMode`, a class in Detectron2's files that runs no code."""

    def find_class(self, module: str, name: str) -> object:
        if (module, name) == ("detectron2.structures.boxes", "BoxMode"):
            return BoxMode
        return super().find_class(module, name)


def check_proposals(cfg: CfgNode, splits: tuple[str, ...]) -> None:
    """Reads the files in ``DATASETS.PROPOSAL_FILES_*`` without running code in them.

    Args:
        cfg: the whole config.
        splits: "TRAIN", "TEST" or both.

    Raises:
        InvalidOption: a number of files that differs from the number of datasets.
        InputError: a file that cannot be read, contains more than arrays, or lacks an image.
    """
    if not cfg.MODEL.LOAD_PROPOSALS:
        return
    for split in splits:
        key, names = f"PROPOSAL_FILES_{split}", cfg.DATASETS[split]
        files = cfg.DATASETS[key]
        if len(files) != len(names):
            legal = f"{len(names)} files, one for each dataset of DATASETS.{split}"
            raise InvalidOption(f"DATASETS.{key}", files, legal)
        for name, path in zip(names, files, strict=True):
            _check_ids(_read(path), path, name)


def _read(path: str) -> dict[str, object]:
    try:
        with open(path, "rb") as file:
            content = _ProposalUnpickler(file, encoding="latin1").load()
    except Exception as error:  # a broken pickle can raise any exception
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise InputError(f"{path}: cannot be read as proposals ({reason})") from error
    if isinstance(content, dict):
        old_names = {"indexes": "ids", "scores": "objectness_logits"}  # keys of Detectron's files
        content = {old_names.get(key, key): value for key, value in content.items()}
        _check_lists(content, path)
        return content
    raise InputError(f"{path}: holds a {type(content).__name__}, but must hold a dict of proposals")


def _check_lists(content: dict, path: str) -> None:
    keys = ("ids", "boxes", "objectness_logits")
    lists = [content[key] for key in keys if isinstance(content.get(key), list | np.ndarray)]
    if len(lists) < len(keys):
        raise InputError(f"{path}: must have lists {', '.join(keys)}")
    ids, boxes, scores = lists
    if not len(ids) == len(boxes) == len(scores):
        lengths = ", ".join(f"{len(x)} {key}" for x, key in zip(lists, keys, strict=True))
        raise InputError(f"{path}: has {lengths}, but must have as many of each")
    for image, its_boxes, its_scores in zip(ids, boxes, scores, strict=True):
        if np.shape(its_scores) != (len(its_boxes),) or np.shape(its_boxes)[1:] != (4,):
            shapes = f"boxes of {np.shape(its_boxes)} and logits of {np.shape(its_scores)}"
            raise InputError(f"{path}: image {image} has {shapes}, but must have N x 4 and N")


def _check_ids(content: dict, path: str, name: str) -> None:
    known = set(map(str, content["ids"]))
    for image in load_dataset(name):
        if str(image.get("image_id")) not in known:
            raise InputError(
                f"{path}: has no proposals for image {image.get('image_id')} of {name}"
            )
