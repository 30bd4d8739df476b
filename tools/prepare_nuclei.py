#!/usr/bin/env python
"""Converts the masks of the Data Science Bowl 2018 to COCO annotations; keeps existing files."""

import argparse
import os
from pathlib import Path

from aa_detectron.data.datasets import nuclei
from aa_detectron.data.datasets.nuclei_split import split_nuclei
from aa_detectron.errors import exit_on_bad_input
from aa_detectron.utils.files import replacing


def parse_arguments() -> argparse.Namespace:
    root = os.getenv("DETECTRON2_DATASETS", "datasets")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", default=root, help=f"parent of nuclei/ (default {root})")
    parser.add_argument(
        "--split-to",
        metavar="FOLDER",
        help="folder for new nuclei_train.txt and nuclei_val.txt (the lists in the package), made "
        "from the images; nothing is converted",
    )
    return parser.parse_args()


def convert(root: str) -> None:
    for split in nuclei.SPLITS:
        is_new = nuclei.convert_nuclei(root, split)
        print(f"{nuclei.annotation_file(root, split)}: {'written' if is_new else 'kept'}")


def write_split(root: str, folder: Path) -> None:
    lists = split_nuclei(nuclei.image_folder(root))
    for split, ids in zip(nuclei.SPLITS, lists, strict=True):
        with replacing(folder / f"nuclei_{split}.txt") as temporary:
            temporary.write_text("\n".join(ids) + "\n", encoding="utf-8")
        print(f"{folder / f'nuclei_{split}.txt'}: {len(ids)} images")


def main() -> None:
    args = parse_arguments()
    root = os.path.expanduser(args.root)
    if args.split_to:
        write_split(root, Path(args.split_to))
    else:
        convert(root)


if __name__ == "__main__":
    with exit_on_bad_input():
        main()
