"""What a comparison consists of, from its YAML file.

    title: Mask R-CNN on Shapes        # of the table and the report
    output: output/comparisons/shapes  # where results go; each run to <output>/<variant>/seed_<n>
    seeds: [1, 2, 3]
    start:                             # optional: a training from whose weights all runs start
      config: ../Shapes-Classification/resnet_R_18_plain.yaml
      output: output/comparisons/start
      opts: {SOLVER.MAX_ITER: 3000}
    opts: {SOLVER.MAX_ITER: 2000}      # optional: of all variants
    evaluations:                       # optional: further tests of the trained models, with options
      to 8 px: {TEST.CONSISTENCY.MAX_SHIFT: 8}
    variants:
      plain: {config: ../Shapes-InstanceSegmentation/demo_plain.yaml}
      blur: {config: ..., opts: {MODEL.ANTIALIAS.KERNEL_SIZE: 5}}
      own start: {config: ..., start: {config: ..., output: ...}}  # null: from scratch
      trained before: {runs: [output/a, output/b, output/c]}  # finished runs, one for each seed
    baselines: [plain, blur]           # the others are compared with each of these
    pool_seeds: true                   # optional: one spread between seeds for all variants

Paths of configs are relative to the file that names them, all others to the current folder. As in
Detectron2's configs, ``_BASE_`` names a file whose keys are taken over; its paths, too, are then
relative to the file that has ``_BASE_``.
"""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from fvcore.common.config import CfgNode
from yaml import YAMLError

from aa_detectron.errors import InputError

KEYS = (
    *("title", "output", "seeds", "start", "opts", "evaluations", "variants", "baselines"),
    "pool_seeds",
)
RESERVED = ("inference", "figures")
"""Folders that evaluations and reports make."""
MAIN = ""
"""The name of the evaluation that ends a training."""


@dataclass(frozen=True, eq=False)
class Run:
    """One training and its evaluations."""

    name: str
    folder: Path
    config_file: str | None = None
    """None for a finished run that the comparison only reads."""
    opts: tuple[str, ...] = ()
    """Detectron2's KEY VALUE ...; without OUTPUT_DIR."""
    evaluations: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Options of further evaluations, by name."""
    start: "Run | None" = None
    """The training from whose weights this one starts."""

    def inference(self, evaluation: str = MAIN) -> Path:
        """The folder with the results of an evaluation."""
        return self.evaluation_folder(evaluation) / "inference"

    def evaluation_folder(self, evaluation: str) -> Path:
        """``OUTPUT_DIR`` of an evaluation; the run's own for :data:`MAIN`."""
        return self.folder / file_name(evaluation) if evaluation else self.folder


@dataclass(frozen=True, eq=False)
class Plan:
    """A comparison: its runs, and what is compared with what."""

    title: str
    output: Path
    seeds: tuple[int, ...]
    variants: dict[str, tuple[Run, ...]]
    """For each variant a run for each seed, in the order of ``seeds``."""
    baselines: tuple[str, ...]
    pool_seeds: bool = False
    """Whether the spread between seeds is taken from all variants; see :mod:`.intervals`."""

    @property
    def runs(self) -> list[Run]:
        """All runs of variants: first every variant's first seed, so that a comparison which is
        not finished yet has comparable runs."""
        return [run for runs in zip(*self.variants.values(), strict=True) for run in runs]

    @property
    def starts(self) -> list[Run]:
        """The trainings from which runs start, each once."""
        return list(dict.fromkeys(run.start for run in self.runs if run.start))

    @property
    def contrasts(self) -> list[tuple[str, str]]:
        """(variant, baseline): every variant with each baseline before it."""
        return [
            (variant, baseline)
            for number, baseline in enumerate(self.baselines)
            for variant in self.variants
            if variant not in self.baselines[: number + 1]
        ]


def file_name(name: str) -> str:
    """A name with all but letters, digits, ".", "-" and "_" replaced by "_"."""
    return re.sub(r"[^\w.-]+", "_", name)


def read_plan(path: str, output: str | None = None) -> Plan:
    """Reads a comparison's file.

    Args:
        path: of the file.
        output: replaces the file's ``output``.

    Raises:
        InputError: a file that cannot be read, or a key that is missing, unknown or illegal.
    """
    return _Reader(path).plan(output)


def plan_of_runs(arguments: list[str], output: str, baselines: list[str] | None = None) -> Plan:
    """A comparison of finished runs.

    Args:
        arguments: "NAME=FOLDER[,FOLDER...]", a folder for each seed.
        output: where results go.
        baselines: the first variant if None.

    Raises:
        InputError: arguments of another form, or different numbers of folders.
    """
    variants = {}
    for argument in arguments:
        name, equals, folders = argument.partition("=")
        if not (name and equals and folders) or name in variants:
            raise InputError(f"{argument}: must be NAME=FOLDER[,FOLDER...], each NAME once")
        runs = folders.split(",")
        if "" in runs or len({os.path.abspath(folder) for folder in runs}) < len(runs):
            raise InputError(f"{argument}: must name different folders")
        variants[name] = {"runs": runs}
    counts = {name: len(variant["runs"]) for name, variant in variants.items()}
    if len(set(counts.values())) > 1:
        raise InputError(f"all variants must have as many runs, but there are {counts}")
    content = {
        "title": " / ".join(variants),
        "output": output,
        "seeds": list(range(1, next(iter(counts.values())) + 1)),
        "variants": variants,
        "baselines": baselines or [next(iter(variants))],
    }
    return _Reader("command line", content).plan(None)


class _Reader:
    """Turns a file's content into a :class:`Plan`; errors name the file and key."""

    def __init__(self, path: str, content: dict | None = None):
        self.path = path
        if content is None:
            content = self._load()
        self.content = content
        self.starts: dict[Path, Run] = {}

    def _load(self) -> dict:
        try:
            content = CfgNode.load_yaml_with_base(self.path)
        except (OSError, YAMLError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or " ".join(str(error).split())
            raise InputError(f"{self.path}: {reason}") from error
        except AssertionError as error:  # fvcore's, of a key that is a mapping in one file only
            raise InputError(f"{self.path}: {error}") from error
        except RecursionError as error:
            raise InputError(f"{self.path}: _BASE_ leads back to the file itself") from error
        except (AttributeError, TypeError) as error:  # fvcore's, for what is no mapping
            kind = f"must be a mapping of {', '.join(KEYS)}; so must the file that _BASE_ names"
            raise InputError(f"{self.path}: {kind}") from error
        if not isinstance(content, dict):
            raise InputError(f"{self.path}: must be a mapping of {', '.join(KEYS)}")
        return content

    def _refuse(self, key: str, found, legal: str):
        raise InputError(f"{self.path}: {key} is {found!r}, but must be {legal}")

    def _mapping(self, key: str, found, legal_keys=None) -> dict:
        if not isinstance(found, dict):
            self._refuse(key, found, "a mapping")
        for name in found:
            if legal_keys is not None and name not in legal_keys:
                raise InputError(
                    f"{self.path}: {key} has the unknown key {name!r}; known are "
                    + ", ".join(legal_keys)
                )
        return found

    def plan(self, output: str | None) -> Plan:
        content = self._mapping("the file", self.content, KEYS)
        for key in ("output", "seeds", "variants"):
            if key not in content and not (key == "output" and output):
                raise InputError(f"{self.path}: {key} is missing")
        folder = self._path("output", output or content["output"])
        seeds = content["seeds"]
        if (
            not isinstance(seeds, list)
            or not seeds
            or not all(type(seed) is int and seed >= 0 for seed in seeds)
            or len(set(seeds)) < len(seeds)
        ):
            self._refuse("seeds", seeds, "a list of different integers of 0 or more")
        variants = self._mapping("variants", content["variants"])
        if not variants:
            self._refuse("variants", variants, "one or more variants")
        self._names("variants", variants)
        self._names("evaluations", self._mapping("evaluations", content.get("evaluations", {})))
        variants = {
            str(name): self._variant(str(name), variant or {}, folder, seeds)
            for name, variant in variants.items()
        }
        baselines = content.get("baselines", [next(iter(variants))])
        if not isinstance(baselines, list) or not all(b in list(variants) for b in baselines):
            self._refuse("baselines", baselines, "a list of variants: " + ", ".join(variants))
        pool = content.get("pool_seeds", False)
        if type(pool) is not bool or (pool and min(len(seeds), len(variants)) < 2):
            self._refuse("pool_seeds", pool, "true (with two or more seeds and variants) or false")
        title = str(content.get("title", folder.name))
        return Plan(title, folder, tuple(seeds), variants, tuple(baselines), pool)

    def _path(self, key: str, found) -> Path:
        if not isinstance(found, str) or not found:
            self._refuse(key, found, "a folder")
        return Path(found)

    def _names(self, key: str, names) -> None:
        folders = [file_name(str(name)) for name in names]
        if len(set(folders)) < len(folders) or {"", ".", "..", *RESERVED} & set(folders):
            legal = "names whose folders differ, and none of " + ", ".join(RESERVED)
            self._refuse(key, list(names), legal)

    def _start(self, key: str, start) -> Run | None:
        if start is None:
            return None
        start = self._mapping(key, start, ("config", "output", "opts"))
        for name in ("config", "output"):
            if name not in start:
                raise InputError(f"{self.path}: {key}.{name} is missing")
        opts = self._opts(f"{key}.opts", start.get("opts", {}))
        folder = self._path(f"{key}.output", start["output"])
        run = Run(key.removeprefix("variants."), folder, self._config(key, start), opts)
        known = self.starts.setdefault(folder, run)
        if (known.config_file, known.opts) != (run.config_file, run.opts):
            self._refuse(f"{key}.output", str(folder), f"another folder than that of {known.name}")
        return known

    def _variant(self, name: str, variant, folder: Path, seeds) -> tuple[Run, ...]:
        key = f"variants.{name}"
        variant = self._mapping(key, variant, ("config", "opts", "runs", "start"))
        if ("runs" in variant) == ("config" in variant):
            raise InputError(f"{self.path}: {key} must have either config or runs")
        if "runs" in variant:
            return self._finished(name, variant, seeds)
        opts = self._opts("opts", self.content.get("opts", {}))
        opts += self._opts(f"{key}.opts", variant.get("opts", {}))
        if "start" in variant:
            start = self._start(f"{key}.start", variant["start"])
        else:
            start = self._start("start", self.content.get("start"))
        if start is not None:
            opts = ("MODEL.WEIGHTS", str(start.folder / "model_final.pth"), *opts)
        evaluations = self._mapping("evaluations", self.content.get("evaluations", {}))
        evaluations = {str(n): self._opts(f"evaluations.{n}", o) for n, o in evaluations.items()}
        config_file = self._config(key, variant)
        return tuple(
            Run(
                f"{name}/seed_{seed}",
                folder / file_name(name) / f"seed_{seed}",
                config_file,
                (*opts, "SEED", str(seed)),
                evaluations,
                start,
            )
            for seed in seeds
        )

    def _finished(self, name: str, variant: dict, seeds) -> tuple[Run, ...]:
        folders = variant["runs"]
        for key in variant.keys() - {"runs"}:
            raise InputError(f"{self.path}: variants.{name}.{key} is for configs, not for runs")
        if (
            not isinstance(folders, list)
            or len(folders) != len(seeds)
            or not all(isinstance(folder, str) and folder for folder in folders)
            or len({os.path.abspath(folder) for folder in folders}) < len(folders)
        ):
            legal = f"a list of {len(seeds)} different folders, one for each seed"
            self._refuse(f"variants.{name}.runs", folders, legal)
        evaluations = dict.fromkeys(map(str, self.content.get("evaluations", {})), ())
        pairs = zip(seeds, folders, strict=True)
        return tuple(
            Run(f"{name}/seed_{seed}", Path(folder), evaluations=evaluations)
            for seed, folder in pairs
        )

    def _config(self, key: str, node: dict) -> str:
        path = Path(self.path).parent / str(node["config"])
        if not path.is_file():
            raise InputError(f"{self.path}: {key}.config: {os.path.normpath(path)} is no file")
        return os.path.normpath(path)

    def _opts(self, key: str, opts) -> tuple[str, ...]:
        """{key: value} as Detectron2's KEY VALUE ...."""
        opts = self._mapping(key, opts)
        return tuple(text for name, value in opts.items() for text in (str(name), str(value)))
