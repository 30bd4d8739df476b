"""Converts the weights of a ResNet to a Detectron2 checkpoint, and prints what was found.

Files may have the names of torchvision, timm, Zhang (antialiased-cnns), Zou (classification and
maskrcnn-benchmark) or Detectron2 (including the .pkl files of MSRA and FAIR), or be checkpoints
that were trained here. Files of timm's resnetblur50 and resnetaa50 have the same names as files
of its resnet50, and are converted as such.

No code in the files is run. This package's trainer loads all of these files without a conversion;
the converted file is for any Detectron2.
"""

import argparse

from aa_detectron.errors import exit_on_bad_input

from .conversion import convert, options, write_checkpoint
from .reading import read_checkpoint


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = ".pth, .pt, .tar (of PyTorch), .safetensors, .pkl"
    parser.add_argument("input", metavar="IN", help=f"file to convert: {kinds}")
    parser.add_argument("output", metavar="OUT", help="checkpoint to write, .pth")
    return parser.parse_args()


def main() -> None:
    """Runs the command ``aa-convert-weights``, which is also tools/convert_weights.py."""
    args = parse_arguments()
    with exit_on_bad_input():
        run(args)


def run(args: argparse.Namespace) -> None:
    converted = convert(read_checkpoint(args.input), args.input)
    write_checkpoint(converted, args.output)
    depth = converted.notes["config"]["MODEL.RESNETS.DEPTH"]
    print(f"found ResNet-{depth}, names of {converted.notes['naming']}")
    print(f"needs {options(converted.notes)}")
    print(f"wrote {args.output}")


if __name__ == "__main__":
    main()
