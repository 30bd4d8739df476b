#!/usr/bin/env python
"""How often the intervals of a comparison are right, on records of real models.

--records and --others hold pairs of the same models and images, cut at other offsets
(TEST.CONSISTENCY.SEED). Every trial draws pairs with replacement, and assigns the two measurements
of each pair to two "copies" of the model at random. The copies do not differ, so the interval of
their difference should contain zero in 95 of 100 trials or more. With points added to one copy, it
should not. tests/experiments/comparison/test_statistics.py simulates differences between seeds.
"""

import argparse

import numpy as np
from tabulate import tabulate

from aa_detectron.consistency.exchange.record_files import read_report
from aa_detectron.consistency.records import METRICS
from aa_detectron.errors import InputError, exit_on_bad_input
from aa_detectron.experiments.comparison.statistics import image_weights, paired_difference


def read_fractions(path: str, metric: str) -> dict[tuple, float]:
    """The fractions of all pairs that count, by (image id, number of the pair)."""
    section, fraction = METRICS[metric]
    records = [record for record in read_report(path)["pairs"] if section in record]
    fractions = {(r["image_id"], r["pair"]): fraction(r) for r in records}
    return {key: value for key, value in fractions.items() if value is not None}


def gather(paths: list[list[str]], metric: str) -> np.ndarray:
    """Percent for the pairs that count in all records, (2, models, pairs)."""
    fractions = [[read_fractions(path, metric) for path in side] for side in paths]
    keys = sorted(set.intersection(*(set(f) for side in fractions for f in side)))
    if len(keys) < 2:
        raise InputError(f"--records, --others: have no pairs with {metric} in common")
    return 100 * np.array([[[f[key] for key in keys] for f in side] for side in fractions])


def contained_zero(sides: np.ndarray, planted: float, trials: int, resamples: int) -> float:
    """Percent of the trials whose interval contains zero."""
    rng = np.random.default_rng(0)
    pairs = sides.shape[2]
    weights = image_weights(pairs, resamples) / pairs
    count = 0
    for _ in range(trials):
        drawn, swapped = rng.integers(0, pairs, pairs), rng.random(pairs) < 0.5
        first, second = (
            np.where(swapped, *side) for side in (sides[:, :, drawn], sides[::-1, :, drawn])
        )
        interval = paired_difference((first + planted) @ weights.T, second @ weights.T, pairs)
        count += interval.holds_zero
    return 100 * count / trials


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--records", nargs="+", required=True, help="files of records, one for each model"
    )
    parser.add_argument(
        "--others",
        nargs="+",
        required=True,
        help="files of records of the same models, in the same order",
    )
    parser.add_argument("--metrics", nargs="+", choices=list(METRICS), default=["mask mAISC"])
    parser.add_argument(
        "--planted", nargs="+", type=float, default=[0, 3], help="differences to add, in points"
    )
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--resamples", type=int, default=300)
    args = parser.parse_args()
    if len(args.records) != len(args.others):
        raise InputError("--others: must be as many as --records")
    rows = []
    for metric in args.metrics:
        sides = gather([args.records, args.others], metric)
        for planted in args.planted:
            percent = contained_zero(sides, planted, args.trials, args.resamples)
            rows.append([metric, sides.shape[2], planted, percent])
    headers = ["metric", "pairs", "planted difference", "intervals that contain zero (%)"]
    print(tabulate(rows, headers, "github"))


if __name__ == "__main__":
    with exit_on_bad_input():
        main()
