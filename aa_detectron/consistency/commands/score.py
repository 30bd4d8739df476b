"""``aa-consistency score``: the records and scores of predictions on disk."""

import argparse
from pathlib import Path

from aa_detectron.utils.files import check_can_be_written

from ..exchange.prediction_files import class_file, instances_file, label_folder
from ..exchange.scoring import score_predictions
from ..sources.images import open_images
from .arguments import RECORDS, add_rules, report, require, rules_of


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("manifest", metavar="DIR/manifest.json")
    kinds = parser.add_mutually_exclusive_group(required=True)
    kinds.add_argument("--instances", metavar="results.json", help="COCO results, by ids of crops")
    kinds.add_argument("--label-maps", metavar="FOLDER", help="PNG files, named as the crops")
    kinds.add_argument("--classes", metavar="file.csv", help="columns file_name, class(, score)")
    parser.add_argument("--output", metavar="FILE", help=f"default: {RECORDS} by the manifest")
    parser.add_argument("--truth", metavar="JSON", help="a COCO JSON of the images, with objects")
    add_rules(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    for name in ("truth", "score_thresh", "any_class"):
        require(args, name, "--instances", args.instances is not None)
    output = args.output or Path(args.manifest).with_name(RECORDS)
    check_can_be_written(output)
    kinds = (args.instances, instances_file), (args.label_maps, label_folder)
    path, reader = next(((p, r) for p, r in kinds if p), (args.classes, class_file))
    items = open_images(args.truth, truth=True) if args.truth else ()
    truth = {str(item.image_id): item.truth for item in items}
    result = score_predictions(args.manifest, reader(path), **rules_of(args), truth=truth)
    report(result, output)
