"""What is run, once, in which order; the real training is in tests/tools/test_compare.py."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from detectron2.data import DatasetCatalog, MetadataCatalog
from helpers import ROOT

from aa_detectron.errors import InputError
from aa_detectron.experiments.comparison import cli, execution
from aa_detectron.experiments.comparison.configs import load_run_config, prepare
from aa_detectron.experiments.comparison.execution import Executor, train_missing
from aa_detectron.experiments.comparison.locks import locked
from aa_detectron.experiments.comparison.plan import plan_of_runs, read_plan
from aa_detectron.experiments.comparison.progress import iterations_done
from aa_detectron.experiments.comparison.provenance import environment, finished_steps

FAKE = [sys.executable, str(Path(__file__).with_name("fake_train_net.py"))]
CONFIG = ROOT / "configs/Shapes-Classification/resnet_R_18_plain.yaml"
TEXT = f"""
output: {{folder}}/out
seeds: [1, 2]
start: {{{{config: {CONFIG}, output: "{{folder}}/out/start/begin"}}}}
evaluations: {{{{near: {{{{TEST.CONSISTENCY.MAX_SHIFT: 4}}}}}}}}
opts: {{{{SOLVER.MAX_ITER: 7}}}}
variants: {{{{a: {{{{config: {CONFIG}}}}}, b: {{{{config: {CONFIG}}}}}}}}}
"""


@pytest.fixture
def plan(tmp_path):
    path = tmp_path / "comparison.yaml"
    path.write_text(TEXT.format(folder=tmp_path))
    return read_plan(str(path))


def calls(folder: Path) -> list[str]:
    path = folder / "calls.txt"
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize("jobs", [1, 3])
def test_every_step_is_made_once(plan, jobs):
    for _ in range(2):
        train_missing(plan, FAKE, jobs=jobs)
    assert len(calls(plan.starts[0].folder)) == 1
    for run in plan.runs:
        (training,), (test,) = calls(run.folder), calls(run.folder / "near")
        assert training.startswith(
            f"--config-file {CONFIG} --resume MODEL.WEIGHTS {plan.starts[0].folder}"
        )
        assert "SOLVER.MAX_ITER 7" in training and f"OUTPUT_DIR {run.folder}" in training
        assert f"--eval-only MODEL.WEIGHTS {plan.starts[0].folder}" in test  # the later ones win:
        assert f"MODEL.WEIGHTS {run.folder}/model_final.pth TEST.CONSISTENCY.MAX_SHIFT 4" in test
        steps = finished_steps(run)
        assert list(steps) == ["", "near"]
        assert {"command", "seconds", "commit", "machine", "torch"} <= steps[""].keys()
        # What ran, without the path of this machine's interpreter.
        assert steps[""]["command"][:3] == ["python", FAKE[1], "--config-file"]


def test_own_parts_are_handed_on(plan, monkeypatch, tmp_path):
    (tmp_path / "beginning.py").touch()
    (tmp_path / "truth.json").write_text("{}")
    own = ["--import", str(tmp_path / "beginning.py"), "--coco"]
    own += ["of_comparison", str(tmp_path / "truth.json"), str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["aa-compare", str(tmp_path / "comparison.yaml"), *own])
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(cli, "TRAIN", FAKE)
    with pytest.raises(InputError, match="has no consistency"):  # the stand-in makes none
        cli.compare(cli.parse_arguments())
    assert DatasetCatalog.pop("of_comparison") and MetadataCatalog.pop("of_comparison")
    del sys.modules["beginning"]
    given = f"--import={own[1]} " + " ".join(own[2:])
    for run in (*plan.starts, *plan.runs):
        (training,) = calls(run.folder)
        assert f" --resume {given} " in training
        assert given in " ".join(finished_steps(run)[""]["command"])


def test_only_what_is_missing_of_a_run_is_made(plan):
    train_missing(plan, FAKE)
    run = plan.runs[0]
    (run.folder / "near" / "step.json").unlink()
    train_missing(plan, FAKE)
    assert len(calls(run.folder)) == 1 and len(calls(run.folder / "near")) == 2
    assert list(finished_steps(run)) == ["", "near"]


@pytest.mark.parametrize(
    "jobs, each, expected", [(1, 2, {"4,5"}), (2, 1, {"4", "5"}), (2, 2, {"4,5", "6,4"})]
)
def test_runs_at_a_time_have_gpus_of_their_own(plan, monkeypatch, jobs, each, expected):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6")
    train_missing(plan, FAKE, jobs=jobs, num_gpus=each)
    lines = [line for run in plan.runs for line in calls(run.folder)]
    assert all(f"--num-gpus {each} --dist-url auto" in line for line in lines)
    assert {line.split("GPUs ")[1] for line in lines} == expected


def test_a_failure_ends_in_one_line_and_is_tried_again(plan, tmp_path):
    (tmp_path / "out" / "a").mkdir(parents=True)
    (tmp_path / "out" / "fail").touch()
    with pytest.raises(InputError, match="start: failed, see .*console.txt, .*: error: no luck"):
        train_missing(plan, FAKE)
    assert not calls(plan.runs[0].folder) and not finished_steps(plan.starts[0])
    (tmp_path / "out" / "fail").unlink()
    train_missing(plan, FAKE)
    assert len(calls(plan.starts[0].folder)) == 2 and len(calls(plan.runs[-1].folder)) == 1


ANOTHER_START = ('begin"', 'begin", opts: {SOLVER.MAX_ITER: 3}')


def read_again(tmp_path, old, new):
    """The plan, whose file has changed."""
    path = tmp_path / "comparison.yaml"
    path.write_text(path.read_text().replace(old, new))
    return read_plan(str(path))


def test_another_config_is_refused_before_anything_runs(plan, tmp_path):
    train_missing(plan, FAKE)
    with pytest.raises(InputError) as refused:
        train_missing(read_again(tmp_path, "MAX_ITER: 7", "MAX_ITER: 8"), FAKE)
    line = str(refused.value)
    assert "SOLVER.MAX_ITER is 7, but 8 is asked for" in line and "\n" not in line
    assert len(calls(plan.runs[0].folder)) == 1


@pytest.mark.parametrize(
    "change, refused",
    [
        (("MAX_SHIFT: 4", "MAX_SHIFT: 5"), "near: holds a run whose .*MAX_SHIFT is 4, but 5"),
        (ANOTHER_START, "begin: holds a run whose SOLVER.MAX_ITER is 1200, but 3"),
    ],
)
def test_another_evaluation_or_start_is_refused(plan, tmp_path, change, refused):
    train_missing(plan, FAKE)
    with pytest.raises(InputError, match=refused):
        train_missing(read_again(tmp_path, *change), FAKE)


def test_runs_of_another_start_are_refused(plan, tmp_path):
    """The start is to be trained again, in the same folder; so must be what came from it."""
    train_missing(plan, FAKE)
    shutil.rmtree(plan.starts[0].folder)
    with pytest.raises(InputError, match="a/seed_1: holds a run whose START.SOLVER.MAX_ITER is"):
        train_missing(read_again(tmp_path, *ANOTHER_START), FAKE)


def test_a_new_evaluation_is_made_of_finished_runs(plan, tmp_path):
    train_missing(plan, FAKE)
    more = read_again(tmp_path, "near: {", "far: {DATALOADER.NUM_WORKERS: 0}, near: {")
    train_missing(more, FAKE)
    assert [len(calls(plan.runs[0].folder / name)) for name in ("", "near", "far")] == [1, 1, 1]


def test_another_device_and_keys_added_since_are_accepted(plan):
    train_missing(plan, FAKE)
    path = plan.runs[0].folder / "run.yaml"
    kept = yaml.safe_load(path.read_text())
    kept["MODEL"]["DEVICE"] = kept["START"]["MODEL"]["DEVICE"] = "elsewhere"
    del kept["TEST"]["CONSISTENCY"]["SEED"]
    path.write_text(yaml.safe_dump(kept))
    train_missing(plan, FAKE)
    assert len(calls(plan.runs[0].folder)) == 1

    for node, key in ((kept, "SOLVER.MAX_ITER"), (kept["START"], "START.SOLVER.MAX_ITER")):
        asked = node["SOLVER"].pop("MAX_ITER")  # another than the default
        path.write_text(yaml.safe_dump(kept))
        with pytest.raises(InputError, match=f" {key} is 40000, but {asked} is asked for"):
            train_missing(plan, FAKE)
        node["SOLVER"]["MAX_ITER"] = asked


def test_a_plan_may_change_until_its_runs_have_begun(plan, tmp_path):
    """What is wrong with a later run is found before any folder is bound to its config."""
    wrong = read_again(tmp_path, "b: {config", "b: {opts: {NOPE: 1}, config")
    with pytest.raises(InputError, match="NOPE"):
        train_missing(wrong, FAKE)
    assert not (tmp_path / "out").exists()
    read_again(tmp_path, "b: {opts: {NOPE: 1}, config", "b: {config")
    prepare(plan.starts + plan.runs)
    train_missing(read_again(tmp_path, "MAX_ITER: 7", "MAX_ITER: 8"), FAKE)
    assert "SOLVER.MAX_ITER 8" in calls(plan.runs[0].folder)[0]
    kept = yaml.safe_load((plan.runs[0].folder / "run.yaml").read_text())
    assert kept["SOLVER"]["MAX_ITER"] == 8


def test_a_start_in_the_folder_of_a_run_is_refused(plan, tmp_path):
    shared = read_again(tmp_path, "out/start/begin", "out/a/seed_1")
    with pytest.raises(InputError, match="out/a/seed_1: is the folder of two trainings"):
        train_missing(shared, FAKE)


def test_only_the_weights_of_a_start_matter(plan, tmp_path):
    untested = read_again(tmp_path, 'begin"', 'begin", opts: {DATASETS.TEST: []}')
    train_missing(untested, FAKE)
    assert len(calls(untested.starts[0].folder)) == 1


def test_runs_that_still_train_are_not_read(plan):
    prepare(plan.starts + plan.runs)
    folder = plan.runs[0].folder
    (folder / "config.yaml").write_text(load_run_config(plan.runs[0]).dump())
    other = plan_of_runs([f"a={folder}"], "out")
    with pytest.raises(InputError, match="is not finished, step.json is missing"):
        train_missing(other, FAKE)


def test_two_datasets_are_refused_before_anything_runs(plan):
    opts = ("DATASETS.TEST", "('shapes_classification_val','shapes_classification_train')")
    two = tuple(replace(run, opts=run.opts + opts) for run in plan.variants["b"])
    plan = replace(plan, variants=plan.variants | {"b": two})
    with pytest.raises(InputError, match="DATASETS.TEST is .*, but must be one dataset"):
        train_missing(plan, FAKE)
    assert not calls(plan.starts[0].folder)


def test_a_training_of_somebody_else_is_refused(plan):
    plan.runs[0].folder.mkdir(parents=True)
    (plan.runs[0].folder / "last_checkpoint").write_text("model_0000001.pth")
    with pytest.raises(InputError, match="holds a training that was not made by a comparison"):
        train_missing(plan, FAKE)


def test_waits_for_a_process_that_works_on_the_run(plan):
    run, said = plan.runs[0], []
    run.folder.mkdir(parents=True)
    with open(run.folder / ".lock", "a+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        print("1234", file=held, flush=True)

        def enter():
            with locked(run, said.append):
                said.append("entered")

        thread = threading.Thread(target=enter)
        thread.start()
        time.sleep(0.5)
        assert said == ["a/seed_1: waiting for process 1234, which works on it"]
        fcntl.flock(held, fcntl.LOCK_UN)
    thread.join(10)
    assert said[1:] == ["entered"]


def test_waiting_can_be_stopped(plan):
    run, stopped = plan.runs[0], threading.Event()
    run.folder.mkdir(parents=True)
    with open(run.folder / ".lock", "a+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        threading.Timer(0.2, stopped.set).start()
        released = threading.Timer(20, fcntl.flock, (held.fileno(), fcntl.LOCK_UN))
        released.start()  # else a failure would wait for ever
        with pytest.raises(KeyboardInterrupt), locked(run, lambda line: None, stopped):
            pass
        released.cancel()


def test_a_child_that_starts_while_all_are_stopped_is_ended(plan, tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "wait").touch()
    executor = Executor(FAKE, 1, 0, lambda line: None)
    start = subprocess.Popen

    def stop_before(*args, **kwargs):
        executor.stop()
        return start(*args, **kwargs)

    monkeypatch.setattr(subprocess, "Popen", stop_before)
    monkeypatch.setattr(execution, "environment", dict)  # starts a process, too
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        executor.finish(plan.starts[0])
    assert time.monotonic() - started < 30  # the child alone would take 60 seconds
    assert not finished_steps(plan.starts[0])


def test_the_lock_outlives_a_killed_tool(plan, tmp_path):
    """For its child goes on with the step."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "wait").touch()
    code = (
        "import sys; from aa_detectron.experiments.comparison.plan import read_plan;"
        "from aa_detectron.experiments.comparison.execution import train_missing;"
        "train_missing(read_plan(sys.argv[1]), sys.argv[2:])"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "comparison.yaml"), *FAKE]
    tool = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    while not calls(plan.starts[0].folder):
        assert tool.poll() is None
        time.sleep(0.1)
    tool.kill()
    tool.wait()
    with open(plan.starts[0].folder / ".lock") as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.kill(int(lock.read()), signal.SIGKILL)
        fcntl.flock(lock, fcntl.LOCK_EX)


def test_interrupting_ends_the_children(plan, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "wait").touch()

    def interrupt():
        while not calls(plan.starts[0].folder):
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    # Ignored in processes that a shell has started in the background, and inherited by the tests.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=interrupt, daemon=True).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            train_missing(plan, FAKE)
    finally:
        signal.signal(signal.SIGINT, before)
    child = int((plan.starts[0].folder / ".lock").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    assert not finished_steps(plan.starts[0])


@pytest.mark.parametrize("name", ["step.json", "run.yaml"])
@pytest.mark.parametrize("text", ["{", "[]", "null", "{}", "", "3"])
def test_broken_records_are_refused(plan, name, text):
    train_missing(plan, FAKE)
    (plan.starts[0].folder / name).write_text(text)
    with pytest.raises(InputError, match=".") as refused:
        train_missing(plan, FAKE)
    line = str(refused.value)
    assert str(plan.starts[0].folder) in line and "remove" in line and "\n" not in line


def test_a_file_system_without_locks_is_refused(plan, monkeypatch):
    def no_locks(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(InputError, match=".lock: cannot be locked .No locks available"):
        train_missing(plan, FAKE)


def test_iterations_done(plan):
    run = plan.runs[0]
    assert iterations_done(run) == 0
    run.folder.mkdir(parents=True)
    (run.folder / "metrics.json").write_text('{"iteration": 19}\n{"iteration": 39, "a": 1}\n')
    assert iterations_done(run) == 40


def test_environment_has_no_path():
    assert not any(os.sep + "site-packages" in text for text in environment().values())
    json.dumps(environment())
