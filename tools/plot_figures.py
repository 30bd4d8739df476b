#!/usr/bin/env python
"""Draws the figures of the paper from images and, except for "aliasing", checkpoints."""

import argparse
import os

from aa_detectron.engine import own_parts
from aa_detectron.engine.launch import LoadedModel, load_model
from aa_detectron.errors import InputError, exit_on_bad_input
from aa_detectron.experiments.figures.aliasing import plot_aliasing
from aa_detectron.experiments.figures.channel_groups import plot_groups
from aa_detectron.experiments.figures.filter_variance import plot_variance
from aa_detectron.experiments.figures.images import PHOTOGRAPHS, find_images
from aa_detectron.experiments.figures.sliding_window import plot_window

FIGURES = {
    "aliasing": "a noisy image at a quarter of its size: without a filter, with a Gaussian and "
    "with an adaptive filter, both fitted to the image",
    "window": "predictions while a window slides over the image, pixel by pixel: a classifier's "
    "probability, or a detector's instances (with an animation)",
    "variance": "how much detail the learned filters keep, over the image",
    "groups": "correlation of channels within groups and across",
}
PLOTS = {"window": plot_window, "variance": plot_variance, "groups": plot_groups}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    subparsers = parser.add_subparsers(dest="figure", required=True, metavar="FIGURE")
    for name, text in FIGURES.items():
        figure = subparsers.add_parser(name, help=text, description=text)
        photographs = ", ".join(PHOTOGRAPHS)
        figure.add_argument(
            "--images",
            nargs="+",
            required=True,
            metavar="FILE",
            help=f"paths of images, or names of scikit-image's photographs: {photographs}",
        )
        figure.add_argument("--output", required=True, metavar="DIR", help="folder for the figures")
        if name == "aliasing":
            figure.add_argument(
                "--noise",
                type=float,
                default=0.1,
                help="standard deviation of the noise; black is 0, white is 1",
            )
            continue
        figure.add_argument(
            "--model",
            nargs=3,
            action="append",
            required=True,
            metavar=("NAME", "CONFIG", "WEIGHTS"),
            help="name in the figure, config and checkpoint of a model; may be repeated",
        )
        figure.add_argument("--opts", nargs="+", default=[], help="config options: KEY VALUE ...")
        own_parts.add_arguments(figure)
    return parser.parse_args()


def load_models(args: argparse.Namespace) -> dict[str, LoadedModel]:
    models = {}
    for name, config_file, weights in args.model:
        if name in models:
            raise InputError(f"--model {name}: two models have this name")
        models[name] = load_model(config_file, weights, args.opts)
    return models


def main() -> None:
    args = parse_arguments()
    own_parts.register(args)
    files = find_images(args.images)
    if args.figure == "aliasing":
        written = plot_aliasing(files, args.output, args.noise)
    else:
        written = PLOTS[args.figure](load_models(args), files, args.output)
    for path in written:
        print(os.path.relpath(path))


if __name__ == "__main__":
    with exit_on_bad_input():
        main()
