#!/usr/bin/env python
"""Primary differences of one or several comparisons, corrected for their number by Holm."""

import argparse

from aa_detectron.errors import exit_on_bad_input
from aa_detectron.experiments.comparison.primary import as_markdown, holm, read_primary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", nargs="+", metavar="results.json", help="of each comparison")
    args = parser.parse_args()
    print(as_markdown(holm(read_primary(args.results))), end="")


if __name__ == "__main__":
    with exit_on_bad_input():
        main()
