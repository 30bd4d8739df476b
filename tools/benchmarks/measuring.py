"""Times, peak memory, a description of the machine, and result files for all benchmarks."""

import argparse
import ctypes
import gc
import multiprocessing
import os
import platform
import re
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from tabulate import tabulate

from aa_detectron import __version__
from aa_detectron.utils.files import replacing, write_json


def parse_arguments(description: str, add: Callable = lambda parser: None) -> argparse.Namespace:
    """Parses the options that ``add`` adds to the parser, and the options of every benchmark."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add(parser)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument(
        "--memory", action=argparse.BooleanOptionalAction, default=True, help="measure peak memory"
    )
    parser.add_argument("--output", metavar="STEM", help="path of STEM.json and STEM.md")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    return args


def measure(
    functions: Mapping[str, Callable], *, repeats: int, warmup: int, device: str
) -> dict[str, dict]:
    """Times functions in turns, so that a disturbance of the machine affects all of them.

    Each timed call follows an untimed call of the same function, so that the cache does not depend
    on the function before.

    Returns:
        {name: {"median", "low", "high"}} in milliseconds; low and high are the quartiles.
    """
    times: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(warmup + repeats):
        for name, function in functions.items():
            for _ in range(2):
                start = time.perf_counter()
                function()
                if device == "cuda":
                    torch.cuda.synchronize()
                seconds = time.perf_counter() - start
            if turn >= warmup:
                times[name].append(1000 * seconds)
    return {name: _spread(values) for name, values in times.items()}


def _spread(values: list[float]) -> dict:
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": median, "low": low, "high": high}


def peak_memory(make: Callable, *args: object, device: str) -> float:
    """Peak memory of a call of ``make(*args)()`` beyond the memory before the call, in MiB.

    On the CPU, this is the resident set of a process of its own. It includes the memory of
    PyTorch's and oneDNN's allocators and of compiled loops.
    """
    if device == "cuda":
        function = make(*args)
        function()
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        function()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    arguments = (sender, torch.get_num_threads(), make, args)
    process = context.Process(target=_send_peak, args=arguments)
    process.start()
    sender.close()
    try:
        return receiver.recv()
    finally:
        process.join()


def _send_peak(sender: Connection, threads: int, make: Callable, args: tuple) -> None:
    torch.set_num_threads(threads)
    function = make(*args)
    function()  # loads and compiles on the first call
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # memory kept for reuse would hide new allocations
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = _status("VmRSS")
    function()
    sender.send((_status("VmHWM") - before) / 2**10)


def _status(key: str) -> int:
    """A value of /proc/self/status in KiB."""
    return int(re.findall(rf"{key}:\s+(\d+)", Path("/proc/self/status").read_text())[0])


def compare(makers: dict[str, Callable], args: argparse.Namespace) -> list[dict]:
    """Rows with the time and memory of each maker's function, and ratios of times."""
    functions = {name: make() for name, make in makers.items()}
    times = measure(functions, repeats=args.repeats, warmup=args.warmup, device=args.device)
    del functions
    rows = []
    for name, make in makers.items():
        ratios = {f"/ {n}": times[name]["median"] / times[n]["median"] for n in makers}
        rows.append({"": name, **times[name], **ratios})
        if args.memory:
            rows[-1]["peak MiB"] = peak_memory(make, device=args.device)
    return rows


def write(args: argparse.Namespace, title: str, rows: list[dict], notes: str) -> None:
    """Prints a table of the rows; writes it with command, commit and machine to ``args.output``."""
    table = tabulate(rows, "keys", "pipe", floatfmt=".2f")
    print(table)
    if not args.output:
        return
    machine = describe_machine(args.device)
    report = {
        "command": shlex.join(["python", *_relative(sys.argv)]),
        "commit": _git("rev-parse", "HEAD")
        + ("+" if _git("status", "--porcelain", "-uno") else ""),
        "machine": machine,
        "notes": notes,
        "rows": rows,
    }
    write_json(f"{args.output}.json", report)
    text = f"# {title}\n\n    {report['command']}\n\nCommit {report['commit']}, "
    text += ", ".join(f"{key} {value}" for key, value in machine.items())
    with replacing(f"{args.output}.md") as temporary:
        temporary.write_text(f"{text}.\n\n{notes}\n\n{table}\n")


def _relative(arguments: list[str]) -> list[str]:
    return [os.path.relpath(a) if os.path.isabs(a) else a for a in arguments]


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def describe_machine(device: str) -> dict:
    cpu = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    name = cpu[1] if cpu else platform.processor()
    vectors = torch.backends.cpu.get_cpu_capability()
    machine = {
        "CPU": f"{name} ({os.cpu_count()} cores seen, {vectors})",
        "threads": torch.get_num_threads(),
        "GPU": torch.cuda.get_device_name() if device == "cuda" else "none",
        "Python": platform.python_version(),
        "torch": torch.__version__,
        "aa_detectron": __version__,
    }
    return machine
