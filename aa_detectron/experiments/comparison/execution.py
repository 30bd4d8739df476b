"""Runs the missing steps of a comparison, each step in a process of its own.

A killed step is started again with ``--resume``. A training then continues from its last checkpoint
and ends with the same weights. The output of a step is in console.txt in the step's folder.
"""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TextIO

import torch

from aa_detectron.errors import InputError

from .configs import CONFIG, config_of, prepare, tested_datasets
from .locks import locked
from .plan import Plan
from .progress import progress
from .provenance import STEP, environment, keep_step, missing_steps
from .runs import Run, Step


def arguments(step: Step, num_gpus: int = 0, own: Sequence[str] = ()) -> list[str]:
    """The arguments of the command ``aa-train`` for a step.

    Args:
        step: step of a run with a config.
        num_gpus: number of GPUs of the step; 0 for the CPU.
        own: arguments that register the user's own data and models.
    """
    # "auto": Detectron2's default port is the same for all runs of a user.
    gpus = ["--num-gpus", str(num_gpus), "--dist-url", "auto"] if num_gpus else []
    mode = "--eval-only" if step.evaluation else "--resume"
    config_file, opts = config_of(step)
    return ["--config-file", config_file, mode, *gpus, *own, *opts]


class Executor:
    """Runs steps as child processes.

    Args:
        command: command that takes the arguments of ``aa-train``.
        jobs: number of runs at a time; they share the CPU's cores.
        num_gpus: number of GPUs of each step; 0 for the CPU. Runs at a time use different GPUs if
            there are enough.
        say: function that prints a line.
        own: see :func:`arguments`.
    """

    def __init__(
        self,
        command: list[str],
        jobs: int,
        num_gpus: int,
        say: Callable[[str], None],
        own: Sequence[str] = (),
    ):
        self.command, self.jobs, self.num_gpus, self.say = command, jobs, num_gpus, say
        self.own = own
        self.slots: queue.SimpleQueue[int] = queue.SimpleQueue()
        for slot in range(jobs):
            self.slots.put(slot)
        self.children: set[subprocess.Popen] = set()
        self.stopped = threading.Event()

    def finish(self, run: Run) -> None:
        """Runs the missing steps of a run.

        Raises:
            InputError: a step has failed; the message names the step's log.
        """
        slot = self.slots.get()
        try:
            with locked(run, self.say, self.stopped) as lock:
                for step in missing_steps(run):
                    if not self.stopped.is_set():
                        self._execute(step, lock, slot)
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

    def _execute(self, step: Step, lock: TextIO, slot: int) -> None:
        options = arguments(step, self.num_gpus, self.own)
        step.folder.mkdir(parents=True, exist_ok=True)
        log = step.folder / "console.txt"
        started, made_in = time.time(), environment()
        status = self._run([*self.command, *options], log, lock, slot)
        if self.stopped.is_set():
            raise KeyboardInterrupt
        if status:
            last = log.read_text(errors="replace").strip().splitlines()[-1:]
            raise InputError(f"{step.name}: failed, see {log}, which ends in: {''.join(last)}")
        # Without the path of the interpreter, which other machines lack.
        shown = ["python" if word == sys.executable else word for word in self.command]
        keep_step(step, [*shown, *options], time.time() - started, made_in)

    def _run(self, command: list[str], log: Path, lock: TextIO, slot: int) -> int:
        """Runs a child that prints to ``log`` and holds ``lock``; returns its exit status."""
        with open(log, "a") as output:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment(slot),
                pass_fds=[lock.fileno()],
                start_new_session=True,
            )
        self.children.add(child)
        if self.stopped.is_set():  # by a stop() that has not seen this child
            self.stop()
        lock.truncate(0)
        print(child.pid, file=lock, flush=True)
        status = child.wait()
        self.children.discard(child)
        return status

    def stop(self) -> None:
        """Ends all children."""
        self.stopped.set()
        for child in list(self.children):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGTERM)

    def finish_all(self, runs: list[Run]) -> None:
        """Finishes all runs, ``jobs`` at a time; the first error ends all of them."""
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


def train_missing(
    plan: Plan,
    command: list[str],
    *,
    jobs: int = 1,
    num_gpus: int = 0,
    own: Sequence[str] = (),
) -> None:
    """Runs all missing steps of a comparison.

    Args:
        plan: the comparison.
        command: command that takes the arguments of ``aa-train``.
        jobs: number of runs at a time; they share the CPU's cores.
        num_gpus: number of GPUs of each run; 0 for the CPU.
        own: see :func:`arguments`.

    Raises:
        InputError, InvalidOption: a config cannot be used, a folder holds another run, or a step
            has failed.
    """
    for run in plan.runs:  # fails before any training starts
        for step in run.steps:
            tested_datasets(run, step.evaluation)
            if run.config_file is None:
                _check_finished(step)
    groups = [plan.starts, [run for run in plan.runs if run.config_file]]
    iterations = prepare([run for group in groups for run in group])
    todo = [[run for run in group if missing_steps(run)] for group in groups]
    if not any(todo):
        return
    with progress(iterations) as say:
        executor = Executor(command, jobs, num_gpus, say, own)
        for group in todo:
            executor.finish_all(group)


def _check_finished(step: Step) -> None:
    if (step.folder / CONFIG).exists() and not (step.folder / STEP).exists():
        raise InputError(f"{step.folder}: is not finished, {STEP} is missing")
