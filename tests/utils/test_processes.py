"""A map over several processes."""

import os
import signal
import subprocess
import sys
import time

import pytest

from aa_detectron.errors import InputError
from aa_detectron.utils.processes import process_map


def kill_at_7(number):
    if number == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def fail_at_7(number):
    if number == 7:
        raise ZeroDivisionError
    return number


@pytest.mark.parametrize("workers", [1, 2])
def test_results_are_in_order(workers):
    with process_map(workers) as map_all:
        assert list(map_all(abs, range(-40, 0))) == list(range(40, 0, -1))
    with pytest.raises(ZeroDivisionError), process_map(workers) as map_all:
        list(map_all(fail_at_7, range(40)))


def test_a_killed_worker_is_one_line():
    with pytest.raises(InputError, match="a worker process was killed.*try fewer workers"):
        with process_map(2) as map_all:
            list(map_all(kill_at_7, range(40)))


def test_workers_end_with_their_parent():
    code = """
import os, time
from aa_detectron.utils.processes import process_map
def say(number):
    print(os.getpid(), flush=True)
    time.sleep(100)
with process_map(2) as map_all:
    list(map_all(say, range(16)))
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as parent:
        workers = [int(parent.stdout.readline()) for _ in range(2)]
        parent.kill()
    deadline = time.monotonic() + 20
    while any(map(is_alive, workers)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
