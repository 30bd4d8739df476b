#!/usr/bin/env python
"""Time of a consistency evaluation without the model's forward passes, and of matching masks.

Config options, KEY VALUE ..., come last, as for the command aa-train.
"""

import argparse
import functools
import time
from collections.abc import Callable

import numpy as np
import torch
from detectron2.evaluation import DatasetEvaluator, DatasetEvaluators, inference_on_dataset
from detectron2.structures import Boxes, Instances
from measuring import measure, parse_arguments, write

from aa_detectron.consistency.adapters.predictions import read_prediction
from aa_detectron.consistency.instances import pair_record
from aa_detectron.consistency.shifts import Offset, overlap_in_crops
from aa_detectron.data.pairs import build_shifted_pair_loader, get_image_dicts
from aa_detectron.engine.launch import load_model
from aa_detectron.errors import exit_on_bad_input
from aa_detectron.evaluation.build import build_consistency_evaluators

NOTES = (
    "'rest of the run' is an evaluation (reading, cutting, matching, scores, the file of records) "
    "except the calls of the model: seconds, and percent of the total. Matching makes the records "
    "of all pairs, milliseconds (median, quartiles; the rows took turns): with run-length "
    "encodings, for masks and boxes, and with a loop over dense numpy masks, without boxes; both "
    "match the same masks with the same IoU. 'large' pairs have 20 random rectangles on each crop "
    "of 480 x 640."
)


class Keep(DatasetEvaluator):
    """Keeps the outputs of the model."""

    def reset(self) -> None:
        self.pairs: list[tuple] = []

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        crops = [output.get("instances") for output in outputs]
        for item, first, second in zip(inputs[::2], crops[::2], crops[1::2], strict=True):
            self.pairs.append((first, second, item["pair"]["offsets"]))


class Clock(torch.nn.Module):
    """A model that measures the total time of its calls, in seconds."""

    def __init__(self, model: torch.nn.Module):
        super().__init__()
        self.model, self.seconds = model, 0.0

    def forward(self, inputs: list[dict]) -> list[dict]:
        start = time.perf_counter()
        outputs = self.model(inputs)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds += time.perf_counter() - start
        return outputs


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config-file", required=True)
    parser.add_argument(
        "--pairs", type=int, default=200, help="number of pairs, of the dataset's first images"
    )
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="KEY VALUE ...")


def evaluate(args: argparse.Namespace) -> tuple[list[dict], list[tuple]]:
    """Rows with the seconds of an evaluation, and its pairs: outputs for both crops, offsets."""
    cfg, model = load_model(args.config_file, opts=args.opts)
    clock, keep = Clock(model), Keep()
    name = (cfg.TEST.CONSISTENCY.DATASETS or cfg.DATASETS.TEST)[0]
    images = [image["image_id"] for image in get_image_dicts(name)[: args.pairs]]

    start = time.perf_counter()
    loader = build_shifted_pair_loader(cfg, name, only=[(image, 0) for image in images])
    evaluators = DatasetEvaluators([*build_consistency_evaluators(cfg, name), keep])
    inference_on_dataset(clock, loader, evaluators)
    total = time.perf_counter() - start
    seconds = {"forward passes": clock.seconds, "rest of the run": total - clock.seconds}
    rows = [{"": k, "seconds": v, "percent": 100 * v / total} for k, v in seconds.items()]
    return rows, keep.pairs


def random_pairs(number: int) -> list[tuple]:
    """Pairs of crops with 20 random rectangles, moved by one or two pixels in the second crop."""
    rng = np.random.default_rng(0)
    return [(*_random_crops(rng), ((0, 0), (9, 17))) for _ in range(number)]


def _random_crops(rng: np.random.Generator) -> list[Instances]:
    corners, sizes = rng.uniform(0, 400, (20, 2)), rng.uniform(10, 240, (20, 2))
    classes, crops = torch.as_tensor(rng.integers(3, size=20)), []
    for shift in (0, np.array([-17, -9])):
        start = corners + shift + rng.integers(-2, 3, (20, 2))
        boxes = np.concatenate([start, start + sizes], 1).clip(0, [640, 480] * 2).round()
        crop = Instances((480, 640))
        crop.pred_masks = torch.zeros(20, 480, 640, dtype=torch.bool)
        for mask, (x0, y0, x1, y1) in zip(crop.pred_masks, boxes.astype(int), strict=True):
            mask[y0:y1, x0:x1] = True
        crop.pred_boxes = Boxes(torch.as_tensor(boxes).float())
        crop.scores = torch.as_tensor(rng.uniform(0.5, 1, 20))
        crop.pred_classes = classes
        crops.append(crop)
    return crops


def dense_matches(
    first: Instances, second: Instances, offsets: tuple[Offset, Offset], score_thresh: float
) -> list[tuple]:
    """For each mask that counts, its match (an index in the model's output) and their IoU."""
    crops = []
    boxes = overlap_in_crops(*offsets, first.image_size)
    for crop, box in zip((first, second), boxes, strict=True):
        masks = crop.pred_masks.cpu().numpy()[(slice(None), *box.slices)]
        scores, classes = crop.scores.tolist(), crop.pred_classes.tolist()
        found = [i for i, mask in enumerate(masks) if scores[i] >= score_thresh and mask.any()]
        crops.append((masks, scores, classes, found))
    (masks, scores, classes, found), (others, _, other_classes, free) = crops
    ious = {
        (i, j): np.logical_and(masks[i], others[j]).sum() / np.logical_or(masks[i], others[j]).sum()
        for i in found
        for j in free
    }
    matches = {}
    for i in sorted(found, key=lambda i: -scores[i]):
        legal = [j for j in free if classes[i] == other_classes[j] and ious[i, j] > 0]
        best = max(legal, key=lambda j: ious[i, j], default=None)
        matches[i] = (best, 0.0 if best is None else ious[i, best])
        free = [j for j in free if j != best]
    return [matches[i] for i in found]


def encoded_matches(
    first: Instances, second: Instances, offsets: tuple[Offset, Offset], score_thresh: float
) -> list[tuple]:
    size = first.image_size
    crops = [read_prediction(crop, size, score_thresh) for crop in (first, second)]
    record = pair_record(0, 0, offsets, size, *crops)["segm"]
    places = [instance["index"] for instance in record["second"]]
    return [(None if i["match"] is None else places[i["match"]], i["iou"]) for i in record["first"]]


def measure_matching(
    name: str, pairs: list[tuple], score_thresh: float, args: argparse.Namespace
) -> list[dict]:
    """Rows with the time of both ways of matching.

    Raises:
        AssertionError: the two ways do not match the same masks with the same IoU.
    """
    pairs = [(*pair, score_thresh) for pair in pairs]
    functions = {"run-length encodings": encoded_matches, "dense numpy loop": dense_matches}
    results = [[function(*pair) for pair in pairs] for function in functions.values()]
    for ours, reference in zip(*results, strict=True):
        assert ours == reference
    loops = {n: functools.partial(_for_all, f, pairs) for n, f in functions.items()}
    times = measure(loops, repeats=args.repeats, warmup=args.warmup, device="cpu")
    fastest = times["run-length encodings"]["median"]
    masks = sum(len(matches) for matches in results[0])
    return [
        {
            "": f"matching {name}, {n}",
            "masks": masks,
            **time,
            "times ours": time["median"] / fastest,
        }
        for n, time in times.items()
    ]


def _for_all(function: Callable, pairs: list[tuple]) -> None:
    for pair in pairs:
        function(*pair)


def main() -> None:
    args = parse_arguments(__doc__, add_options)
    with exit_on_bad_input():
        rows, pairs = evaluate(args)
    name = f"{len(pairs)} pairs"
    rows += measure_matching(f"{name}, scores from 0.5", pairs, 0.5, args)
    rows += measure_matching(f"{name}, all scores", pairs, 0.0, args)
    rows += measure_matching("20 large pairs", random_pairs(20), 0.5, args)
    write(args, f"Consistency of instances, {len(pairs)} pairs", rows, NOTES)


if __name__ == "__main__":
    main()
