"""The runs of a comparison: trainings, and further evaluations of the trained models."""

import re
from dataclasses import dataclass, field
from pathlib import Path

MAIN = ""
"""The name of the evaluation that ends a training."""
Options = tuple[str, ...]
"""Config options, KEY VALUE KEY VALUE ..."""


@dataclass(frozen=True, eq=False)
class Run:
    """One training and its evaluations."""

    name: str
    folder: Path
    config_file: str | None = None
    """None for a finished run, which the comparison only reads."""
    opts: Options = ()
    """Config options of the training, without OUTPUT_DIR."""
    evaluations: dict[str, Options] = field(default_factory=dict)
    """Config options of further evaluations, by name."""
    start: "Run | None" = None
    """The training whose weights this run starts from."""

    def inference(self, evaluation: str = MAIN) -> Path:
        """The folder with the results of an evaluation."""
        return self.evaluation_folder(evaluation) / "inference"

    @property
    def steps(self) -> "list[Step]":
        """The training and all further evaluations, in order."""
        return [Step(self, evaluation) for evaluation in (MAIN, *self.evaluations)]

    def evaluation_folder(self, evaluation: str) -> Path:
        """``OUTPUT_DIR`` of an evaluation; for :data:`MAIN` the folder of the run."""
        return self.folder / file_name(evaluation) if evaluation else self.folder


@dataclass(frozen=True)
class Step:
    """A training, or a further evaluation of the trained weights."""

    run: Run
    evaluation: str = MAIN
    """:data:`MAIN` for the training, which ends with an evaluation."""

    @property
    def name(self) -> str:
        return f"{self.run.name}, {self.evaluation}" if self.evaluation else self.run.name

    @property
    def folder(self) -> Path:
        return self.run.evaluation_folder(self.evaluation)

    @property
    def opts(self) -> Options:
        """All config options; the last value of a repeated key counts."""
        opts = self.run.opts
        if self.evaluation:
            weights = str(self.run.folder / "model_final.pth")
            opts += ("MODEL.WEIGHTS", weights, *self.run.evaluations[self.evaluation])
        return (*opts, "OUTPUT_DIR", str(self.folder))


def file_name(name: str) -> str:
    """The name with "_" for all characters except letters, digits, ".", "-" and "_"."""
    return re.sub(r"[^\w.-]+", "_", name)
