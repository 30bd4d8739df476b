#!/usr/bin/env python
"""Converts the weights of a ResNet to a Detectron2 checkpoint, and says what it found."""

from aa_detectron.checkpoint.cli import main

if __name__ == "__main__":
    main()
