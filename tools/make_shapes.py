#!/usr/bin/env python
"""Make Shapes, the instance segmentation data set that comes with aa_detectron as a program."""

import argparse
import os
import signal
import sys

from aa_detectron.data.datasets.shapes import SOURCES, Options, make_shapes
from aa_detectron.errors import InputError, InvalidOption


def parse_size(text):
    """Height and width of a size such as "96" or "96x160"."""
    try:
        sides = [int(side) for side in text.lower().split("x")]
    except ValueError:
        sides = []
    if len(sides) not in (1, 2):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a side nor HEIGHTxWIDTH")
    return sides[0], sides[-1]


def build_parser():
    defaults = Options()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    root = os.getenv("DETECTRON2_DATASETS", "datasets")
    parser.add_argument("--root", default=root, help="the data set goes to ROOT/shapes")
    parser.add_argument("--train", type=int, default=defaults.train, help="training images")
    parser.add_argument("--val", type=int, default=defaults.val, help="validation images")
    size = f"{defaults.height}x{defaults.width}"
    parser.add_argument("--size", type=parse_size, default=size, help="side or HEIGHTxWIDTH in px")
    parser.add_argument("--seed", type=int, default=defaults.seed, help="of all chance")
    parser.add_argument(
        "--ground", choices=SOURCES, default=defaults.ground, help="what the ground is made of"
    )
    parser.add_argument(
        "--texture", choices=SOURCES, default=defaults.texture, help="what objects are covered with"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument(
        "--force", action="store_true", help="replace a data set made with other options"
    )
    return parser


def main(argv=None):
    """Run the tool. Returns the exit status; ends the process with one line on an error."""
    args = build_parser().parse_args(argv)
    root = os.path.expanduser(args.root)
    folder = os.path.join(root, "shapes")
    try:
        height, width = args.size
        options = Options(args.train, args.val, height, width, args.seed, args.ground, args.texture)
        made = make_shapes(root, options, args.workers, args.force, progress=True)
    except (InputError, InvalidOption) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("make_shapes: interrupted, nothing was written", file=sys.stderr)
        return 130
    print(f"wrote {folder}" if made else f"{folder} is as asked for, nothing to do")
    return 0


if __name__ == "__main__":
    # Ended politely, clean up as if interrupted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
