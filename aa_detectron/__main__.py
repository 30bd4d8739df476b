"""``python -m aa_detectron``: what is installed, and on what it would run.

``--check`` also compares every kernel of this machine with plain operators.
"""

import argparse
import importlib.metadata
import platform
import sys

from tabulate import tabulate

from aa_detectron import __version__, compat

LIBRARIES = ("torch", "torchvision", "fvcore", "numpy", "scipy", "pycocotools", "triton")


def describe() -> list[tuple[str, str]]:
    """(name, value) of the versions, the Detectron2 build, the device and the kernels."""
    rows = [("aa_detectron", __version__), ("python", platform.python_version())]
    rows += [(name, _version(name)) for name in LIBRARIES]
    missing = compat.why_missing()
    build = missing.removeprefix("is ") if missing else compat.describe_build()
    return [*rows, ("detectron2", build), *_describe_device()]


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _describe_device() -> list[tuple[str, str]]:
    try:
        import torch

        from aa_detectron.layers.kernels.choice import has_filter_kernel
    except ImportError:
        return []
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    has_kernel = device != "CPU" and has_filter_kernel("cuda")
    kernels = "compiled" if has_kernel else "PyTorch operators"
    return [
        ("device", device),
        ("threads", str(torch.get_num_threads())),
        ("kernels of the filter", kernels),
    ]


def check() -> bool:
    """Prints a table of the kernels' errors; returns whether all are within their tolerances."""
    from aa_detectron.layers.kernels.check import Row, check_kernels

    rows = list(check_kernels())
    table = [
        [*row[:4], f"{row.error:.1e}", f"{row.tolerance:.0e}", row.failure or "ok"] for row in rows
    ]
    names = [*Row._fields[:-1], "result"]
    print(tabulate(table, names, disable_numparse=True))
    return not any(row.failure for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m aa_detectron", description=__doc__)
    parser.add_argument("--check", action="store_true", help="check the kernels")
    args = parser.parse_args()
    print(tabulate(describe(), tablefmt="plain"))
    if args.check:
        print()
        sys.exit(0 if check() else 1)


if __name__ == "__main__":
    main()
