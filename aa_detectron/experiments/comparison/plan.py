"""The runs of a comparison, from its YAML file::

    title: Mask R-CNN on Shapes        # title of the table and the report
    output: output/comparisons/shapes  # folder of the results; runs: <output>/<variant>/seed_<n>
    seeds: [1, 2, 3]
    start:                             # optional: a training whose weights all runs start from
      config: ../Shapes-Classification/resnet_R_18_plain.yaml
      output: output/comparisons/start
      opts: {SOLVER.MAX_ITER: 3000}
    opts: {SOLVER.MAX_ITER: 2000}      # optional: for all variants
    evaluations:                       # optional: further tests of the trained models
      to 8 px: {TEST.CONSISTENCY.MAX_SHIFT: 8}
    variants:
      plain: {config: ../Shapes-InstanceSegmentation/demo_plain.yaml}
      blur: {config: ..., opts: {MODEL.ANTIALIAS.KERNEL_SIZE: 5}}
      own start: {config: ..., start: {config: ..., output: ...}}  # null: random weights
      trained before: {runs: [output/a, output/b, output/c]}  # finished runs, one for each seed
    baselines: [plain, blur]           # every other variant is compared with each baseline
    primary:                           # optional: the differences that conclusions rest on
      own start: [mask AP, "mask mAISC, to 8 px"]
    front: [mask AP, "mask mAISC, to 8 px"]  # optional: the axes of a figure of all variants
    pool_seeds: true                   # optional: one spread between seeds for all variants

Paths of configs are relative to the file of the comparison; a config that is not there is found by
its name in ``configs/``. All other paths are relative to the current folder. As in Detectron2's
configs, ``_BASE_`` names a file whose keys are inherited. Inherited paths of configs are relative
to the file that has ``_BASE_``.
"""

import itertools
import logging
import os
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from aa_detectron.errors import InputError
from aa_detectron.model_zoo import find_config

from . import schema
from .configs import finished_seed
from .runs import MAIN, Options, Run, file_name

logger = logging.getLogger(__name__)

RESERVED = ("inference", "figures", "last_checkpoint")
"""Names of folders and files that evaluations, reports and trainings write."""
SUFFIXES = (".csv", ".html", ".json", ".md", ".pth", ".txt", ".yaml")
"""Suffixes of the files that they write."""
LONGEST = 100
"""Number of characters that a name may have; it is also the name of a folder."""


@dataclass(frozen=True, eq=False)
class Plan:
    """A comparison: its runs and its baselines."""

    title: str
    output: Path
    seeds: tuple[int, ...]
    variants: dict[str, tuple[Run, ...]]
    """One run for each seed, in the order of ``seeds``, by the names of the variants."""
    baselines: tuple[str, ...]
    primary: dict[str, list[str]] = field(default_factory=dict)
    """Metrics of the primary differences by variant, each against every baseline; see
    :mod:`.primary`."""
    front: tuple[str, ...] = ()
    """The two metrics of the figure of all variants, x and y, if there is one; see
    :func:`.find_front`."""
    pool_seeds: bool = False
    """Whether the spread between seeds is estimated from all variants; see :mod:`.statistics`."""

    @property
    def runs(self) -> list[Run]:
        """The runs of all variants, ordered by seed, so that the first runs to finish can already
        be compared."""
        return [run for runs in zip(*self.variants.values(), strict=True) for run in runs]

    @property
    def evaluations(self) -> list[str]:
        """The names of all evaluations, :data:`MAIN` first."""
        return [MAIN, *self.runs[0].evaluations]

    @property
    def starts(self) -> list[Run]:
        """The trainings whose weights runs start from, each once."""
        return list(dict.fromkeys(run.start for run in self.runs if run.start))

    @property
    def contrasts(self) -> list[tuple[str, str]]:
        """All pairs (variant, baseline) that are compared; two baselines make one pair."""
        return [
            (variant, baseline)
            for number, baseline in enumerate(self.baselines)
            for variant in self.variants
            if variant not in self.baselines[: number + 1]
        ]


def read_plan(path: str, output: str | None = None) -> Plan:
    """Reads a comparison's file.

    Args:
        path: path of the file, or its name in ``configs/``.
        output: folder that replaces the file's ``output``.

    Raises:
        InputError: a file cannot be read, or a key is missing, unknown or illegal.
    """
    path = find_config(path)
    content = schema.load(path)
    if output is not None:
        content = content | {"output": output}
    return _Reader(path, content).plan()


def plan_of_runs(arguments: Sequence[str], output: str, baselines: list[str] | None = None) -> Plan:
    """A comparison of finished runs.

    Args:
        arguments: "NAME=FOLDER[,FOLDER...]" for each variant, with one folder for each seed.
        output: folder of the results.
        baselines: names of the baselines; None stands for the first variant.

    Raises:
        InputError: an argument has another form, the numbers of folders differ, a folder is in two
            variants or of a LazyConfig, or the variants have the same seeds in different orders.
    """
    variants: dict[str, dict] = {}
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
    return _Reader("command line", content).plan()


class _Reader:
    """Turns a file's content into a :class:`Plan`; errors name the file and the key."""

    def __init__(self, path: str, content: dict):
        self.path = path
        self.content = schema.check(schema.Comparison, content, path)
        self.starts: dict[Path, Run] = {}

    def _reject(self, key: str, found: object, legal: str) -> NoReturn:
        raise InputError(f"{self.path}: {key} is {found!r}, but must be {legal}")

    def plan(self) -> Plan:
        content, folder = self.content, Path(self.content.output)
        self._names("variants", content.variants)
        self._names("evaluations", content.evaluations)
        variants = {
            name: self._variant(name, variant)
            if variant.runs is None
            else self._finished(name, variant, variant.runs)
            for name, variant in content.variants.items()
        }
        _check_folders(variants)
        self._check_seeds(variants)
        baselines = self._baselines(list(variants))
        if content.pool_seeds and min(len(content.seeds), len(variants)) < 2:
            legal = "false unless there are two or more seeds and variants"
            self._reject("pool_seeds", content.pool_seeds, legal)
        title = " ".join(str(content.title or folder.name).split())
        if not title.isprintable():
            self._reject("title", content.title, "printable text")
        seeds = tuple(content.seeds)
        self._check_primary([name for name in variants if name not in baselines])
        return Plan(
            title,
            folder,
            seeds,
            variants,
            baselines,
            primary=content.primary,
            front=tuple(content.front or ()),
            pool_seeds=content.pool_seeds,
        )

    def _check_seeds(self, variants: dict[str, tuple[Run, ...]]) -> None:
        """Rejects finished runs in another order of their seeds; warns of seeds that differ."""
        own = self.content.variants
        # Variants with a config first: their seeds have the order that the file asks for.
        seeds: dict[str, list[int | None]] = {
            name: list(map(finished_seed, variants[name]))
            if own[name].runs
            else list(self.content.seeds)
            for name in sorted(variants, key=lambda name: own[name].runs is not None)
        }
        for (first, known), (name, found) in itertools.combinations(seeds.items(), 2):
            is_known = None not in (*known, *found)
            if is_known and found != known and Counter(found) == Counter(known):
                raise InputError(
                    f"{self.path}: variants.{name}.runs has the seeds {found}, but must have them "
                    f"in the order of {first}, {known}"
                )
        places = [
            {variants[name][at].folder: found[at] for name, found in seeds.items()}
            for at in range(len(self.content.seeds))
        ]
        if differing := [place for place in places if len({*place.values()} - {None}) > 1]:
            logger.warning(
                "%s: compares runs whose SEED differs as if it were the same: %s",
                self.path,
                "; ".join(
                    ", ".join(
                        f"{run} has {seed}" for run, seed in place.items() if seed is not None
                    )
                    for place in differing
                ),
            )

    def _check_primary(self, variants: list[str]) -> None:
        primary = self.content.primary
        if not set(primary) <= set(variants):
            legal = "a mapping of variants that are no baseline: " + ", ".join(variants)
            self._reject("primary", list(primary), legal)

    def _baselines(self, variants: list[str]) -> tuple[str, ...]:
        baselines = self.content.baselines
        if baselines is None:
            return (variants[0],)
        if not set(baselines) <= set(variants):
            self._reject("baselines", baselines, "a list of variants: " + ", ".join(variants))
        return tuple(baselines)

    def _names(self, key: str, names: Collection[str]) -> None:
        for name in names:
            if not (name.isprintable() and len(name) <= LONGEST):
                self._reject(key, list(names), f"printable names of up to {LONGEST} characters")
        folders = [file_name(name) for name in names]
        if len(set(folders)) < len(folders) or any(map(_is_reserved, folders)):
            endings = ", ".join(SUFFIXES)
            legal = (
                f"names whose folders differ, and none of {', '.join(RESERVED)}, none with a dot "
                f"first or with the ending of a file ({endings})"
            )
            self._reject(key, list(names), legal)

    def _start(self, key: str, start: schema.Start | None) -> Run | None:
        if start is None:
            return None
        config_file, folder = self._config(key, start.config), Path(start.output)
        run = Run(key.removeprefix("variants."), folder, config_file, _options(start.opts))
        known = self.starts.setdefault(folder, run)
        if (known.config_file, known.opts) != (run.config_file, run.opts):
            self._reject(
                f"{key}.output", str(folder), f"another folder than the output of {known.name}"
            )
        return known

    def _variant(self, name: str, variant: schema.Variant) -> tuple[Run, ...]:
        key = f"variants.{name}"
        if variant.config is None:
            raise InputError(f"{self.path}: {key} must have either config or runs")
        if variant.start is schema.INHERITED:
            start = self._start("start", self.content.start)
        else:
            start = self._start(f"{key}.start", variant.start)
        opts = _options(self.content.opts) + _options(variant.opts or {})
        if start is not None:
            opts = ("MODEL.WEIGHTS", str(start.folder / "model_final.pth"), *opts)
        evaluations = {n: _options(opts) for n, opts in self.content.evaluations.items()}
        config_file = self._config(key, variant.config)
        return tuple(
            Run(
                f"{name}/seed_{seed}",
                Path(self.content.output) / file_name(name) / f"seed_{seed}",
                config_file,
                (*opts, "SEED", str(seed)),
                evaluations,
                start,
            )
            for seed in self.content.seeds
        )

    def _finished(self, name: str, variant: schema.Variant, folders: list) -> tuple[Run, ...]:
        key, seeds = f"variants.{name}", self.content.seeds
        if variant.config is not None:
            raise InputError(f"{self.path}: {key} must have either config or runs")
        given = {"opts": variant.opts is not None, "start": variant.start is not schema.INHERITED}
        for other in (other for other, is_given in given.items() if is_given):
            raise InputError(f"{self.path}: {key}.{other} is for configs, not for runs")
        if len(folders) != len(seeds) or not schema.are_folders(folders):
            legal = f"a list of {len(seeds)} different folders, one for each seed"
            self._reject(f"{key}.runs", folders, legal)
        evaluations: dict[str, Options] = dict.fromkeys(self.content.evaluations, ())
        pairs = zip(seeds, folders, strict=True)
        return tuple(
            Run(f"{name}/seed_{seed}", Path(folder), evaluations=evaluations)
            for seed, folder in pairs
        )

    def _config(self, key: str, config: str) -> str:
        path = os.path.normpath(Path(self.path).parent / config)
        if os.path.isfile(path):
            return path
        named = find_config(config)
        if named == config:
            raise InputError(f"{self.path}: {key}.config: {path} is no file")
        return named


def _check_folders(variants: dict[str, tuple[Run, ...]]) -> None:
    """Raises InputError for a folder that is a run of two variants."""
    owners: dict[str, str] = {}
    for name, runs in variants.items():
        for run in runs:
            owner = owners.setdefault(os.path.realpath(run.folder), name)
            if owner != name:
                raise InputError(
                    f"{run.folder}: is a run of {owner} and of {name}, but must be of one variant"
                )


def _is_reserved(folder: str) -> bool:
    """Whether evaluations, reports or trainings could write a file or folder of this name."""
    folder = folder.lower()  # some file systems ignore case
    starts = (".", "events.out.tfevents", "log.txt")
    return (
        not folder or folder in RESERVED or folder.startswith(starts) or folder.endswith(SUFFIXES)
    )


def _options(opts: dict) -> Options:
    return tuple(text for key, value in opts.items() for text in (key, str(value)))
