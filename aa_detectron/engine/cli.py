"""Training and evaluation with the arguments of Detectron2's tools/train_net.py.

Further arguments register data and models of the user's own, see :mod:`.own_parts`.
"""

from detectron2.engine import default_argument_parser, launch

from aa_detectron.errors import exit_on_bad_input

from . import own_parts
from .launch import main as train_or_evaluate


def main() -> None:
    """Runs the command ``aa-train``, which is also tools/train_net.py."""
    parser = default_argument_parser()
    own_parts.add_arguments(parser)
    args = parser.parse_args()
    with exit_on_bad_input():
        launch(
            train_or_evaluate,
            args.num_gpus,
            num_machines=args.num_machines,
            machine_rank=args.machine_rank,
            dist_url=args.dist_url,
            args=(args,),
        )


if __name__ == "__main__":
    main()
