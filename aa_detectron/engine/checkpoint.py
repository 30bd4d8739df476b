"""Checkpoints: names of torchvision, weights that do not fit, files that are never half-written."""

import os
import pickle
import re

import torch
from detectron2.checkpoint import DetectionCheckpointer
from torch import nn

from aa_detectron.errors import InputError
from aa_detectron.modeling.backbone.aa_resnet import FILTERS

_TORCHVISION_NAMES = (
    (r"^(conv1|bn1)\b", r"stem.\1"),
    (r"^layer(\d)\.", lambda match: f"res{int(match[1]) + 1}."),
    (r"\bbn(\d)\b", r"conv\1.norm"),
    (r"\bdownsample\.0\b", "shortcut"),
    (r"\bdownsample\.1\b", "shortcut.norm"),
    (r"^fc\b", "linear"),
)


def torchvision_to_detectron2(name: str) -> str:
    """Name of a weight of torchvision's ResNet in Detectron2's."""
    for pattern, replacement in _TORCHVISION_NAMES:
        name = re.sub(pattern, replacement, name)
    return name


class AACheckpointer(DetectionCheckpointer):
    """Detectron2's checkpointer, but stricter.

    * A ResNet with torchvision's names loads into the backbone without a conversion.
    * A file that cannot be read, or whose weights do not fit the model's backbone, is refused;
      ``strict`` refuses it for any weight of the model. Filters may always be new: they
      have a meaningful start, see ``MODEL.ANTIALIAS.INIT``.
    * A file is written under another name and renamed.

    Args:
        strict: every weight but the filters' must come from the checkpoint, as evaluation needs.

    Raises (on loading):
        InputError: one line that names the file, and what does not fit.
    """

    def __init__(self, model: nn.Module, save_dir: str = "", *, strict: bool = False, **kwargs):
        super().__init__(model, save_dir, **kwargs)
        self.strict = strict

    def load(self, path, *args, **kwargs):
        self._path = path
        try:
            return super().load(path, *args, **kwargs)
        except (AssertionError, EOFError, OSError, RuntimeError, pickle.UnpicklingError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise InputError(f"{path}: cannot be loaded as a checkpoint ({reason})") from error
        finally:
            self._parsed_url_during_load = None  # Detectron2 forgets it after an error

    def save(self, name: str, **kwargs):
        if not (self.save_dir and self.save_to_disk):
            return
        temporary, final = (os.path.join(self.save_dir, f"{n}.pth") for n in (f".{name}", name))
        try:
            super().save(f".{name}", **kwargs)
            os.replace(temporary, final)
        except (OSError, RuntimeError) as error:  # torch.save's own is a RuntimeError
            reason = str(error).splitlines()[0]
            raise InputError(f"{final}: cannot be written ({reason})") from error
        self.tag_last_checkpoint(f"{name}.pth")

    def _load_file(self, filename: str) -> dict:
        loaded = super()._load_file(filename)
        weights = loaded.get("model")
        if not isinstance(weights, dict):
            raise InputError(f"{self._path}: holds no weights (a dict of tensors)")
        if "layer1.0.conv1.weight" in weights:
            loaded["model"] = {torchvision_to_detectron2(k): v for k, v in weights.items()}
            loaded["matching_heuristics"] = True
        return loaded

    def _load_model(self, checkpoint: dict):
        incompatible = super()._load_model(checkpoint)
        wrong = [
            f"{key} is {_shape(found)} in the file and {_shape(expected)} in the model"
            for key, found, expected in incompatible.incorrect_shapes
            if self._must_fit(key)
        ]
        parameters = dict(self.model.named_parameters())
        wrong += [
            f"{key} is missing"
            for key in incompatible.missing_keys
            if key in parameters and self._must_fit(key)
        ]
        if wrong:
            raise InputError(
                f"{self._path}: {len(wrong)} weights do not fit the model, the first: {wrong[0]}"
            )
        return incompatible

    def _must_fit(self, key: str) -> bool:
        if set(key.split(".")) & set(FILTERS):
            return False
        return self.strict or key in self._backbone_names()

    def _backbone_names(self) -> set[str]:
        """Names of the ResNet's weights; an FPN, say, is new when ImageNet weights are loaded."""
        backbone = getattr(self.model, "backbone", None)
        prefix = "backbone.bottom_up." if hasattr(backbone, "bottom_up") else "backbone."
        return {name for name in self.model.state_dict() if name.startswith(prefix)}


def _shape(shape: torch.Size) -> str:
    return "x".join(map(str, shape)) or "a number"
