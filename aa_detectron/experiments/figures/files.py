"""The paper's figures of trained models, drawn from image files and checkpoints."""

import importlib.util
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import detection_utils as utils
from detectron2.data import transforms as T
from detectron2.evaluation import inference_context
from torch import nn
from tqdm import tqdm

from aa_detectron.checkpoint.checkpointer import AACheckpointer
from aa_detectron.config import CLASSIFIER
from aa_detectron.consistency.shifts import Offset, crop_size
from aa_detectron.data.classification import ClassificationPairMapper
from aa_detectron.data.images import read_image
from aa_detectron.data.mappers import build_mapper
from aa_detectron.data.pairs import cut_crop, get_metadata
from aa_detectron.engine.launch import load_config
from aa_detectron.engine.trainer import Trainer
from aa_detectron.errors import InputError, InvalidOption
from aa_detectron.experiments.figures import (
    aliasing,
    channel_groups,
    filter_variance,
    sliding_instances,
    sliding_window,
)
from aa_detectron.experiments.figures.recording import adaptive_filters
from aa_detectron.experiments.figures.style import save_figure
from aa_detectron.utils.files import write_json

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee")
"""In scikit-image's wheel; in the public domain or under CC0."""


class Trained(NamedTuple):
    """A model and its config."""

    cfg: CfgNode
    model: nn.Module


def load_model(config_file: str, weights: str, opts: Iterable[str] = ()) -> Trained:
    """A model in evaluation mode, from its config and checkpoint.

    Raises:
        InputError, InvalidOption: a file, key or value that is not there or does not fit.
    """
    opts = [*opts, "MODEL.WEIGHTS", weights]
    cfg = load_config(config_file, opts, eval_only=True)
    model = Trainer.build_model(cfg).eval()
    checkpointer = AACheckpointer(model, strict=True, input_format=cfg.INPUT.FORMAT)
    checkpointer.load(cfg.MODEL.WEIGHTS)
    return Trained(cfg, model)


def find_images(arguments: list[str]) -> dict[str, str]:
    """The files by their names without folder and suffix.

    Args:
        arguments: paths, or names of :data:`PHOTOGRAPHS`.

    Raises:
        InputError: a path that is no file, or two files of one name.
    """
    files = {}
    for argument in arguments:
        path = argument
        if argument in PHOTOGRAPHS and not os.path.exists(argument):
            path = _photograph(argument)
        if not os.path.isfile(path):
            names = ", ".join(PHOTOGRAPHS)
            raise InputError(f"{argument}: is neither a file nor a photograph ({names})")
        stem = Path(path).stem
        if stem in files:
            raise InputError(
                f"{argument}: its figures would have the names of those of {files[stem]}"
            )
        files[stem] = path
    return files


def _photograph(name: str) -> str:
    package = importlib.util.find_spec("skimage")
    if package is None:
        raise InputError(f"{name}: comes with scikit-image, which is not installed")
    return os.path.join(package.submodule_search_locations[0], "data", f"{name}.png")


def model_input(cfg: CfgNode, path: str) -> dict:
    """What a model is given in testing for an image file."""
    return build_mapper(cfg, is_train=False)({"file_name": path})


def shown_image(cfg: CfgNode, item: dict) -> np.ndarray:
    """A model's input as (h, w, 3) uint8 RGB."""
    return _rgb(item["image"].permute(1, 2, 0).numpy(), cfg)


def _rgb(image: np.ndarray, cfg: CfgNode) -> np.ndarray:
    return np.asarray(utils.convert_image_to_rgb(image, cfg.INPUT.FORMAT), np.uint8)


def plot_aliasing(files: dict[str, str], folder: str, noise: float, seed: int = 0) -> list[str]:
    """ "aliasing_<image>.png" and "aliasing.json"; see :mod:`.aliasing`.

    Args:
        files: of :func:`find_images`.
        folder: for the pictures.
        noise: its standard deviation, 0 or more; black is 0, white 1.
        seed: of the noise and the fit.

    Returns:
        the paths.
    """
    if not noise >= 0:
        raise InvalidOption("noise", noise, "0 or more")
    out, numbers = _Output(folder, "aliasing"), {}
    for stem, path in files.items():
        image = read_image({"file_name": path}, "RGB")
        if min(image.shape[:2]) < 16:
            raise InputError(f"{path}: is smaller than 16 x 16 pixels")
        made = aliasing.downsample(image, noise, seed)
        numbers[stem] = {"noise": noise, "sigma": made["sigma"], "psnr": made["psnr"]}
        out.figure(stem, aliasing.draw_downsampled(made))
    return out.numbers(numbers)


def plot_variance(models: dict[str, Trained], files: dict[str, str], folder: str) -> list[str]:
    """ "variance_<image>.png" and "variance.json"; see
    :mod:`aa_detectron.experiments.figures.filter_variance`.

    Args:
        models: by name; those with adaptive filters.
        files: of :func:`find_images`.
        folder: for the pictures.

    Returns:
        the paths.

    Raises:
        InputError: a model without adaptive filters.
    """
    _check_filters(models)
    out, numbers = _Output(folder, "variance"), {}
    for stem, path in files.items():
        items = {name: model_input(cfg, path) for name, (cfg, _) in models.items()}
        maps = {n: filter_variance.variance_maps(models[n].model, items[n]) for n in items}
        images = {name: shown_image(models[name].cfg, item) for name, item in items.items()}
        numbers[stem] = {
            name: {
                place: filter_variance.describe(maps[name][place], images[name], layer.kernel_size)
                for place, layer in adaptive_filters(models[name].model.backbone).items()
            }
            for name in models
        }
        out.figure(stem, filter_variance.draw_variance(images, maps))
    return out.numbers(numbers)


def plot_groups(models: dict[str, Trained], files: dict[str, str], folder: str) -> list[str]:
    """ "groups.png" and "groups.json", of all images together; see
    :mod:`aa_detectron.experiments.figures.channel_groups`.

    Args, Returns, Raises: as for :func:`plot_variance`.
    """
    _check_filters(models)
    out, found, numbers = _Output(folder, "groups"), {}, {}
    for name, (cfg, model) in models.items():
        items = (model_input(cfg, p) for p in tqdm(files.values(), desc=name, unit="image"))
        found[name] = {
            place: (correlation, channel_groups.compare_groups(correlation, groups))
            for place, (correlation, groups) in channel_groups.group_correlations(
                model, items
            ).items()
        }
        numbers[name] = {place: compared for place, (_, compared) in found[name].items()}
    out.figure("", channel_groups.draw_correlation(found))
    return out.numbers(numbers)


def _check_filters(models: dict[str, Trained]) -> None:
    for name, (_, model) in models.items():
        try:
            adaptive_filters(model.backbone)
        except InputError as error:
            raise InputError(f"{name}: {error}") from None


class Windows(NamedTuple):
    """An image, positions of a window on it, and what a model is given at each."""

    image: np.ndarray
    """(H, W, 3) uint8 RGB."""
    offsets: list[Offset]
    items: list[dict]


def cut_windows(cfg: CfgNode, path: str) -> Windows:
    """Windows one pixel apart, of the size of the crops in the model's metric of consistency.

    For a detector they are cut at original resolution, and each goes through the test pipeline;
    for a classifier they are cut from the resized centre.

    Raises:
        InputError: a file that is no image, or too small for two windows.
    """
    image = read_image({"file_name": path}, cfg.INPUT.FORMAT)
    if cfg.MODEL.META_ARCHITECTURE == CLASSIFIER:
        mapper = ClassificationPairMapper(cfg)
        image = mapper.centre(torch.as_tensor(image.transpose(2, 0, 1).copy()))
        image = image.permute(1, 2, 0).numpy()
        size = mapper.size, mapper.size
        shift, augmentations = mapper.resize - mapper.size, []
    else:
        size = crop_size(*image.shape[:2], cfg.TEST.CONSISTENCY.MAX_SHIFT)
        shift, augmentations = image.shape[0] - size[0], utils.build_augmentation(cfg, False)
    if shift < 1:
        raise InputError(f"{path}: its {image.shape[0]}x{image.shape[1]} pixels leave no room")
    offsets = sliding_window.row_of_offsets(shift)
    items = [_window(image, offset, size, T.AugmentationList(augmentations)) for offset in offsets]
    return Windows(_rgb(image, cfg), offsets, items)


def _window(image: np.ndarray, offset: Offset, size: tuple[int, int], augment) -> dict:
    resized = T.AugInput(cut_crop(image, offset, size))
    augment(resized)
    tensor = torch.as_tensor(resized.image.transpose(2, 0, 1).copy())
    return {"image": tensor, "height": size[0], "width": size[1]}


def plot_window(models: dict[str, Trained], files: dict[str, str], folder: str) -> list[str]:
    """ "window_<image>.png" and "window.json"; for detectors also "window_<image>.gif".

    See :mod:`aa_detectron.experiments.figures.sliding_window` and ``sliding_instances``.

    Args:
        models: by name; all classifiers or all detectors, with windows of one size.
        files: of :func:`find_images`.
        folder: for the pictures.

    Returns:
        the paths.

    Raises:
        InputError: models that cannot be compared, or give neither logits nor instances.
    """
    out, numbers = _Output(folder, "window"), {}
    for stem, path in files.items():
        windows = {name: cut_windows(cfg, path) for name, (cfg, _) in models.items()}
        first = next(iter(windows.values()))
        for name, other in windows.items():
            if other.offsets != first.offsets or other.image.shape != first.image.shape:
                raise InputError(f"{name}: its windows are not those of {next(iter(windows))}")
        outputs = {n: _predict(models[n], w, f"{stem}, {n}") for n, w in windows.items()}
        kinds = {kind for o in outputs.values() for kind in ("logits", "instances") if kind in o[0]}
        shared = [k for k in sorted(kinds) if all(k in o[0] for o in outputs.values())]
        if not shared:
            raise InputError(f'{", ".join(models)}: have neither all "logits" nor all "instances"')
        cfg = next(iter(models.values())).cfg
        outputs = {name: [o[shared[0]] for o in found] for name, found in outputs.items()}
        draw = _window_of_detectors if shared[0] == "instances" else _window_of_classifiers
        offsets = [list(offset) for offset in first.offsets]
        numbers[stem] = {"offsets": offsets} | draw(out, stem, cfg, first, outputs)
    return out.numbers(numbers)


def _predict(trained: Trained, windows: Windows, title: str) -> list[dict]:
    """The outputs for all windows, on the CPU."""
    with inference_context(trained.model), torch.no_grad():
        return [
            {k: v.to("cpu") for k, v in trained.model([item])[0].items() if hasattr(v, "to")}
            for item in tqdm(windows.items, desc=title, unit="window")
        ]


def _window_of_classifiers(out: "_Output", stem: str, cfg, windows: Windows, outputs) -> dict:
    scores = {name: torch.stack(o).softmax(dim=1).numpy() for name, o in outputs.items()}
    followed = sliding_window.follow_class(scores)
    names = get_metadata(cfg.DATASETS.TEST[0], "classes") if cfg.DATASETS.TEST else None
    followed["class_name"] = str(names[followed["class"]] if names else followed["class"])
    size = windows.items[0]["height"], windows.items[0]["width"]
    figure = sliding_window.draw_probability(windows.image, size, followed, windows.offsets)
    out.figure(stem, figure)
    return followed


def _window_of_detectors(out: "_Output", stem: str, cfg, windows: Windows, outputs) -> dict:
    threshold = cfg.TEST.CONSISTENCY.SCORE_THRESH
    found = {
        name: sliding_instances.follow_instances(o, windows.offsets, threshold)
        for name, o in outputs.items()
    }
    out.figure(stem, sliding_instances.draw_counts(found, windows.offsets))
    both = {name: (outputs[name], found[name]) for name in outputs}
    frames = sliding_instances.draw_frames(windows.image, both, windows.offsets)
    sliding_instances.save_animation(out.path(stem, ".gif"), frames)
    return {"models": found}


class _Output:
    """Names the files of a figure, and remembers what has been written."""

    def __init__(self, folder: str, name: str):
        self.folder, self.name, self.written = folder, name, []

    def path(self, stem: str, suffix: str) -> str:
        name = f"{self.name}_{stem}" if stem else self.name
        self.written.append(os.path.join(self.folder, name + suffix))
        return self.written[-1]

    def figure(self, stem: str, figure) -> None:
        save_figure(self.path(stem, ".png"), figure)

    def numbers(self, numbers: dict) -> list[str]:
        """Writes the JSON, the last file, and returns the paths of all."""
        write_json(self.path("", ".json"), numbers)
        return self.written
