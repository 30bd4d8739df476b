#!/usr/bin/env python
"""Trains and compares variants over several seeds: the command aa-compare."""

from aa_detectron.experiments.comparison.cli import main

if __name__ == "__main__":
    main()
