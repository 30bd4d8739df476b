"""Checkpoints: other libraries' names, weights that do not fit, files that are not half-written."""

import contextlib
import math
import os
import re
from urllib.parse import parse_qs

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.modeling import ResNet
from torch import Tensor, nn

from aa_detectron.checkpoint import convert, read_checkpoint
from aa_detectron.checkpoint.architecture import shape_in_words
from aa_detectron.checkpoint.conversion import INPUTS, known_inputs, options
from aa_detectron.checkpoint.namings import CLASSIFIER, DETECTRON2, matching_namings
from aa_detectron.errors import InputError
from aa_detectron.modeling.resnet import FILTERS
from aa_detectron.utils.files import replacing

_NEW = {*FILTERS, "conv2_offset", "linear"}
"""Modules of a ResNet that need not come from the weights that a training starts from."""
_NO_WEIGHTS = {"num_batches_tracked", "pixel_mean", "pixel_std"}
_LOADING_ERRORS = (
    AssertionError,
    AttributeError,
    KeyError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What files of another make lead to in fvcore and Detectron2."""


class AACheckpointer(DetectionCheckpointer):
    """Detectron2's checkpointer, but stricter.

    * Any naming of :mod:`aa_detectron.checkpoint.namings` loads into the backbone without a
      conversion, and so does the backbone of a classifier trained here.
    * Nothing in a file is run: it may hold tensors, arrays and containers only.
    * A file that cannot be read, or comes from a ResNet of another depth or width than the
      model's, is refused. Only filters, offsets of deformable convs and the classifier may be
      new there.
    * A warning tells where a file comes from a network that was fed with images of another format
      or normalisation, as far as the file and the model tell.
    * Files, ``last_checkpoint`` among them, are written under another name and renamed: a process
      that is killed leaves no half of one.

    Args:
        strict: all weights of the model must come from the file, and all of the file must go to
            the model, as evaluation needs.
        input_format: ``INPUT.FORMAT`` of the config, which models do not know; kept in the files.

    Raises (on loading):
        InputError: one line that names the file, and what does not fit.
    """

    def __init__(
        self,
        model: nn.Module,
        save_dir: str = "",
        *,
        strict: bool = False,
        input_format: str | None = None,
        **kwargs,
    ):
        super().__init__(model, save_dir, **kwargs)
        self.strict, self.input_format = strict, input_format

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
            super().save(f".{name}", notes=self._inputs(), **kwargs)
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
        with replacing(os.path.join(self.save_dir, "last_checkpoint")) as temporary:
            temporary.write_text(final)

    def _load_file(self, filename: str) -> dict:
        loaded = read_checkpoint(filename)
        if matching_namings(loaded["model"]) not in ([], [DETECTRON2]):
            converted = convert(loaded, self._path)
            notes = converted.notes
            loaded = {"model": converted.weights, "matching_heuristics": True, "notes": notes}
            self.logger.info(f"{self._path}: names of {notes['naming']}, {options(notes)}")
        query = parse_qs(self._parsed_url_during_load.query)
        if query.pop("matching_heuristics", None) == ["True"]:
            loaded["matching_heuristics"] = True
        if query:
            raise ValueError(f"unknown in its query: {', '.join(query)}")
        self._warn_of_other_inputs(known_inputs(loaded))
        return self._for_the_backbone(loaded)

    def _for_the_backbone(self, loaded: dict) -> dict:
        """Prepares the weights of a ResNet, if it is one's, for Detectron2's matching of names."""
        weights, expected = loaded["model"], self.model.state_dict()
        is_classifier = CLASSIFIER in weights and CLASSIFIER not in expected
        if not is_classifier and "stem.conv1.weight" not in weights:
            return loaded
        weights, _ = DETECTRON2.rename(weights)
        if not any(f"{prefix}linear.weight" in expected for prefix in self._resnets()):
            # It might match another layer of that name.
            weights = {name: w for name, w in weights.items() if not name.startswith("linear.")}
        return {**loaded, "model": weights, "matching_heuristics": True}

    def _inputs(self) -> dict:
        """What the model is fed with, as far as it is known; for a checkpoint's notes."""
        known = {} if self.input_format is None else {"input_format": self.input_format}
        for key in ("pixel_mean", "pixel_std"):
            value = getattr(self.model, key, None)
            if isinstance(value, Tensor):
                known[key] = [round(x, 4) for x in value.flatten().tolist()]
        return known

    def _warn_of_other_inputs(self, theirs: dict):
        ours = self._inputs()
        other = [key for key in theirs.keys() & ours.keys() if not _is_same(theirs[key], ours[key])]
        if other:
            described = [
                ", ".join(f"{key} {inputs[name]}" for name, key in INPUTS.items() if name in other)
                for inputs in (theirs, ours)
            ]
            self.logger.warning(
                f"{self._path}: comes from a network with {described[0]}, "
                f"but this one has {described[1]}"
            )

    def _load_model(self, checkpoint: dict):
        incompatible = super()._load_model(checkpoint)
        parameters = dict(self.model.named_parameters())
        wrong = [
            f"{key} is {shape_in_words(found)} in the file and {shape_in_words(expected)} "
            "in the model"
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
        return key.startswith(self._resnets()) and not _NEW & set(key.split("."))

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


def _is_same(theirs, ours) -> bool:
    if isinstance(ours, str):
        return theirs == ours
    return len(theirs) == len(ours) and all(
        math.isclose(a, b, abs_tol=0.01) for a, b in zip(theirs, ours, strict=True)
    )
