"""Errors of the machine: full disks, files in the way, killed workers."""

import errno
import json
import logging
import os
import signal

import pytest
import torch
from detectron2.evaluation import coco_evaluation
from detectron2.utils.file_io import PathManager
from torch.utils.data import DataLoader, Dataset

from aa_detectron.engine.machine import (
    check_writable,
    end_logs_on_full_disk,
    explain,
    explained,
    whole_files,
)
from aa_detectron.errors import InputError


class Killing(Dataset):
    """Kills the worker that reads it."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_is_one_line():
    fate = "is killed by signal: Killed|exited unexpectedly"
    message = rf"DATALOADER.NUM_WORKERS: worker \d+ ({fate}), .* try fewer workers"
    with pytest.raises(InputError, match=message), explained("out"):
        list(DataLoader(Killing(), num_workers=1))


def test_files_are_whole_or_not_there(tmp_path):
    path = tmp_path / "results.json"
    with pytest.raises(ZeroDivisionError), whole_files():
        with coco_evaluation.PathManager.open(path, "w") as file:
            file.write("[1, 2")
            file.flush()
            raise ZeroDivisionError
    assert not list(tmp_path.iterdir())
    with whole_files(), whole_files():
        manager = coco_evaluation.PathManager
        with manager.open(str(path), "w", encoding="utf-16") as file:
            json.dump([1, 2], file)
        with manager.open(str(tmp_path / "a.pth"), "wb") as file:
            torch.save({"a": 1}, file)
        assert manager.isfile(str(path))
        with manager.open(str(path), "r", encoding="utf-16") as file:
            assert json.load(file) == [1, 2]
    assert {p.name for p in tmp_path.iterdir()} == {"results.json", "a.pth"}
    assert coco_evaluation.PathManager is PathManager


def test_files_of_other_code_are_opened_as_always(tmp_path):
    with whole_files():
        file = PathManager.open(str(tmp_path / "a.txt"), "w")
        assert file.name == str(tmp_path / "a.txt")
        file.close()


def test_a_full_disk_while_a_file_is_written_names_the_file(tmp_path):
    path = tmp_path / "results.json"
    match = "results.json: cannot be written .No space left"
    with pytest.raises(InputError, match=match), whole_files():
        with coco_evaluation.PathManager.open(str(path), "w"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_found_behind_what_follows_from_it():
    with pytest.raises(InputError, match="^out: cannot be written .No space left"):
        with explained("out"):
            try:
                with open("/dev/full", "w") as file:
                    file.write("a")
            finally:
                raise ZeroDivisionError


@pytest.mark.parametrize("name", ["log.txt", "inference/a.json"])
def test_a_folder_in_the_way_is_named(tmp_path, name):
    (tmp_path / name).mkdir(parents=True)
    with pytest.raises(InputError, match=f"{name}: cannot be written .Is a directory"):
        with explained(str(tmp_path)), open(tmp_path / name, "a"):
            pass


def test_bugs_stay_what_they_are(tmp_path):
    for bug in (RuntimeError("shapes differ"), KeyError("a"), OSError("who knows")):
        assert explain(bug, str(tmp_path)) is None
    with pytest.raises(FileNotFoundError), explained(str(tmp_path / "out")):
        open(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="^mine$"), explained(str(tmp_path)):
        raise InputError("mine") from OSError(errno.ENOSPC, "full")


def test_output_folder_without_room_or_behind_a_file(tmp_path, monkeypatch):
    check_writable(str(tmp_path / "a" / "b"))
    assert not list((tmp_path / "a" / "b").iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="OUTPUT_DIR: .*file cannot be written"):
        check_writable(str(tmp_path / "file"))
    full = lambda **kwargs: open("/dev/full", "wb", buffering=0)  # noqa: E731
    monkeypatch.setattr("aa_detectron.engine.machine.tempfile.TemporaryFile", full)
    with pytest.raises(InputError, match="OUTPUT_DIR: .*No space left"):
        check_writable(str(tmp_path))


def test_a_log_on_a_full_disk_ends_with_one_line(capsys):
    log = logging.getLogger("full_disk")
    log.propagate = False
    log.addHandler(logging.StreamHandler(open("/dev/full", "w")))
    end_logs_on_full_disk("full_disk")
    for number in range(3):
        log.warning("message %d", number)
    log.warning("%d", "no number")
    log.handlers.pop().stream.close()
    first, *rest = capsys.readouterr().err.splitlines()
    assert first == "/dev/full: ends here (No space left on device)"
    assert rest[0] == "--- Logging error ---" and "not all" not in first
    assert sum("No space left" in line for line in rest) == 0
