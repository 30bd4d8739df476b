#!/usr/bin/env python
"""Trains and compares variants over several seeds; what an earlier call has done is kept."""

from aa_detectron.experiments.comparison.cli import main

if __name__ == "__main__":
    main()
