"""Training and evaluation with the arguments of Detectron2's tools/train_net.py."""

from detectron2.engine import default_argument_parser, launch

from aa_detectron.errors import exit_on_bad_input

from .launch import main as train_or_evaluate


def main() -> None:
    """Runs the command ``aa-train``, which is also tools/train_net.py."""
    args = default_argument_parser().parse_args()
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
