#!/usr/bin/env python
"""Converts the label maps of a dataset to the ids that Detectron2 reads; keeps converted files that
are up to date."""

import argparse
import os

from aa_detectron.data.datasets import cityscapes, voc_sem_seg
from aa_detectron.data.datasets.conversion import convert_all
from aa_detectron.errors import exit_on_bad_input

PLANS = {
    "voc": voc_sem_seg.plan_voc,
    "sbd": voc_sem_seg.plan_sbd,
    "cityscapes": cityscapes.plan_cityscapes,
}


def parse_arguments() -> argparse.Namespace:
    root = os.getenv("DETECTRON2_DATASETS", "datasets")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "data", choices=list(PLANS), help="dataset; sbd is VOC's larger training set, train_aug"
    )
    parser.add_argument("--root", default=root, help=f"folder of the datasets (default {root})")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="number of processes")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    root = os.path.expanduser(args.root)
    conversions = list(PLANS[args.data](root))
    new = convert_all(conversions, max(1, args.workers))
    if args.data == "sbd":
        voc_sem_seg.write_train_aug_list(root)
    print(f"{len(conversions)} label maps, {new} of them new")


if __name__ == "__main__":
    with exit_on_bad_input():
        main()
