"""Which steps are finished, and with which code and on which machine they ran.

The file step.json in a step's folder holds the command, seconds, commit, machine and versions. It
is written after the step. A step with this file is finished and does not run again.
"""

import contextlib
import json
import math
import os
import platform
import subprocess
from pathlib import Path

import torch

from aa_detectron import compat
from aa_detectron.errors import InputError
from aa_detectron.utils.files import write_json

from .runs import Run, Step

STEP = "step.json"
ENVIRONMENT = ("commit", "machine", "torch", "detectron2", "python")
"""The keys of :func:`environment`."""
ROOT = Path(__file__).resolve().parents[3]
FOREIGN = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX")
"""Environment variables that point git to another repository."""


def finished_steps(run: Run) -> dict[str, dict]:
    """The content of step.json for each finished step, by evaluation.

    Raises:
        InputError: a step.json cannot be read.
    """
    return {
        step.evaluation: _read_step(step.folder / STEP)
        for step in run.steps
        if os.path.exists(step.folder / STEP)
    }


def missing_steps(run: Run) -> list[Step]:
    """The steps that are not finished; empty for a run without a config."""
    if run.config_file is None:
        return []
    done = finished_steps(run)
    return [step for step in run.steps if step.evaluation not in done]


def keep_step(step: Step, command: list[str], seconds: float, made_in: dict[str, str]) -> None:
    """Writes step.json, which marks the step as finished.

    Args:
        step: the step.
        command: command of the step.
        seconds: duration of the step.
        made_in: return value of :func:`environment` at the start of the step.
    """
    made = {"command": command, "seconds": round(seconds, 1), **made_in}
    write_json(step.folder / STEP, made)


def _read_step(path: Path) -> dict:
    try:
        step = json.loads(path.read_text())
        found = {key: step[key] for key in ("command", "seconds", *ENVIRONMENT)}
    except (LookupError, OSError, RecursionError, TypeError, ValueError) as error:
        raise InputError(f"{path}: is broken ({error!r}); remove it and start again") from error
    command, seconds = found["command"], found["seconds"]
    is_legal = {
        "command": isinstance(command, list) and all(isinstance(part, str) for part in command),
        "seconds": type(seconds) in (int, float) and 0 <= seconds < math.inf,
    } | {key: isinstance(found[key], str) for key in ENVIRONMENT}
    for key in (key for key, legal in is_legal.items() if not legal):
        raise InputError(f"{path}: is broken ({key} is {found[key]!r}); remove it and start again")
    return found


def environment() -> dict[str, str]:
    """Commit, machine and versions."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else _processor()
    return {
        "commit": commit(ROOT),
        "machine": f"{device}, {os.cpu_count()} CPU cores",
        "torch": torch.__version__,
        "detectron2": compat.describe_build().partition(" in ")[0],  # without its path
        "python": platform.python_version(),
    }


def commit(root: Path) -> str:
    """The commit of a checkout of this project.

    Args:
        root: folder that contains the package.

    Returns:
        the commit, "d25599c9284a-dirty" for example. "unknown" without git, and if the folder is
        not the root of a repository with the package: an installed package may be inside another
        repository.
    """
    top = _git(root, "rev-parse", "--show-toplevel")
    if not top or Path(top).resolve() != root.resolve():
        return "unknown"
    if not _git(root, "ls-files", "aa_detectron/__init__.py"):
        return "unknown"
    return _git(root, "describe", "--always", "--dirty", "--abbrev=12") or "unknown"


def _git(root: Path, *arguments: str) -> str:
    """The output of git; empty if git fails or is missing."""
    variables = {key: value for key, value in os.environ.items() if key not in FOREIGN}
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        command = ["git", "-C", str(root), *arguments]
        done = subprocess.run(command, capture_output=True, env=variables, timeout=60)
        if done.returncode == 0:
            return os.fsdecode(done.stdout).strip()
    return ""


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
