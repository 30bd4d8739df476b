"""``python -m aa_detectron``: what is installed, and on what it would run."""

import importlib.metadata
import platform

from tabulate import tabulate

from aa_detectron import __version__, compat

LIBRARIES = ("torch", "torchvision", "fvcore", "numpy", "scipy", "pycocotools", "numba", "triton")


def describe() -> list[tuple[str, str]]:
    """(name, value) of the versions, the Detectron2 build, the device and the kernels."""
    rows = [("aa_detectron", __version__), ("python", platform.python_version())]
    rows += [(name, _version(name)) for name in LIBRARIES]
    build = compat.describe_build() if compat.has_detectron2() else "not installed"
    return [*rows, ("detectron2", build), *_describe_device()]


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _describe_device() -> list[tuple[str, str]]:
    try:
        import torch

        from aa_detectron.layers.kernels.op import HAS_KERNELS
    except ImportError:
        return []
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    kernels = "compiled" if HAS_KERNELS["cuda" if device != "CPU" else "cpu"] else "plain operators"
    return [
        ("device", device),
        ("threads", str(torch.get_num_threads())),
        ("kernels of the filter", kernels),
    ]


def main() -> None:
    print(tabulate(describe(), tablefmt="plain"))


if __name__ == "__main__":
    main()
