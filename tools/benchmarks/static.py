#!/usr/bin/env python
"""What can be said of the filter's GPU kernels without a GPU: what they are compiled to.

Needs Triton, whose wheel has the compiler and the disassembler. No GPU is used.
"""

import argparse
import itertools
import math
from collections import Counter

import launches
import sass
import torch
from layer import SHAPES
from measuring import parse_arguments, write

REGISTERS, GRANULE, WARPS, BLOCKS = 65536, 256, 64, 32
"""Of a multiprocessor: registers, registers in a unit of allocation, warps, blocks."""
SHARED = {80: 164 * 1024, 90: 228 * 1024, 100: 228 * 1024}
"""{architecture: bytes of shared memory of a multiprocessor}; each block takes 1 KiB more."""
LAYOUTS = ["contiguous", "channels-last"]
RATES = {"instructions": 128, "integer": 64, "multiply": 64, "special": 16, "memory": 32}
"""Lanes of each kind that a multiprocessor of compute capability 9.0 serves in a cycle.

Source: CUDA C++ Programming Guide, "Arithmetic Instructions". Lanes of memory have 4 bytes.
"""
NOTES = """\
Nothing was run. The table has the kernels that the filter's forward and backward passes launch \
(stride 2, reflect, fused softmax), compiled for the compute capability 'sm'. 'regs': registers of \
a thread. 'spill': bytes of local memory of a thread. 'shared': bytes of shared memory of a block. \
'occupancy': percent of a multiprocessor's warps for which registers and shared memory suffice.

The other columns, except the last two, are per element of the result. 'instr', 'float', 'int': \
machine instructions (SASS) of all lanes, of floating point, of integers. Each instruction of the \
program counts once, although loops take several turns and branches are skipped. 'loops': the \
instructions inside loops. 'read': bytes of loads from global memory; 'wide': bytes per lane and \
load. 'bytes': the minimum, each tensor once.

'roofline': the microseconds that follow at {bandwidth:g} TB/s and {flops:g} TFLOP/s. 'limit': \
their cause, which is the minimum of bytes, or instructions. A lane does two operations or one \
instruction per cycle; integers take twice as long (multiplications beside all others), each 4 \
bytes of loads and stores 4 times, special functions 8 times. Work outside these kernels is not \
counted, for example the logarithms of sums for the gradient of the input."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--shapes", nargs="+", default=SHAPES, metavar="NxCxHxW")
    parser.add_argument("--kernel-sizes", nargs="+", type=int, default=[3, 5], metavar="K")
    parser.add_argument("--groups", type=int, default=8)
    parser.add_argument(
        "--dtypes",
        nargs="+",
        default=["float32", "bfloat16"],
        choices=("float32", "bfloat16", "float16"),
    )
    parser.add_argument("--layouts", nargs="+", default=LAYOUTS, choices=LAYOUTS)
    parser.add_argument(
        "--architectures", nargs="+", type=int, default=list(SHARED), choices=list(SHARED)
    )
    parser.add_argument("--bandwidth", type=float, default=4.3, help="of global memory, TB/s")
    parser.add_argument("--flops", type=float, default=67, help="of float32, TFLOP/s")
    parser.add_argument(
        "--instructions",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="disassemble the kernels and count instructions, which takes most of the time",
    )


def occupancy(launch: launches.Launch, registers: int) -> float:
    """Fraction of a multiprocessor's warps that can be there at the same time, 0 to 1."""
    metadata = launch.kernel.metadata
    allocated = math.ceil(registers * launches.WARP / GRANULE) * GRANULE
    # Each of the four schedulers has a quarter of the registers.
    by_registers = REGISTERS // 4 // allocated * 4 // metadata.num_warps
    by_shared = SHARED[metadata.target.arch] // (metadata.shared + 1024)
    blocks = min(by_registers, by_shared, WARPS // metadata.num_warps, BLOCKS)
    return blocks * metadata.num_warps / WARPS


def count(instructions: list[sass.Instruction]) -> Counter:
    """Instructions of a thread by kind, except "memory": units of 4 bytes, one at least.

    "loads" and "read" are loads from global memory and their bytes.
    """
    in_loops = sass.loops(instructions)
    counts: Counter = Counter(instructions=len(instructions))
    for instruction in instructions:
        units = max(instruction.width // 4, 1) if instruction.kind == "memory" else 1
        counts[instruction.kind] += units
        if instruction.name in ("LDG", "LDGSTS"):
            counts += Counter(loads=1, read=instruction.width)
        counts["loops"] += any(instruction.address in loop for loop in in_loops)
    return counts


def limits(launch: launches.Launch, lanes: Counter, args: argparse.Namespace) -> dict[str, float]:
    """Lower limits of the time in microseconds, by their cause.

    Args:
        launch: launch of a kernel.
        lanes: :func:`count` of all of its threads together.
        args: options.
    """
    cycles_and_multiprocessors = args.flops * 1e12 / 2 / RATES["instructions"]
    found = {kind: lanes[kind] / rate / cycles_and_multiprocessors for kind, rate in RATES.items()}
    found["bytes"] = launch.bytes / (args.bandwidth * 1e12)
    return {cause: 1e6 * seconds for cause, seconds in found.items()}


def describe(launch: launches.Launch) -> dict:
    used = sass.resources(launch.kernel.asm["cubin"])
    return {
        "regs": used["registers"],
        "spill": used["local"],
        "shared": launch.kernel.metadata.shared,
        "warps": launch.kernel.metadata.num_warps,
        "blocks": math.prod(launch.grid),
        "occupancy": 100 * occupancy(launch, used["registers"]),
    }


def describe_instructions(launch: launches.Launch, elements: int, args: argparse.Namespace) -> dict:
    counts = count(sass.disassemble(launch.kernel.asm["cubin"]))
    threads = math.prod(launch.grid) * launch.kernel.metadata.num_warps * launches.WARP
    lanes = Counter({key: value * threads for key, value in counts.items()})
    times = limits(launch, lanes, args)
    cause = max(times, key=times.__getitem__)
    return {
        "instr": lanes["instructions"] / elements,
        "float": lanes["float"] / elements,
        "int": (lanes["integer"] + lanes["multiply"]) / elements,
        "loops": lanes["loops"] / elements,
        "read": lanes["read"] / elements,
        "wide": counts["read"] / max(counts["loads"], 1),
        "bytes": launch.bytes / elements,
        "roofline": times[cause],
        "limit": cause,
    }


def compile_passes(
    shape: str, k: int, architecture: int, dtype: str, layout: str, args: argparse.Namespace
) -> list[dict]:
    """Rows of the kernels that the forward and backward pass of one layer launch."""
    n, channels, height, width = map(int, shape.split("x"))
    calls = launches.passes(
        (n, channels, height, width), groups=args.groups, kernel_size=k, stride=2,
        padding_mode="reflect", softmax="group", dtype=getattr(torch, dtype),
        channels_last=layout == "channels-last",
    )  # fmt: skip
    options = {"k": k, "sm": architecture, "dtype": dtype, "layout": layout, "input": shape}
    rows = []
    for call in calls:
        result, launched = launches.record(call, architecture)
        for launch in launched:
            rows.append({"kernel": launch.kernel.name.lstrip("_")} | options | describe(launch))
            if args.instructions:
                rows[-1] |= describe_instructions(launch, result.numel(), args)
    return rows


def main() -> None:
    args = parse_arguments(__doc__, add_options)
    configurations = itertools.product(
        args.shapes, args.kernel_sizes, args.architectures, args.dtypes, args.layouts
    )
    rows = [row for options in configurations for row in compile_passes(*options, args)]
    notes = NOTES.format(bandwidth=args.bandwidth, flops=args.flops)
    write(args, f"GPU kernels as compiled, g {args.groups}", rows, notes)


if __name__ == "__main__":
    main()
