"""``python -m aa_detectron.consistency``, the same as ``aa-consistency``."""

from .cli import main

if __name__ == "__main__":
    main()
