"""Checkpoints: names of torchvision, weights that do not fit, files that are never half-written."""

import contextlib
import os
import pickle
import re

import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.modeling import ResNet
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
_NEW_IN_PRETRAINED = {*FILTERS, "conv2_offset"}
"""Modules of a ResNet that no ordinary ImageNet checkpoint has."""
_NO_WEIGHTS = {"num_batches_tracked", "pixel_mean", "pixel_std"}
_LOADING_ERRORS = (
    AssertionError,
    AttributeError,
    EOFError,
    KeyError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
)
"""What files of other kinds and truncated ones lead to in torch, fvcore and Detectron2."""


def torchvision_to_detectron2(name: str) -> str:
    """Name of a weight of torchvision's ResNet in Detectron2's."""
    for pattern, replacement in _TORCHVISION_NAMES:
        name = re.sub(pattern, replacement, name)
    return name


class AACheckpointer(DetectionCheckpointer):
    """Detectron2's checkpointer, but stricter.

    * A ResNet with torchvision's names loads into the backbone without a conversion.
    * A file that cannot be read, or comes from a ResNet of another depth or width than the
      model's, is refused. Only filters and offsets of deformable convs may be new there.
    * A file is written under another name and renamed.

    Args:
        strict: all weights of the model must come from the file, and all of the file must go to
            the model, as evaluation needs.

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
        except _LOADING_ERRORS as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise InputError(f"{path}: cannot be loaded as a checkpoint ({reason})") from error
        finally:
            self._parsed_url_during_load = None  # Detectron2 forgets it after an error

    def save(self, name: str, **kwargs):
        try:
            super().save(f".{name}", **kwargs)
        except (OSError, RuntimeError) as error:  # torch.save's own is a RuntimeError
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(self.save_dir, f".{name}.pth"))
            final = os.path.join(self.save_dir, f"{name}.pth")
            reason = str(error).splitlines()[0]
            raise InputError(f"{final}: cannot be written ({reason})") from error

    def tag_last_checkpoint(self, last_filename_basename: str):
        """Called when the file is whole, under the name that :meth:`save` gave it."""
        final = last_filename_basename.removeprefix(".")
        if final != last_filename_basename:
            folder = self.save_dir
            os.replace(os.path.join(folder, last_filename_basename), os.path.join(folder, final))
        super().tag_last_checkpoint(final)

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
        parameters = dict(self.model.named_parameters())
        wrong = [
            f"{key} is {_shape(found)} in the file and {_shape(expected)} in the model"
            for key, found, expected in incompatible.incorrect_shapes
            if self._must_fit(key)
        ]
        wrong += [
            f"{key} is missing"
            for key in incompatible.missing_keys
            if key in parameters and self._must_fit(key)
        ]
        wrong += [
            f"{key} is not in the model"
            for key in incompatible.unexpected_keys
            if self._is_surplus(key, parameters)
        ]
        if wrong:
            raise InputError(
                f"{self._path}: {len(wrong)} weights do not fit the model, the first: {wrong[0]}"
            )
        return incompatible

    def _must_fit(self, key: str) -> bool:
        if self.strict:
            return True
        return key.startswith(self._resnets()) and not _NEW_IN_PRETRAINED & set(key.split("."))

    def _resnets(self) -> tuple[str, ...]:
        """Prefixes of the weights of ResNets; all else is new when ImageNet weights are loaded."""
        modules = self.model.named_modules()
        return tuple(f"{name}.".lstrip(".") for name, m in modules if isinstance(m, ResNet))

    def _is_surplus(self, key: str, parameters: dict) -> bool:
        """Whether a weight that has no place in the model tells of another architecture."""
        if self.strict:
            return key.rsplit(".", 1)[-1] not in _NO_WEIGHTS
        # A classifier is surplus in every detector, and res5 in some; a block in a stage is not.
        block = re.search(r"\b(res\d\.)\d+\.", key)
        names = [] if block is None else [name for name in parameters if block[1] in name]
        return bool(names) and not any(block[0] in name for name in names)


def _shape(shape: torch.Size) -> str:
    return "x".join(map(str, shape)) or "a number"
