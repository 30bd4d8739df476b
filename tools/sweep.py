#!/usr/bin/env python
"""Measures a Detectron2 model at every shift of a sweep, with or without a remedy at test time.

The crops are not resized, because the phase gap needs the network's own pixels. --mosaic joins
images, so that small images have room for shifts by the whole stride of the network. The records
are plotted by `aa-consistency plot`.
"""

import argparse
import itertools
from collections.abc import Callable, Iterator

import numpy as np

from aa_detectron.consistency import average_shifts, evaluate_sweep, stride_aligned
from aa_detectron.consistency.crops import Predict
from aa_detectron.consistency.shift_kinds import SHIFT_KINDS
from aa_detectron.consistency.sources.images import open_images
from aa_detectron.consistency.sweep.groups import DIRECTIONS
from aa_detectron.data.datasets.check import load_dataset
from aa_detectron.engine import own_parts
from aa_detectron.engine.launch import load_model
from aa_detectron.errors import InputError, check_from_1, exit_on_bad_input
from aa_detectron.utils.files import check_can_be_written

# Imported first: aa_detectron patches the installed Detectron2, and imports it without warnings.
# isort: split
import torch
from detectron2.config import CfgNode
from detectron2.data import detection_utils as utils
from PIL import Image
from torch import nn

REMEDIES: dict[str, Callable[[Predict, int], Predict]] = {
    "aligned": stride_aligned,
    "average": average_shifts,
}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config-file", required=True, metavar="FILE")
    parser.add_argument(
        "--images", metavar="FOLDER|COCO_JSON|VIDEO", help="(default: those of DATASETS.TEST)"
    )
    parser.add_argument("--output", required=True, metavar="FILE", help="JSON of the records")
    parser.add_argument("--number", type=int, metavar="N", help="the first N images only")
    parser.add_argument("--mosaic", type=int, default=1, metavar="K", help="join K x K images")
    parser.add_argument("--max-shift", type=int, default=64, metavar="S")
    parser.add_argument(
        "--stride", type=int, default=32, help="of the phase gap: the total stride or a divisor"
    )
    parser.add_argument("--direction", choices=DIRECTIONS, default="diagonal")
    parser.add_argument("--shifts", choices=SHIFT_KINDS, default="crop", help="kind of shift")
    parser.add_argument("--score-thresh", type=float, default=0.5)
    parser.add_argument("--remedy", choices=REMEDIES, help="wrapper around the model")
    parser.add_argument(
        "--total-stride", type=int, default=32, help="of the network, for the remedy"
    )
    own_parts.add_arguments(parser)
    parser.add_argument(
        "opts", nargs=argparse.REMAINDER, help="config options: MODEL.WEIGHTS model_final.pth ..."
    )
    return parser.parse_args()


def predictor(cfg: CfgNode, model: nn.Module) -> Predict:
    """A model as a function of RGB crops, without the resizing of the test pipeline."""

    @torch.no_grad()
    def predict(crops: list[np.ndarray]) -> list[dict]:
        return model([_as_input(crop, cfg.INPUT.FORMAT) for crop in crops])

    return predict


def _as_input(crop: np.ndarray, image_format: str) -> dict:
    pixels = utils.convert_PIL_to_numpy(Image.fromarray(crop), image_format)
    image = torch.as_tensor(pixels.transpose(2, 0, 1).copy())
    return {"image": image, "height": crop.shape[0], "width": crop.shape[1]}


def mosaics(images: Iterator[np.ndarray], side: int) -> Iterator[np.ndarray]:
    """Joins ``side`` x ``side`` images of one size; left-over images are not used.

    Raises:
        InputError: images of different sizes, or fewer than ``side`` x ``side`` images.
    """
    tiles: list[np.ndarray] = []
    joined = 0
    for image in images:
        if tiles and image.shape != tiles[0].shape:
            raise InputError(f"--mosaic: images of {image.shape} and {tiles[0].shape} pixels")
        tiles.append(image)
        if len(tiles) == side * side:
            rows = [np.concatenate(tiles[i : i + side], axis=1) for i in range(0, side**2, side)]
            yield np.concatenate(rows)
            tiles = []
            joined += 1
    if tiles and not joined:
        needed = f"--mosaic {side} needs {side**2} or more"
        raise InputError(f"--images: found {len(tiles)} images, but {needed}")


def settings_of(args: argparse.Namespace, cfg: CfgNode) -> dict:
    """What determines the records besides the options of the sweep, for the file."""
    return {
        "config_file": args.config_file,
        "opts": args.opts,
        "weights": cfg.MODEL.WEIGHTS,
        "images": args.images or list(cfg.DATASETS.TEST),
        "number": args.number,
        "mosaic": args.mosaic,
        "remedy": args.remedy,
        "total_stride": args.total_stride if args.remedy else None,
    }


def main() -> None:
    args = parse_arguments()
    check_from_1("--mosaic", args.mosaic)
    if args.number is not None:
        check_from_1("--number", args.number)
    check_can_be_written(args.output)
    own_parts.register(args)
    cfg, model = load_model(args.config_file, opts=args.opts)
    images = args.images or [
        image["file_name"] for name in cfg.DATASETS.TEST for image in load_dataset(name)
    ]
    items = itertools.islice(open_images(images), args.number)
    predict = predictor(cfg, model)
    if args.remedy:
        predict = REMEDIES[args.remedy](predict, args.total_stride)
    result = evaluate_sweep(
        predict,
        mosaics((item.read() for item in items), args.mosaic),
        max_shift=args.max_shift,
        stride=args.stride,
        direction=args.direction,
        shifts=args.shifts,
        score_thresh=args.score_thresh,
    )
    result.settings |= settings_of(args, cfg)
    result.save(args.output)
    print(result)


if __name__ == "__main__":
    with exit_on_bad_input():
        main()
