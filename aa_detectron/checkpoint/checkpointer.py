"""Checkpoints: other libraries' names, weights that do not fit, files that are not half-written."""

import math
import os
import urllib.parse

import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.checkpoint.c2_model_loading import align_and_update_state_dicts
from detectron2.config import CfgNode
from detectron2.modeling import ResNet
from torch import Tensor, nn

from aa_detectron.errors import InputError
from aa_detectron.utils.files import replacing

from .conversion import INPUTS, convert, known_inputs, options
from .fit import EXACT, Misfit, Rule, Weights, rule_of_start, says_nothing
from .namings import CLASSIFIER, DETECTRON2, matching_namings
from .options import differing, filter_options, known_options
from .reading import read_checkpoint
from .state import optimizer_problems, state_problems
from .writing import replacing_checkpoint

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
      model's, is rejected. Only filters, offsets of deformable convs and the classifier may be
      new there.
    * A warning tells where a file comes from a network with other filters, or that was fed with
      images of another format or normalization, as far as the file and the model tell.
    * A training is resumed only from a file that fits in all parts: weights, options of the
      filters, and the state of the training.
    * Files, ``last_checkpoint`` among them, are written under another name and renamed: a process
      that is killed leaves no half of one.

    Args:
        strict: all weights of the model must come from the file, all of the file must go to the
            model, and the filters must have the same options, as evaluation needs.
        input_format: ``INPUT.FORMAT`` of the config, which models do not know; kept in the files.
        filters: ``MODEL.ANTIALIAS`` of the config; kept in the files. None if it is not known.

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
        filters: CfgNode | None = None,
        **kwargs,
    ):
        super().__init__(model, save_dir, **kwargs)
        self.strict, self.input_format = strict, input_format
        self._resuming = False
        self.filters = {} if filters is None else filter_options(filters)

    @classmethod
    def from_config(cls, cfg: CfgNode, model: nn.Module, **kwargs) -> "AACheckpointer":
        """A checkpointer in ``OUTPUT_DIR`` that knows what the config tells about the model."""
        return cls(
            model,
            cfg.OUTPUT_DIR,
            input_format=cfg.INPUT.FORMAT,
            filters=cfg.MODEL.ANTIALIAS,
            **kwargs,
        )

    def load(self, path: str, checkpointables: list[str] | None = None) -> dict:
        self._path = path
        try:
            return super().load(path, checkpointables)
        except _LOADING_ERRORS as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise InputError(f"{path}: cannot be loaded as a checkpoint ({reason})") from error
        finally:
            self._parsed_url_during_load = None  # Detectron2 forgets it after an error

    def resume_or_load(self, path: str, *, resume: bool = True) -> dict:
        """Detectron2's, but what is resumed must fit as evaluation needs, and its state, too."""
        if not (resume and self.has_checkpoint()):
            return self.load(path, checkpointables=[])
        before, self.strict, self._resuming = self.strict, True, True
        try:
            return self.load(self.get_checkpoint_file())
        finally:
            self.strict, self._resuming = before, False

    def get_checkpoint_file(self) -> str:
        """Path of the file that ``last_checkpoint`` names.

        Raises:
            InputError: it does not hold the name of a file in the same folder.
        """
        tag = os.path.join(self.save_dir, "last_checkpoint")
        try:
            with open(tag, encoding="utf-8") as file:
                name = file.read(1000).strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not text"
            raise InputError(f"{tag}: cannot be read ({reason})") from error
        if name in ("", ".", "..") or os.path.basename(name) != name or not name.isprintable():
            raise InputError(f"{tag}: holds {name[:100]!r}, but must hold the name of a checkpoint")
        return os.path.join(self.save_dir, name)

    def save(self, name: str, **kwargs) -> None:
        if not self.save_dir or not self.save_to_disk:
            return
        states = {key: kept.state_dict() for key, kept in self.checkpointables.items()}
        content = {"model": self.model.state_dict(), **states, "notes": self._notes(), **kwargs}
        path = os.path.join(self.save_dir, f"{name}.pth")
        self.logger.info(f"Saving checkpoint to {path}")
        with replacing_checkpoint(path) as temporary, open(temporary, "wb") as file:
            torch.save(content, file)
        self.tag_last_checkpoint(f"{name}.pth")

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        with replacing(os.path.join(self.save_dir, "last_checkpoint")) as temporary:
            temporary.write_text(last_filename_basename)

    def _load_file(self, filename: str) -> dict:
        loaded = read_checkpoint(filename)
        if matching_namings(loaded["model"]) not in ([], [DETECTRON2]):
            converted = convert(loaded, self._path)
            notes = converted.notes
            loaded = {"model": converted.weights, "matching_heuristics": True, "notes": notes}
            self.logger.info(f"{self._path}: names of {notes['naming']}, {options(notes)}")
        query = urllib.parse.parse_qs(self._parsed_url_during_load.query)
        if query.pop("matching_heuristics", None) == ["True"]:
            loaded["matching_heuristics"] = True
        if query:
            raise ValueError(f"unknown in its query: {', '.join(query)}")
        self._compare_notes(loaded)
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

    def _notes(self) -> dict:
        """What the file says about the model beside its weights."""
        return self._inputs() | ({"config": self.filters} if self.filters else {})

    def _inputs(self) -> dict:
        """What the model is fed with, as far as it is known; for a checkpoint's notes."""
        known = {} if self.input_format is None else {"input_format": self.input_format}
        for key in ("pixel_mean", "pixel_std"):
            value = getattr(self.model, key, None)
            if isinstance(value, Tensor):
                known[key] = [round(x, 4) for x in value.flatten().tolist()]
        return known

    def _check_states(self, loaded: dict) -> None:
        """Raises InputError unless the training can go on from what the file holds."""
        for name, kept in self.checkpointables.items():
            own, optimizer = kept.state_dict(), getattr(kept, "optimizer", None)
            problems = list(state_problems(name, loaded.get(name), own))
            if not problems and isinstance(optimizer, torch.optim.Optimizer):
                problems = list(optimizer_problems(name, loaded[name], optimizer))
            if problems:
                raise InputError(f"{self._path}: cannot be resumed from, {problems[0]}")

    def _compare_notes(self, loaded: dict) -> None:
        """Warns of other inputs and other filters; where the load is strict, these are an error."""
        theirs, ours = known_inputs(loaded), self._inputs()
        inputs = [key for key in ours if key in theirs and not _is_same(theirs[key], ours[key])]
        if inputs:
            names = {key: name for name, key in INPUTS.items() if name in inputs}
            self.logger.warning(self._unlike(names, theirs, ours))
        theirs = known_options(loaded)
        filters = differing(theirs, self.filters)
        if filters:
            line = self._unlike({key: key for key in filters}, theirs, self.filters)
            if self.strict:
                raise InputError(line)
            self.logger.warning(line)

    def _unlike(self, names: dict[str, str], theirs: dict, ours: dict) -> str:
        """A line on the options {what to call it: key} with other values."""
        described = [
            ", ".join(f"{name} {values[key]}" for name, key in names.items())
            for values in (theirs, ours)
        ]
        return (
            f"{self._path}: comes from a network with {described[0]}, "
            f"but this one has {described[1]}"
        )

    def _load_model(self, checkpoint: dict):
        expected = self.model.state_dict()
        if checkpoint.pop("matching_heuristics", False):
            checkpoint["model"] = align_and_update_state_dicts(
                expected, checkpoint["model"], checkpoint.get("__author__") == "Caffe2"
            )
        weights = checkpoint["model"]
        for name in [n for n in weights if n not in expected and says_nothing(n)]:
            del weights[name]  # so that they are not listed
        wrong = self._rule(expected).misfits(weights, _expected_of(weights, expected))
        if wrong:
            raise InputError(
                f"{self._path}: {len(wrong)} weights do not fit the model, "
                f"the first: {_in_words(wrong[0])}"
            )
        if self._resuming:
            self._check_states(checkpoint)
        incompatible = super()._load_model(checkpoint)
        incompatible.missing_keys[:] = [n for n in incompatible.missing_keys if not says_nothing(n)]
        return incompatible

    def _rule(self, expected: Weights) -> Rule:
        return EXACT if self.strict else rule_of_start(self._resnets(), expected)

    def _resnets(self) -> tuple[str, ...]:
        """Prefixes of the weights of ResNets; all else is new when ImageNet weights are loaded."""
        modules = self.model.named_modules()
        return tuple(f"{name}.".lstrip(".") for name, m in modules if isinstance(m, ResNet))


def _expected_of(weights: Weights, state: Weights) -> Weights:
    """The model's state without running statistics where the file has none at all.

    Files of Caffe2 have their norms folded. Detectron2's FrozenBN then takes 0 and 1.
    """
    statistics = (".running_mean", ".running_var")
    if any(name.endswith(statistics) for name in weights) or hasattr(weights, "_metadata"):
        return state
    return {name: value for name, value in state.items() if not name.endswith(statistics)}


def check_has_weights(checkpointer: AACheckpointer, path: str, *, resume: bool = False) -> None:
    """For evaluations: rejects what would load nothing, and leave the random weights.

    Args:
        checkpointer: the checkpointer that is to load the weights.
        path: ``MODEL.WEIGHTS``.
        resume: whether the last checkpoint of the checkpointer's folder goes first.

    Raises:
        InputError: there are no weights.
    """
    if not path and not (resume and checkpointer.has_checkpoint()):
        where = f", and {checkpointer.save_dir} has no last_checkpoint" if resume else ""
        raise InputError(
            f"MODEL.WEIGHTS: is empty{where}, but must name the checkpoint to evaluate"
        )


def _in_words(misfit: Misfit) -> str:
    if misfit.found is None:
        return f"{misfit.name} is missing"
    if misfit.expected is None:
        return f"{misfit.name} is not in the model"
    found, expected = misfit.differences()
    return f"{misfit.name} is {found} in the file and {expected} in the model"


def _is_same(theirs, ours) -> bool:
    if isinstance(ours, str):
        return theirs == ours
    return len(theirs) == len(ours) and all(
        math.isclose(a, b, abs_tol=0.01) for a, b in zip(theirs, ours, strict=True)
    )
