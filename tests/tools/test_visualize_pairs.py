"""The real command; tests/engine/test_own_parts.py draws pictures with it."""

import subprocess
import sys

from helpers import DEMO_CONFIG, ROOT


def test_number_of_pictures_below_1_is_one_line(tmp_path):
    command = [sys.executable, "tools/visualize_pairs.py", "--config-file", str(DEMO_CONFIG)]
    command += ["--records", "missing.json", "--output", str(tmp_path / "out"), "--num", "-1"]
    refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert refused.returncode == 1 and "Traceback" not in refused.stderr
    assert refused.stderr.splitlines()[-1] == "error: --num is -1, but must be an integer from 1"
