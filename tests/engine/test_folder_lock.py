import os
import subprocess
import sys

import pytest

from aa_detectron.engine.folder_lock import only_training_in
from aa_detectron.errors import InputError

HOLD = """
import os, sys, time
from aa_detectron.engine.folder_lock import only_training_in
with only_training_in(sys.argv[1]):
    if not os.fork():  # as a worker, which lives on for a while
        os.close(1)
        time.sleep(20)
        os._exit(0)
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_training_in_a_folder(tmp_path):
    """The lock ends with its process, leaves no file, and unfinished files of before go."""
    (tmp_path / ".model_0000009.pth.0123abcd").write_text("half")
    (tmp_path / ".mine.pth").write_text("")
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout.readline() == "held\n"
    with pytest.raises(InputError, match=f"OUTPUT_DIR: another training is .* {tmp_path}"):
        with only_training_in(tmp_path):
            pass
    child.kill()
    child.communicate()
    with only_training_in(tmp_path), only_training_in(f"{tmp_path}/."):
        pass
    assert os.listdir(tmp_path) == [".mine.pth"]
