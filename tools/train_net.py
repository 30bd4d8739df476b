#!/usr/bin/env python
"""Trains and evaluates like Detectron2's tools/train_net.py, with the same arguments."""

from aa_detectron.engine.cli import main

if __name__ == "__main__":
    main()
