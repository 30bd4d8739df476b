"""Predictions while a window slides over an image by single pixels."""

from typing import NamedTuple

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import detection_utils as utils
from detectron2.data import transforms as T
from detectron2.evaluation import inference_context
from tqdm import tqdm

from aa_detectron.config import CLASSIFIER
from aa_detectron.consistency.shifts import Offset, crop_size
from aa_detectron.data.images import read_image
from aa_detectron.data.pairs import ClassificationPairMapper, cut_crop, get_metadata
from aa_detectron.engine.launch import LoadedModel
from aa_detectron.errors import InputError

from .images import to_rgb
from .output import FigureFiles
from .sliding_animation import draw_frames, save_animation
from .sliding_classes import draw_probability, follow_class
from .sliding_instances import draw_counts, follow_instances
from .style import class_name


class Windows(NamedTuple):
    """An image, the positions of a window in it, and a model's input at each position."""

    image: np.ndarray
    """(H, W, 3) uint8 RGB."""
    offsets: list[Offset]
    items: list[dict]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the window in pixels."""
        return self.items[0]["height"], self.items[0]["width"]


def plot_window(models: dict[str, LoadedModel], files: dict[str, str], folder: str) -> list[str]:
    """Writes "window_<image>.png" and "window.json"; for detectors also "window_<image>.gif".

    Args:
        models: only classifiers or only detectors, by name, with windows of the same size.
        files: paths of images by their names, see :func:`~.images.find_images`.
        folder: folder of the figures.

    Returns:
        the paths of the files.

    Raises:
        InputError: the models differ in their windows or in the kind of their outputs, an image
            cannot be read or is too small, or the folder cannot be written.
    """
    out, numbers = FigureFiles(folder, "window"), {}
    for stem, path in files.items():
        windows = {name: cut_windows(cfg, path) for name, (cfg, _) in models.items()}
        first = next(iter(windows.values()))
        _check_same_windows(windows)
        outputs = {n: _predict(models[n], w, f"{stem}, {n}") for n, w in windows.items()}
        kind = _shared_kind(outputs)
        predictions = {name: [o[kind] for o in found] for name, found in outputs.items()}
        draw = _draw_detectors if kind == "instances" else _draw_classifiers
        cfg = next(iter(models.values())).cfg
        numbers[stem] = {"offsets": [list(offset) for offset in first.offsets]}
        numbers[stem] |= draw(out, stem, cfg, first, predictions)
    return out.save_numbers(numbers)


def cut_windows(cfg: CfgNode, path: str) -> Windows:
    """Cuts windows one pixel apart, of the size of the crops in the model's consistency metric.

    For a detector the windows are cut at original resolution, and each goes through the test
    pipeline; for a classifier they are cut from the resized center of the image.

    Raises:
        InputError: the file cannot be read as an image, or is too small for two windows.
    """
    image = read_image({"file_name": path}, cfg.INPUT.FORMAT)
    if cfg.MODEL.META_ARCHITECTURE == CLASSIFIER:
        mapper = ClassificationPairMapper(cfg)
        image = mapper.center(torch.as_tensor(image.transpose(2, 0, 1).copy()))
        image = image.permute(1, 2, 0).numpy()
        size = mapper.size, mapper.size
        shift, augmentations = mapper.resize - mapper.size, []
    else:
        height, width = image.shape[:2]
        size = crop_size(height, width, cfg.TEST.CONSISTENCY.MAX_SHIFT)
        shift, augmentations = image.shape[0] - size[0], utils.build_augmentation(cfg, False)
    if shift < 1:
        raise InputError(f"{path}: its {image.shape[0]}x{image.shape[1]} pixels leave no room")
    offsets = row_of_offsets(shift)
    items = [_window(image, offset, size, T.AugmentationList(augmentations)) for offset in offsets]
    return Windows(to_rgb(image, cfg.INPUT.FORMAT), offsets, items)


def row_of_offsets(shift: int) -> list[Offset]:
    """The (y, x) of windows one pixel apart, from left to right through the middle of an image.

    Args:
        shift: difference in pixels between the sides of the image and of the window.

    Returns:
        shift + 1 offsets.
    """
    return [(shift // 2, x) for x in range(shift + 1)]


def _window(
    image: np.ndarray, offset: Offset, size: tuple[int, int], augment: T.AugmentationList
) -> dict:
    resized = T.AugInput(cut_crop(image, offset, size))
    augment(resized)
    tensor = torch.as_tensor(resized.image.transpose(2, 0, 1).copy())
    return {"image": tensor, "height": size[0], "width": size[1]}


def _check_same_windows(windows: dict[str, Windows]) -> None:
    first, *others = windows
    for name in others:
        expected, found = windows[first], windows[name]
        if found.offsets != expected.offsets or found.image.shape != expected.image.shape:
            raise InputError(f"{name}: its windows differ from the windows of {first}")


def _shared_kind(outputs: dict[str, list[dict]]) -> str:
    """ "instances" or "logits", the kind of output that all models have."""
    for kind in ("instances", "logits"):
        if all(kind in found[0] for found in outputs.values()):
            return kind
    raise InputError(f'{", ".join(outputs)}: have neither all "logits" nor all "instances"')


def _predict(loaded: LoadedModel, windows: Windows, title: str) -> list[dict]:
    """The outputs for all windows, moved to the CPU."""
    with inference_context(loaded.model), torch.no_grad():
        return [
            {k: v.to("cpu") for k, v in loaded.model([item])[0].items() if hasattr(v, "to")}
            for item in tqdm(windows.items, desc=title, unit="window")
        ]


def _draw_classifiers(
    out: FigureFiles, stem: str, cfg: CfgNode, windows: Windows, logits: dict[str, list]
) -> dict:
    scores = {name: torch.stack(found).softmax(dim=1).numpy() for name, found in logits.items()}
    followed = follow_class(scores)
    names = get_metadata(cfg.DATASETS.TEST[0], "classes") if cfg.DATASETS.TEST else None
    followed["class_name"] = class_name(followed["class"], names)
    figure = draw_probability(windows.image, windows.size, followed, windows.offsets)
    out.save_figure(stem, figure)
    return followed


def _draw_detectors(
    out: FigureFiles, stem: str, cfg: CfgNode, windows: Windows, instances: dict[str, list]
) -> dict:
    threshold = cfg.TEST.CONSISTENCY.SCORE_THRESH
    found = {
        name: follow_instances(outputs, windows.offsets, threshold)
        for name, outputs in instances.items()
    }
    out.save_figure(stem, draw_counts(found, windows.offsets))
    models = {name: (instances[name], found[name]) for name in instances}
    save_animation(out.add(stem, ".gif"), draw_frames(windows.image, models, windows.offsets))
    return {"models": found}
