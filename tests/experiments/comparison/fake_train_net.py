"""Stands in for tools/train_net.py: counts its calls, fails or waits on demand."""

import os
import sys
import time
from pathlib import Path

arguments = sys.argv[1:]
folder = Path(arguments[arguments.index("OUTPUT_DIR") + 1])
with open(folder / "calls.txt", "a") as file:
    print(*arguments, "GPUs", os.environ.get("CUDA_VISIBLE_DEVICES"), file=file)
if (folder.parent.parent / "fail").exists():
    sys.exit("error: no luck")
if (folder.parent.parent / "wait").exists():
    time.sleep(60)
