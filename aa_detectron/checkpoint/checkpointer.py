"""Checkpoints: names of other libraries, weights that do not fit, files that are written whole."""

import os
import urllib.parse
from typing import Any

import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.checkpoint.c2_model_loading import align_and_update_state_dicts
from detectron2.config import CfgNode
from detectron2.modeling import ResNet
from torch import Tensor, nn

from aa_detectron.config import check_has_keys
from aa_detectron.errors import InputError, first_line
from aa_detectron.utils.files import replacing

from .conversion import INPUTS, differing_inputs, known_inputs
from .fit import EXACT, Rule, Weights, rule_of_start, says_nothing, without_statistics
from .options import differing, filter_options, known_options
from .reading import read_checkpoint
from .state import optimizer_problems, state_problems
from .strides import STRIDE_IN_1X1, is_foreign, known_stride, stride_option
from .translation import translated
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
"""Errors that files of other programs cause in fvcore and Detectron2."""


class AACheckpointer(DetectionCheckpointer):
    """Detectron2's checkpointer, but stricter.

    * Weights with the names of any library in :mod:`aa_detectron.checkpoint.namings` load into
      the backbone without a conversion. So does the backbone of a classifier trained here.
    * No code in a file is run. A file may contain tensors, arrays and containers only.
    * The names of a file stay as they are if the model has them itself, such as a model around a
      network of torchvision. Prefixes of wrappers, such as "module.", are removed.
    * A file is rejected if it cannot be read, if none of its weights fits, or if its ResNet has
      another depth or width than the model's. Only filters, offsets of deformable convs and the
      classifier may be missing in its ResNet.
    * A warning says if a file comes from a network with other filters, or with images of another
      format or normalization, or with the stride in another conv of its bottleneck blocks, as far
      as this is known of the file and the model.
    * A training is resumed only from a file that fits in all parts: weights, options of the
      filters, and the state of the training.
    * All files, including ``last_checkpoint``, are written under another name and then renamed. A
      process that is killed leaves no half-written file.

    Loading raises :class:`~aa_detectron.errors.InputError`, with one line that names the file and
    what does not fit.

    Args:
        model: model whose weights are loaded and saved.
        save_dir: folder of the checkpoints.
        strict: whether all weights of the model must come from the file, all weights of the file
            must be in the model, and the filters must have the same options, as for an evaluation.
        input_format: ``INPUT.FORMAT`` of the config, which models do not know; saved in the files.
            None if it is unknown.
        filters: what is known of ``MODEL.ANTIALIAS``; saved in the files. None for nothing.
        kwargs: further arguments of Detectron2's checkpointer.
    """

    _parsed_url_during_load: Any  # Detectron2's: the parsed path during a load, else None

    def __init__(
        self,
        model: nn.Module,
        save_dir: str = "",
        *,
        strict: bool = False,
        input_format: str | None = None,
        filters: dict[str, Any] | None = None,
        **kwargs: Any,
    ):
        super().__init__(model, save_dir, **kwargs)
        self.strict, self.input_format = strict, input_format
        self._resuming = False
        self.filters: dict[str, Any] = {} if filters is None else filter_options(filters)

    @classmethod
    def from_config(cls, cfg: CfgNode, model: nn.Module, **kwargs: Any) -> "AACheckpointer":
        """Makes a checkpointer from a config.

        Args:
            cfg: config with ``OUTPUT_DIR``, ``INPUT.FORMAT`` and ``MODEL.ANTIALIAS``.
            model: model that was built from the config.
            kwargs: further arguments of :class:`AACheckpointer`.
        """
        check_has_keys(cfg)
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
            reason = first_line(error)
            raise InputError(f"{path}: cannot be loaded as a checkpoint ({reason})") from error
        finally:
            self._parsed_url_during_load = None  # after an error Detectron2 does not reset it

    def resume_or_load(self, path: str, *, resume: bool = True) -> dict:
        """Loads the last checkpoint if a training is resumed, else the weights at ``path``.

        A checkpoint to resume from must fit exactly: all weights, and the state of the training.

        Args:
            path: path of the weights that a training starts from.
            resume: whether the last checkpoint of the folder, if there is one, is loaded instead.

        Returns:
            Contents of the file that were not loaded.

        Raises:
            InputError: the file cannot be read or does not fit.
        """
        if not (resume and self.has_checkpoint()):
            return self.load(path, checkpointables=[])
        before, self.strict, self._resuming = self.strict, True, True
        try:
            return self.load(self.get_checkpoint_file())
        finally:
            self.strict, self._resuming = before, False

    def get_checkpoint_file(self) -> str:
        """Returns the path of the checkpoint that ``last_checkpoint`` names.

        Raises:
            InputError: ``last_checkpoint`` does not contain the name of a file in the same folder.
        """
        tag = os.path.join(self.save_dir, "last_checkpoint")
        try:
            with open(tag, encoding="utf-8") as file:
                name = file.read(1000).strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not text"
            raise InputError(f"{tag}: cannot be read ({reason})") from error
        if name in ("", ".", "..") or os.path.basename(name) != name or not name.isprintable():
            raise InputError(f"{tag}: is {name[:100]!r}, but must be the name of a checkpoint")
        return os.path.join(self.save_dir, name)

    def save(self, name: str, **kwargs: Any) -> None:
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
        if not self._resuming:  # else the names must be the model's own
            loaded = translated(loaded, self._path, self.model.state_dict(), self._resnets())
        query = urllib.parse.parse_qs(self._parsed_url_during_load.query)
        if query.pop("matching_heuristics", None) == ["True"]:
            loaded["matching_heuristics"] = True
        if query:
            raise ValueError(f"unknown in its query: {', '.join(query)}")
        self._compare_notes(loaded)
        return loaded

    def _notes(self) -> dict[str, Any]:
        """Returns what a checkpoint says about the model besides its weights."""
        options = self._options()
        return self._inputs() | ({"config": options} if options else {})

    def _options(self) -> dict[str, Any]:
        """Returns the options that leave no trace in the weights, as far as they are known."""
        return self.filters | stride_option(self.model)

    def _inputs(self) -> dict[str, Any]:
        """Returns format and normalization of the model's images, as far as they are known."""
        known: dict[str, Any] = {}
        if self.input_format is not None:
            known["input_format"] = self.input_format
        for key in ("pixel_mean", "pixel_std"):
            value = getattr(self.model, key, None)
            if isinstance(value, Tensor):
                known[key] = [round(x, 4) for x in value.flatten().tolist()]
        return known

    def _check_states(self, loaded: dict) -> None:
        """Raises InputError unless the training can continue from the state in the file."""
        for name, kept in self.checkpointables.items():
            own, optimizer = kept.state_dict(), getattr(kept, "optimizer", None)
            problems = list(state_problems(name, loaded.get(name), own))
            if not problems and isinstance(optimizer, torch.optim.Optimizer):
                problems = list(optimizer_problems(name, loaded[name], optimizer))
            if problems:
                raise InputError(f"{self._path}: cannot be resumed from, {problems[0]}")

    def _compare_notes(self, loaded: dict) -> None:
        """Warns of other inputs, filters and strides; a strict load rejects other filters.

        It rejects other strides only in our own files, since names alone are no certain sign.
        """
        theirs, ours = known_inputs(loaded), self._inputs()
        inputs = differing_inputs(theirs, ours)
        if inputs:
            names = {key: name for name, key in INPUTS.items() if name in inputs}
            self.logger.warning(self._unlike(names, theirs, ours))
        theirs, ours = known_options(loaded) | known_stride(loaded), self._options()
        other = differing(theirs, ours)
        if other:
            line = self._unlike({key: key for key in other}, theirs, ours)
            if self.strict and not (other == [STRIDE_IN_1X1] and is_foreign(loaded)):
                raise InputError(line)
            self.logger.warning(line)

    def _unlike(self, names: dict[str, str], theirs: dict, ours: dict) -> str:
        """Returns a message about options that differ; ``names`` is {name in the message: key}."""
        described = [
            ", ".join(f"{name} {values[key]}" for name, key in names.items())
            for values in (theirs, ours)
        ]
        return (
            f"{self._path}: comes from a network with {described[0]}, "
            f"but this one has {described[1]}"
        )

    def _load_model(self, checkpoint: dict) -> Any:
        expected = self.model.state_dict()
        is_of_caffe2 = checkpoint.get("__author__") == "Caffe2"
        if checkpoint.pop("matching_heuristics", False):
            weights = checkpoint["model"]
            checkpoint["model"] = align_and_update_state_dicts(expected, weights, is_of_caffe2)
        weights = checkpoint["model"]
        for name in [n for n in weights if n not in expected and says_nothing(n)]:
            del weights[name]  # or Detectron2 would list them
        needed = without_statistics(expected) if is_of_caffe2 else expected
        wrong = self._rule(expected).misfits(weights, needed)
        if wrong:
            raise InputError(
                f"{self._path}: {len(wrong)} weights do not fit the model, "
                f"the first: {wrong[0].in_words()}"
            )
        self._check_some_fit(weights, expected)
        if self._resuming:
            self._check_states(checkpoint)
        incompatible = super()._load_model(checkpoint)
        incompatible.missing_keys[:] = [n for n in incompatible.missing_keys if not says_nothing(n)]
        return incompatible

    def _check_some_fit(self, weights: Weights, expected: Weights) -> None:
        """Raises InputError if no weight of the file would be loaded."""
        shapes = {name: weight.shape for name, weight in expected.items()}
        if shapes and not any(shapes.get(name) == w.shape for name, w in weights.items()):
            raise InputError(
                f"{self._path}: none of its {len(weights)} weights fits the model, such as "
                f"{next(iter(weights), 'none')}; with ?matching_heuristics=True behind the path, "
                "names may lack the prefix of the model's"
            )

    def _rule(self, expected: Weights) -> Rule:
        return EXACT if self.strict else rule_of_start(self._resnets(), expected)

    def _resnets(self) -> tuple[str, ...]:
        """Returns the prefixes of the names of the weights in ResNets, such as "backbone."."""
        modules = self.model.named_modules()
        return tuple(f"{name}.".lstrip(".") for name, m in modules if isinstance(m, ResNet))


def check_has_weights(
    checkpointer: AACheckpointer, path: str, *, resume: bool = False, key: str = "MODEL.WEIGHTS"
) -> None:
    """Checks that an evaluation has weights to load, and does not evaluate random weights.

    Args:
        checkpointer: checkpointer that will load the weights.
        path: path of the weights.
        resume: whether the last checkpoint of the checkpointer's folder takes precedence.
        key: config key of the path.

    Raises:
        InputError: there are no weights.
    """
    if not path and not (resume and checkpointer.has_checkpoint()):
        where = f", and {checkpointer.save_dir} has no last_checkpoint" if resume else ""
        raise InputError(f"{key}: is empty{where}, but must name the checkpoint to evaluate")
