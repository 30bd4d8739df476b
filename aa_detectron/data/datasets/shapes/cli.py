"""Makes Shapes, the datasets that come with aa_detectron as a program."""

import argparse
import dataclasses
import os
import signal
import sys

from aa_detectron.errors import InputError, InvalidOption

from . import DEFAULTS, FOLDERS, SOURCES, make_shapes


def parse_size(text: str) -> tuple[int, int]:
    """Height and width of a size such as "96" or "96x160"."""
    try:
        sides = [int(side) for side in text.lower().split("x")]
    except ValueError:
        sides = []
    if len(sides) not in (1, 2):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a side nor HEIGHTxWIDTH")
    return sides[0], sides[-1]


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    scenes, singles = DEFAULTS["scenes"], DEFAULTS["classification"]

    def default(name: str) -> str:
        return f"{getattr(scenes, name)}, for classification {getattr(singles, name)}"

    root = os.getenv("DETECTRON2_DATASETS", "datasets")
    parser.add_argument(
        "--task",
        choices=list(FOLDERS),
        default="scenes",
        help="scenes of several objects with instances and label maps (default), or images of a "
        "single object in class folders",
    )
    folders = " or ".join(f"ROOT/{folder}" for folder in FOLDERS.values())
    parser.add_argument("--root", default=root, help=f"goes to {folders} (default {root})")
    parser.add_argument("--train", type=int, help=f"training images ({default('train')})")
    parser.add_argument("--val", type=int, help=f"validation images ({default('val')})")
    parser.add_argument(
        "--size", type=parse_size, help=f"side or HEIGHTxWIDTH in px ({default('height')})"
    )
    parser.add_argument("--seed", type=int, default=scenes.seed, help="of everything random")
    parser.add_argument(
        "--ground", choices=SOURCES, default=scenes.ground, help="what the ground is made of"
    )
    parser.add_argument(
        "--texture", choices=SOURCES, default=scenes.texture, help="what objects are covered with"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument(
        "--force", action="store_true", help="replace a dataset made with other options"
    )
    return parser


def main() -> None:
    """The command ``aa-make-shapes``, and tools/make_shapes.py."""
    # Ended politely, clean up as if interrupted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(run())


def run(argv: list[str] | None = None) -> int:
    """Makes what the arguments ask for.

    Returns the exit status; ends the process with one line on an error.
    """
    args = build_parser().parse_args(argv)
    root = os.path.expanduser(args.root)
    folder = os.path.join(root, FOLDERS[args.task])
    height, width = args.size or (None, None)
    given = {"train": args.train, "val": args.val, "height": height, "width": width}
    given |= {"seed": args.seed, "ground": args.ground, "texture": args.texture}
    try:
        chosen = {name: value for name, value in given.items() if value is not None}
        options = dataclasses.replace(DEFAULTS[args.task], **chosen)
        made = make_shapes(root, options, args.workers, args.force, progress=True)
    except (InputError, InvalidOption) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("make_shapes: interrupted, nothing was written", file=sys.stderr)
        return 130
    print(f"wrote {folder}" if made else f"{folder} is as asked for, nothing to do")
    return 0


if __name__ == "__main__":
    main()
