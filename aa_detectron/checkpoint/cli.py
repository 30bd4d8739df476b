"""Converts the weights of a ResNet to a Detectron2 checkpoint, and says what it found.

Known are the names of torchvision and timm, Zhang's (antialiased-cnns), Zou's (classification and
maskrcnn-benchmark), Detectron2's (.pkl of MSRA and FAIR, too) and those of checkpoints trained
here. timm's resnetblur50 and resnetaa50 cannot be told from its resnet50 and are taken for it.

Files are only read, nothing in them is run. This package's trainer loads all of them as they are;
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
    kinds = ".pth, .pt, .tar (of torch), .safetensors, .pkl"
    parser.add_argument("input", metavar="IN", help=f"the file: {kinds}")
    parser.add_argument("output", metavar="OUT", help="the checkpoint to be written, .pth")
    return parser.parse_args()


def main() -> None:
    """The command ``aa-convert-weights``, and tools/convert_weights.py."""
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
