#!/usr/bin/env python
"""Makes Shapes, the datasets that come with aa_detectron as a program."""

from aa_detectron.data.datasets.shapes.cli import main

if __name__ == "__main__":
    main()
