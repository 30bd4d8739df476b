#!/usr/bin/env python
"""Trains and evaluates LazyConfigs like Detectron2's tool of this name; so does train_net.py."""

from aa_detectron.engine.cli import main

if __name__ == "__main__":
    main()
