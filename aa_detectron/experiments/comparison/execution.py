"""Trains and evaluates what is missing, each step in a process of its own.

A step that was killed is started again with ``--resume``, which for a training means from the last
checkpoint, with the same weights in the end. A step's folder has what it printed in console.txt.
"""

import contextlib
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TextIO

import torch

from aa_detectron.errors import InputError

from .configs import CONFIG, prepare, tested_datasets
from .locks import locked
from .plan import Plan
from .progress import progress
from .provenance import STEP, environment, keep_step, missing_steps
from .runs import Run, Step


def arguments(step: Step, num_gpus: int = 0) -> list[str]:
    """The arguments of tools/train_net.py that make a step.

    Args:
        step: of a run with a config.
        num_gpus: of the step; 0 for none.
    """
    # "auto": the port that Detectron2 takes else is the same for all runs of a user.
    gpus = ["--num-gpus", str(num_gpus), "--dist-url", "auto"] if num_gpus else []
    mode = "--eval-only" if step.evaluation else "--resume"
    return ["--config-file", step.run.config_file, mode, *gpus, *step.opts]


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
        options = arguments(step, self.num_gpus)
        step.folder.mkdir(parents=True, exist_ok=True)
        log = step.folder / "console.txt"
        started, made_in = time.time(), environment()
        status = self._run([*self.command, *options], log, lock, slot)
        if self.stopped.is_set():
            raise KeyboardInterrupt
        if status:
            last = log.read_text(errors="replace").strip().splitlines()[-1:]
            raise InputError(f"{step.name}: failed, see {log}, which ends in: {''.join(last)}")
        keep_step(step, ["tools/train_net.py", *options], time.time() - started, made_in)

    def _run(self, command: list[str], log: Path, lock: TextIO, slot: int) -> int:
        """The exit status of a child that prints to ``log`` and holds ``lock``."""
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
        if self.stopped.is_set():  # in between, and has not seen this child
            self.stop()
        lock.truncate(0)
        print(child.pid, file=lock, flush=True)
        status = child.wait()
        self.children.discard(child)
        return status

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


def train_missing(plan: Plan, command: list[str], *, jobs: int = 1, num_gpus: int = 0) -> None:
    """Makes all steps of a comparison that are not finished.

    Args:
        plan: the comparison.
        command: what takes the arguments of tools/train_net.py.
        jobs: runs at a time; they share the CPU's cores.
        num_gpus: of each run.

    Raises:
        InputError, InvalidOption: a config that cannot be used, a folder with another run, or a
            step that has failed.
    """
    for run in plan.runs:  # to say at once what is missing
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
        executor = Executor(command, jobs, num_gpus, say)
        for group in todo:
            executor.finish_all(group)


def _check_finished(step: Step) -> None:
    if (step.folder / CONFIG).exists() and not (step.folder / STEP).exists():
        raise InputError(f"{step.folder}: has not been finished, there is no {STEP}")
