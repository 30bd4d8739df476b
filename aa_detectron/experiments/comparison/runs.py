"""Trains and evaluates what is missing, each step in a process of its own.

A run's folder, and in it that of each further evaluation, has beside what tools/train_net.py leaves

    run.yaml    the whole config, written before the step; of a training that starts from another
                one, that one's, too
    step.json   written after the step: command, seconds, commit, machine
    console.txt what the step has printed
    .lock       (the run's only) held while a process works on the run; has its number

A step that has its step.json is not made again. One that was killed is started again with
``--resume``, which for a training means from the last checkpoint, with the same weights in the end.
"""

import contextlib
import fcntl
import functools
import json
import os
import platform
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import NamedTuple, TextIO

import torch
import yaml
from detectron2.config import get_cfg
from tqdm import tqdm

from aa_detectron import compat
from aa_detectron.config import add_aa_config
from aa_detectron.engine.launch import load_config
from aa_detectron.errors import InputError
from aa_detectron.utils.files import replacing, write_json

from .plan import MAIN, Plan, Run

STEP = "step.json"
CONFIG = "run.yaml"
MADE = ("command", "seconds", "commit", "machine", "torch", "detectron2", "python")
"""What STEP has."""
START = "START"
"""The key in run.yaml of the config of the training that a run starts from."""


class Step(NamedTuple):
    """A training, or a further evaluation of what it left."""

    run: Run
    evaluation: str
    """:data:`.plan.MAIN` for the training, which evaluates at its end."""

    @property
    def name(self) -> str:
        return f"{self.run.name}, {self.evaluation}" if self.evaluation else self.run.name

    def arguments(self, num_gpus: int) -> list[str]:
        """Of tools/train_net.py."""
        run, options = self.run, []
        if self.evaluation:
            options += ["MODEL.WEIGHTS", str(run.folder / "model_final.pth")]
            options += run.evaluations[self.evaluation]
        options += ["OUTPUT_DIR", str(run.evaluation_folder(self.evaluation))]
        # "auto": the port that Detectron2 takes else is the same for all runs of a user.
        gpus = ["--num-gpus", str(num_gpus), "--dist-url", "auto"] if num_gpus else []
        return [
            *("--config-file", run.config_file),
            "--eval-only" if self.evaluation else "--resume",
            *gpus,
            *run.opts,
            *options,
        ]


def steps_of(run: Run) -> list[Step]:
    """All steps of a run; none of a run that is only read."""
    return [Step(run, e) for e in (MAIN, *run.evaluations)] if run.config_file else []


def finished_steps(run: Run) -> dict[str, dict]:
    """What is known of the finished steps, by evaluation."""
    steps = {}
    for evaluation in (MAIN, *run.evaluations):
        path = run.evaluation_folder(evaluation) / STEP
        if path.exists():
            steps[evaluation] = _read_step(path)
    return steps


def _read_step(path: Path) -> dict:
    try:
        step = json.loads(path.read_text())
        return {key: step[key] for key in MADE}
    except (LookupError, TypeError, ValueError) as error:
        raise InputError(f"{path}: is broken ({error!r}); remove it and start again") from error


def missing_steps(run: Run) -> list[Step]:
    """Those of :func:`steps_of` that are not finished."""
    done = finished_steps(run)
    return [step for step in steps_of(run) if step.evaluation not in done]


def load_run_config(run: Run, evaluation: str = MAIN, *, eval_only: bool = False):
    """The config of a run's step as a CfgNode; of a run that is only read, its config.yaml."""
    if run.config_file is None:
        path = run.evaluation_folder(evaluation) / "config.yaml"
        if not path.is_file():
            raise InputError(f"{path}: is missing, so this is not the folder of a finished run")
        return _load(str(path), [])
    return _load(*_file_and_options(Step(run, evaluation)), eval_only=eval_only)


def _file_and_options(step: Step) -> tuple[str, list[str]]:
    arguments = step.arguments(0)
    return arguments[1], arguments[3:]


def _load(config_file: str, opts: list[str], *, eval_only: bool = True):
    return load_config(config_file, opts, eval_only=eval_only)


def data_sets(run: Run, evaluation: str = MAIN) -> tuple[str, str]:
    """The data sets of an evaluation: that of accuracy, and that of consistency.

    Raises:
        InputError: there is not exactly one of each.
    """
    cfg = load_run_config(run, evaluation, eval_only=True)
    pairs = cfg.TEST.CONSISTENCY.DATASETS or cfg.DATASETS.TEST
    for key, names in (("DATASETS.TEST", cfg.DATASETS.TEST), ("TEST.CONSISTENCY.DATASETS", pairs)):
        if len(names) != 1:
            raise InputError(f"{run.folder}: {key} is {tuple(names)}, but must be one data set")
    return cfg.DATASETS.TEST[0], pairs[0]


def asked_config(run: Run, evaluation: str = MAIN) -> dict:
    """The config of a run's step, and under :data:`START` that of the training it starts from."""
    asked = yaml.safe_load(load_run_config(run, evaluation, eval_only=bool(evaluation)).dump())
    if run.start and not evaluation:
        asked[START] = asked_config(run.start)
    return asked


def check_folder(folder: Path, asked: dict) -> None:
    """Keys that were added since have had their defaults; the device decides nothing.

    Raises:
        InputError: the folder holds a step of another config, finished or begun.
    """
    path = folder / CONFIG
    if not _begun(folder):
        return
    if not path.exists():
        raise InputError(f"{folder}: holds a training that no comparison has made")
    try:
        kept = yaml.safe_load(path.read_text())
    except (ValueError, yaml.YAMLError):
        kept = None
    if not isinstance(kept, dict):
        raise InputError(f"{path}: is broken; remove {folder} or choose another output")
    kept, asked, default = (dict(_leaves(node)) for node in (kept, asked, default_config()))
    for key in sorted(asked.keys() - {"MODEL.DEVICE", f"{START}.MODEL.DEVICE"}):
        found = kept.get(key, default.get(key.removeprefix(f"{START}.")))
        if found != asked[key]:
            raise InputError(
                f"{folder}: holds a run whose {key} is {found!r}, but "
                f"{asked[key]!r} is asked for; remove it or choose another output"
            )


def _begun(folder: Path) -> bool:
    return any((folder / name).exists() for name in (STEP, "console.txt", "last_checkpoint"))


def prepare(runs: list[Run]) -> dict[Run, int]:
    """Checks the configs of all steps of all runs, and only then keeps them in their folders.

    Args:
        runs: with configs.

    Returns:
        the iterations of their trainings.

    Raises:
        InputError, InvalidOption: a config that cannot be used, or differs from that of the step
            which is in the folder.
    """
    configs = {}
    for run in tqdm(runs, desc="configs", unit="run"):
        for evaluation in (MAIN, *run.evaluations):
            folder = run.evaluation_folder(evaluation)
            if folder in configs:
                raise InputError(f"{folder}: is the folder of two trainings")
            configs[folder] = asked_config(run, evaluation)
            check_folder(folder, configs[folder])
    for folder, config in configs.items():
        if not _begun(folder):
            with replacing(folder / CONFIG) as temporary:
                temporary.write_text(yaml.safe_dump(config))
    return {run: configs[run.folder]["SOLVER"]["MAX_ITER"] for run in runs}


@functools.cache
def default_config() -> dict:
    """The config without any file."""
    cfg = get_cfg()
    add_aa_config(cfg)
    return yaml.safe_load(cfg.dump())


def _leaves(node: dict, prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def environment() -> dict[str, str]:
    """Commit, machine and versions, for the results."""
    root = Path(__file__).resolve().parents[2]
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        cwd=root,
        capture_output=True,
        text=True,
    )
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else _processor()
    return {
        "commit": commit.stdout.strip() or "unknown",
        "machine": f"{device}, {os.cpu_count()} CPU cores",
        "torch": torch.__version__,
        "detectron2": compat.describe_build().partition(" in ")[0],  # without its path
        "python": platform.python_version(),
    }


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


@contextlib.contextmanager
def locked(
    run: Run, say: Callable[[str], None], stopped: threading.Event | None = None
) -> Iterator[TextIO]:
    """Holds the run's lock; yields its file, for the child that does the work.

    The lock lasts as long as any process has the file. A child that survived its parent's SIGKILL
    finishes its step, and whoever comes next waits for it.

    Raises:
        InputError: the folder's file system has no locks.
        KeyboardInterrupt: ``stopped`` was set while waiting.
    """
    stopped = stopped or threading.Event()
    run.folder.mkdir(parents=True, exist_ok=True)
    with open(run.folder / ".lock", "a+") as file:
        if not _acquired(file):
            file.seek(0)
            say(f"{run.name}: waiting for process {file.read().strip()}, which works on it")
            while not _acquired(file):
                if stopped.wait(0.5):
                    raise KeyboardInterrupt
        yield file


def _acquired(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise InputError(f"{file.name}: cannot be locked ({error.strerror})") from error
    return True


class Executor:
    """Runs steps as child processes.

    Args:
        command: what starts tools/train_net.py.
        jobs: runs at a time; they share the CPU's cores.
        num_gpus: of each step; 0 for none. Runs at a time have GPUs of their own as far as there
            are enough.
        say: prints a line.
    """

    def __init__(self, command: list[str], jobs: int, num_gpus: int, say: Callable[[str], None]):
        self.command, self.jobs, self.num_gpus, self.say = command, jobs, num_gpus, say
        self.slots = queue.SimpleQueue()
        for slot in range(jobs):
            self.slots.put(slot)
        self.children = set()
        self.stopped = threading.Event()

    def finish(self, run: Run) -> None:
        """Makes the steps of a run that are missing.

        Raises:
            InputError: a step has failed; the line names its log.
        """
        slot = self.slots.get()
        try:
            with locked(run, self.say, self.stopped) as lock:
                for step in missing_steps(run):
                    if not self.stopped.is_set():
                        made = self._execute(step, lock, slot)
                        write_json(run.evaluation_folder(step.evaluation) / STEP, made)
        finally:
            self.slots.put(slot)

    def _environment(self, slot: int) -> dict[str, str]:
        threads = max(1, (os.cpu_count() or 1) // self.jobs)
        added = {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"} | os.environ
        all_gpus = map(str, range(torch.cuda.device_count()))
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(all_gpus)).split(",")
        if 0 < self.num_gpus <= len(gpus) and gpus[0]:
            first = slot * self.num_gpus
            own = [gpus[i % len(gpus)] for i in range(first, first + self.num_gpus)]
            added["CUDA_VISIBLE_DEVICES"] = ",".join(own)
        return added

    def _execute(self, step: Step, lock: TextIO, slot: int) -> dict:
        arguments = step.arguments(self.num_gpus)
        folder = step.run.evaluation_folder(step.evaluation)
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / "console.txt"
        started, made_in = time.time(), environment()
        with open(log, "a") as output:
            child = subprocess.Popen(
                [*self.command, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment(slot),
                pass_fds=[lock.fileno()],
                start_new_session=True,
            )
        self.children.add(child)
        if self.stopped.is_set():  # in between, and has not seen this child
            self.stop()
        lock.truncate(0)
        print(child.pid, file=lock, flush=True)
        status = child.wait()
        self.children.discard(child)
        if self.stopped.is_set():
            raise KeyboardInterrupt
        if status:
            last = log.read_text(errors="replace").strip().splitlines()[-1:]
            raise InputError(f"{step.name}: failed, see {log}, which ends in: {''.join(last)}")
        command = ["tools/train_net.py", *arguments]
        return {
            "command": command,
            "seconds": round(time.time() - started, 1),
            **made_in,
        }

    def stop(self) -> None:
        """Ends the children."""
        self.stopped.set()
        for child in list(self.children):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGTERM)

    def finish_all(self, runs: list[Run]) -> None:
        """:meth:`finish` for all, ``jobs`` at a time; the first error ends all."""
        with ThreadPoolExecutor(self.jobs) as pool:
            futures = [pool.submit(self.finish, run) for run in runs]
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
            except BaseException:
                for future in futures:
                    future.cancel()
                self.stop()
                raise


def iterations_done(run: Run) -> int:
    """Iterations that a run's training has logged."""
    path = run.folder / "metrics.json"
    with contextlib.suppress(OSError, ValueError, KeyError, IndexError):
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - 20000))
            lines = file.read().splitlines()
        return json.loads(lines[-1])["iteration"] + 1
    return 0


@contextlib.contextmanager
def progress(iterations: dict[Run, int], interval: float = 5):
    """Shows the iterations of all trainings with the time left; yields what prints a line."""
    total = sum(iterations.values())

    def done() -> int:
        return sum(
            n if MAIN in finished_steps(run) else min(n, iterations_done(run))
            for run, n in iterations.items()
        )

    bar = tqdm(total=total, initial=done(), unit="it", desc="training", dynamic_ncols=True)
    ended = threading.Event()

    def watch():
        while not ended.wait(interval):
            bar.n = max(bar.n, done())
            bar.refresh()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield bar.write
    finally:
        ended.set()
        thread.join()
        bar.n = done()
        bar.close()


def train_missing(plan: Plan, train_net: str, *, jobs: int = 1, num_gpus: int = 0) -> None:
    """Makes all steps of a comparison that are not finished.

    Args:
        plan: the comparison.
        train_net: path of tools/train_net.py.
        jobs: runs at a time; they share the CPU's cores.
        num_gpus: of each run.

    Raises:
        InputError, InvalidOption: a config that cannot be used, a folder with another run, or a
            step that has failed.
    """
    groups = [plan.starts, [run for run in plan.runs if run.config_file]]
    for run in plan.runs:  # to say at once what is missing
        for evaluation in (MAIN, *run.evaluations):
            data_sets(run, evaluation)
            folder = run.evaluation_folder(evaluation)
            if not run.config_file and (folder / CONFIG).exists() and not (folder / STEP).exists():
                raise InputError(f"{folder}: has not been finished, there is no {STEP}")
    iterations = prepare([run for group in groups for run in group])
    todo = [[run for run in group if missing_steps(run)] for group in groups]
    if not any(todo):
        return
    with progress(iterations) as say:
        executor = Executor([sys.executable, train_net], jobs, num_gpus, say)
        for group in todo:
            executor.finish_all(group)
