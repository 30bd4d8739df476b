"""What the GPU kernels are compiled to, on a machine without a GPU."""

import importlib
import itertools
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("triton")

BENCHMARKS = Path(__file__).parents[3] / "tools" / "benchmarks"


@pytest.fixture
def load(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


def compiled(output, *options):
    """Rows of static.py for compute capability 9.0, kernel size 3."""
    command = [sys.executable, BENCHMARKS / "static.py", "--architectures", "90", *options]
    command += ["--kernel-sizes", "3", "--output", output]
    environment = os.environ | {"TRITON_INTERPRET": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(output.with_suffix(".json").read_text())["rows"]


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    pytest.importorskip("triton.backends.nvidia")
    output = tmp_path_factory.mktemp("static") / "table"
    return compiled(output, "--shapes", "1x64x200x304", "--no-instructions")


def test_compile_for_a_gpu(rows):
    """What the interpreter takes, the compiler may reject."""
    found = Counter((row["kernel"], row["dtype"], row["layout"]) for row in rows)
    kernels = ("forward", "grad_x", "grad_weights")
    layouts = ("contiguous", "channels-last")
    assert set(found) >= set(itertools.product(kernels, ("float32", "bfloat16"), layouts))


def test_registers(rows):
    """More than 128 registers leave a quarter of the warps; spilled ones are read from memory."""
    columns = ("kernel", "dtype", "layout", "regs", "spill")
    heavy = [[row[name] for name in columns] for row in rows if row["spill"] or row["regs"] > 128]
    assert heavy == []


def test_instructions_are_counted(tmp_path):
    """Loops count once, so that a kernel may seem to read less than it is given."""
    options = ["--shapes", "1x16x12x14", "--dtypes", "float32", "--layouts", "contiguous"]
    rows = compiled(tmp_path / "table", *options)
    for row in rows:
        assert row["instr"] > row["float"] + row["int"] > row["float"] > 0
        assert row["read"] > row["bytes"] / 2 and 4 <= row["wide"] <= 16
        assert row["roofline"] > 0
    x, filters, out = 16 * 12 * 14, 8 * 9 * 6 * 7, 16 * 6 * 7
    assert rows[0]["kernel"] == "forward" and rows[0]["blocks"] * rows[0]["warps"] >= out / 1024
    assert rows[0]["bytes"] == 4 * (x + filters + out) / out


SASS = """
        code for sm_90
                Function : _forward
        .headerflags    @"EF_CUDA_SM90"
        /*0000*/                   LDC R1, c[0x0][0x28] ;      /* 0x00000a00ff017b82 */
                                                               /* 0x000fe20000000800 */
        /*0010*/                   UIADD3 UR4, UR4, 0x1, URZ ; /* 0x00000a00ff017b82 */
        /*0020*/              @!P1 LDG.E.128 R4, desc[UR6][R2.64] ; /* 0x0 */
        /*0030*/                   LDG.E.U16.CONSTANT R8, desc[UR6][R2.64+0x10] ; /* 0x0 */
        /*0040*/                   FFMA R4, R4, R8, R9 ;       /* 0x0 */
        /*0050*/                   MUFU.EX2 R4, R4 ;           /* 0x0 */
        /*0060*/                   IMAD.WIDE R2, R3, 0x4, R2 ; /* 0x0 */
        /*0070*/              @P0  BRA P3, 0x20 ;              /* 0x0 */
        /*0080*/                   ISETP.NE.AND P0, PT, R3, RZ, PT ; /* 0x0 */
        /*0090*/              @P0  BRA 0xb0 ;                  /* 0x0 */
        /*00a0*/                   STG.E.64 desc[UR6][R2.64], R4 ; /* 0x0 */
        /*00b0*/                   EXIT ;                      /* 0x0 */
        /*00c0*/                   BRA 0xc0;                   /* 0x0 */
        /*00d0*/                   NOP;                        /* 0x0 */
"""


def test_counts_of_a_listing(load):
    instructions = load("sass").parse(SASS)
    assert [i.name for i in instructions][-2:] == ["STG", "EXIT"]
    assert load("sass").loops(instructions) == [range(0x20, 0x71)]
    assert load("static").count(instructions) == Counter(
        instructions=12, loops=6, float=1, special=1, multiply=1, integer=1, other=5,
        memory=4 + 1 + 2, loads=2, read=18,
    )  # fmt: skip


@pytest.mark.parametrize(
    "registers, warps, shared, expected",
    [
        (32, 4, 0, 1),  # 64 warps
        (33, 4, 0, 48 / 64),  # 40 registers of a thread are allocated, 12 warps for a scheduler
        (255, 8, 0, 8 / 64),
        (64, 1, 0, 32 / 64),  # 32 blocks
        (64, 2, 75 * 1024, 6 / 64),  # three blocks of 76 KiB, with the one of the system
        (64, 2, 75 * 1024 + 512, 4 / 64),
    ],
)
def test_occupancy(registers, warps, shared, expected, load):
    """As by NVIDIA's occupancy calculator."""
    target = SimpleNamespace(arch=90)
    metadata = SimpleNamespace(num_warps=warps, shared=shared, target=target)
    launch = SimpleNamespace(kernel=SimpleNamespace(metadata=metadata))
    assert load("static").occupancy(launch, registers) == expected
