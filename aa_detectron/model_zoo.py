"""The configs of this package, by name, from wherever it is installed."""

from pathlib import Path
from typing import TYPE_CHECKING

from aa_detectron.errors import InputError

if TYPE_CHECKING:
    from detectron2.config import CfgNode
    from omegaconf import DictConfig

_PACKAGE = Path(__file__).resolve().parent
# In a wheel they lie inside of the package, in a clone beside it.
_FOLDER = next(f for f in (_PACKAGE / "configs", _PACKAGE.parent / "configs") if f.is_dir())


def get_config_file(name: str) -> str:
    """The path of a config of this package.

    Args:
        name: relative to ``configs/``, with forward slashes, such as
            "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x_adaptive.yaml".

    Raises:
        InputError: there is no such config.
    """
    path = _FOLDER / name
    if not path.is_file() or _FOLDER not in path.resolve().parents:
        folders = ", ".join(sorted(p.name for p in _FOLDER.iterdir() if p.is_dir()))
        raise InputError(f"{name}: no config of this name; there are configs in {folders}")
    return str(path)


def get_config(name: str) -> "CfgNode | DictConfig":
    """A config of this package; see :func:`get_config_file`.

    Returns:
        A config with all keys for a YAML file; what the file itself has for a LazyConfig.
    """
    from detectron2.config import LazyConfig, get_cfg

    from aa_detectron.config import add_aa_config

    if name.endswith(".py"):
        return LazyConfig.load(get_config_file(name))
    cfg = get_cfg()
    add_aa_config(cfg)
    cfg.merge_from_file(get_config_file(name))
    return cfg


def find_config(name: str) -> str:
    """The path of a config file: ``name`` itself if there is such a file, else in the model zoo."""
    if not Path(name).exists() and (_FOLDER / name).is_file():
        return get_config_file(name)
    return name
