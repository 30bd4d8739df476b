#!/usr/bin/env python
"""Trains and evaluates like Detectron2's tools/train_net.py, with the same arguments."""

from aa_detectron.engine.launch import main
from aa_detectron.errors import exit_on_bad_input

# Above: aa_detectron mends the installed Detectron2, and imports it quietly.
# isort: split
from detectron2.engine import default_argument_parser, launch

if __name__ == "__main__":
    args = default_argument_parser().parse_args()
    with exit_on_bad_input():
        launch(
            main,
            args.num_gpus,
            num_machines=args.num_machines,
            machine_rank=args.machine_rank,
            dist_url=args.dist_url,
            args=(args,),
        )
