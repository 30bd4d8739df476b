#!/usr/bin/env python
"""Converts the weights of a ResNet to a Detectron2 checkpoint, and says what it found.

Known are the names of torchvision and timm, Zhang's (antialiased-cnns), Zou's (classification and
maskrcnn-benchmark), Detectron2's (.pkl of MSRA and FAIR, too) and those of checkpoints trained
here. timm's resnetblur50 and resnetaa50 cannot be told from its resnet50 and are taken for it.

Files are only read, nothing in them is run. This package's trainer loads all of them as they are;
the converted file is for any Detectron2.
"""

import argparse

from aa_detectron.checkpoint import convert, read_checkpoint, write_checkpoint
from aa_detectron.checkpoint.conversion import options
from aa_detectron.errors import exit_on_bad_input


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("input", metavar="IN", help="the file: .pth, .pt, .tar (of torch), .pkl")
    parser.add_argument("output", metavar="OUT", help="the checkpoint to be written, .pth")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    converted = convert(read_checkpoint(args.input), args.input)
    write_checkpoint(converted, args.output)
    depth = converted.notes["config"]["MODEL.RESNETS.DEPTH"]
    print(f"found ResNet-{depth}, names of {converted.notes['naming']}")
    print(f"needs {options(converted.notes)}")
    print(f"wrote {args.output}")


if __name__ == "__main__":
    with exit_on_bad_input():
        main()
