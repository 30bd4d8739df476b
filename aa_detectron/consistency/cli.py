"""Measures the consistency of any model under shifts of its input.

crops, score: for a system in any language. "crops" writes shifted crops and a manifest; the system
predicts on them; "score" reads its predictions.
run, sweep: for a Python function that takes a list of (H, W, 3) uint8 RGB arrays and returns as
many predictions.
plot: a figure of the records of several models.
"""

import argparse

from aa_detectron.errors import exit_on_bad_input

from .commands import crops, model, plot, score

COMMANDS = {
    "crops": ("write crops and their manifest", crops.add),
    "score": ("score predictions on these crops", score.add),
    "run": ("measure a Python function: random pairs", model.add_run),
    "sweep": ("measure a Python function: every shift", model.add_sweep_of_model),
    "plot": ("plot records by shift", plot.add),
}


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="aa-consistency",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (help_text, add) in COMMANDS.items():
        add(commands.add_parser(name, help=help_text))
    return parser


def main() -> None:
    """Runs ``aa-consistency``, which is also ``python -m aa_detectron.consistency``."""
    args = build_parser().parse_args()
    with exit_on_bad_input():
        args.run(args)


if __name__ == "__main__":
    main()
