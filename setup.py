"""Packaging of aa_detectron; README.md tells how to install Detectron2 itself."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent


def read_version() -> str:
    """Return ``__version__`` as written in the package, which may not be importable yet."""
    text = (ROOT / "aa_detectron" / "__init__.py").read_text(encoding="utf-8")
    match = re.search(r'^__version__ = "([^"]+)"', text, re.MULTILINE)
    if match is None:
        raise RuntimeError('aa_detectron/__init__.py has no line: __version__ = "..."')
    return match.group(1)


def read_description() -> str:
    """Return README.md, or nothing in a tree that does not have it."""
    readme = ROOT / "README.md"
    return readme.read_text(encoding="utf-8") if readme.exists() else ""


# Not listed, on purpose:
# - detectron2: it has no release on the package index (tools/install_detectron2.py installs it).
# - OpenCV, which Detectron2 imports: opencv-python and opencv-python-headless install the same
#   `cv2` folder over each other, so the choice stays with the user. requirements.txt takes the
#   headless one, because the other needs libGL, which bare machines lack.
INSTALL_REQUIRES = [
    "torch>=2.6",  # torch.serialization.safe_globals with names
    "torchvision",
    "numpy>=1.26",
    "fvcore",
    "iopath",
    "omegaconf",
    "hydra-core",
    "pycocotools",
    "scipy>=1.15",  # bootstrap(rng=...)
    "tqdm",
    "tensorboard",
    "tabulate",
    "termcolor",
    "yacs",
    "cloudpickle",
    "matplotlib",  # which Detectron2 imports
    "Pillow",
    "PyYAML",
    "safetensors",
    "shapely",  # fvcore's CropTransform crops polygons with it, and does not ask for it
    "setuptools<81",  # detectron2.model_zoo imports pkg_resources, which later ones lack
]

EXPERIMENTS_REQUIRES = ["jinja2", "numba", "scikit-image"]
ONNX_REQUIRES = ["onnx", "onnxruntime", "onnxscript"]
TEST_REQUIRES = [*EXPERIMENTS_REQUIRES, *ONNX_REQUIRES, "pytest", "pytest-xdist", "timm"]

PACKAGES = find_packages(include=["aa_detectron*"])
CONFIGS = "aa_detectron.configs"  # in a clone beside the package, where a stranger looks for them

setup(
    name="aa_detectron",
    version=read_version(),
    description="Adaptive anti-aliasing and shift-consistency metrics for Detectron2",
    long_description=read_description(),
    long_description_content_type="text/markdown",
    author="aa_detectron contributors",
    license="Apache-2.0",
    license_files=["LICENSE"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Intended Audience :: Developers",
        "Operating System :: POSIX :: Linux",
        "Operating System :: MacOS",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
    project_urls={
        "Paper": "https://arxiv.org/abs/2008.09604",
        "Detectron2": "https://github.com/facebookresearch/detectron2",
    },
    packages=[*PACKAGES, CONFIGS],
    package_dir={CONFIGS: "configs"},
    package_data={
        "aa_detectron": ["py.typed"],
        "aa_detectron.data.datasets": ["*.json", "*.txt"],
        "aa_detectron.experiments.comparison": ["*.j2"],
        CONFIGS: ["*.yaml", "*/*.yaml", "*/*.py", "*/*/*.py", "*.md"],
    },
    entry_points={
        "console_scripts": [
            "aa-train = aa_detectron.engine.cli:main",
            "aa-consistency = aa_detectron.consistency.cli:main",
            "aa-compare = aa_detectron.experiments.comparison.cli:main",
            "aa-make-shapes = aa_detectron.data.datasets.shapes.cli:main",
            "aa-convert-weights = aa_detectron.checkpoint.cli:main",
        ]
    },
    python_requires=">=3.10",
    install_requires=INSTALL_REQUIRES,
    extras_require={
        "experiments": EXPERIMENTS_REQUIRES,  # figures and comparisons
        "onnx": ONNX_REQUIRES,  # exporting to ONNX and running the result
        "docs": ["sphinx", "myst-nb", "furo"],
        "benchmarks": ["kornia", "timm"],  # to compare with
        "test": TEST_REQUIRES,
        "dev": [*TEST_REQUIRES, "mypy", "ruff", "types-PyYAML", "types-tabulate", "types-tqdm"],
    },
)
