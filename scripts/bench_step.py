#!/usr/bin/env python3
"""Time optimizer steps against torch.optim.AdamW, interleaved in one run: `python scripts/bench_step.py --help`.

Each set of tensors is stepped by every contestant in turn, and a large buffer is copied, round after round, so that
what else the machine does meets all of them alike; medians over rounds are reported. Gradients are there before the
clock starts. Warm: five steps in a row, after one that is not timed. Cold (--cold): each after a large buffer was
overwritten. On CUDA time is that between two events around the steps, so it holds the host's share where the GPU has
to wait for it; of ways in a graph it is that of 20 steps in one graph, shared out.

The floor is the time in which the copy would move the 28 bytes per parameter that a fused step has to move, share
the floor over the median. On a CPU a share can pass 1: a copy there may first read what it overwrites, which is not
counted, and a step does not. So can that of warm tensors that fit into a cache.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import root
import rows
import torch
from step_sets import sets
from step_ways import BYTES, FUSED, Memory, Way, contestants

REPEAT = 5  # timings of a way in a round
COLUMNS = (
    "set trials tensors parameters way cache median_us min_us ratio bytes gb_per_s copy_gb_per_s floor_us share "
    "rounds device threads torch python"
).split()
HEAD = f"{'set':<11}{'trials':>6}{'parameters':>12}  {'way':<18}{'median us':>11}{'min us':>11}{'/ optim':>8}"
HEAD += f"{'floor us':>10}{'share':>7}{'copy GB/s':>11}  cache"


def clocked(call: Callable[[], object], device: torch.device, repeat: int = 1) -> float:
    """Microseconds of one call, the mean of `repeat` in a row."""
    if device.type == "cuda":
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize(device)
        begin.record()
        for _ in range(repeat):
            call()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) * 1e3 / repeat
    start = time.perf_counter()
    for _ in range(repeat):
        call()
    return (time.perf_counter() - start) * 1e6 / repeat


def stepped(way: Way, memory: Memory, cold: bool) -> float:
    """Microseconds of one step."""
    device = memory.device
    if cold and way.idle is None:
        took = []
        for _ in range(REPEAT):
            memory.evict()
            took.append(clocked(way.run, device))
        return statistics.mean(took) / way.steps
    way.run()  # the one before has left its own memory in the caches
    time_of_all = clocked(way.run, device, REPEAT)
    return (time_of_all - (clocked(way.idle, device, REPEAT) if way.idle else 0)) / way.steps


def measure(name: str, memory: Memory, rounds: int, cold: bool) -> list[dict[str, object]]:
    make, trials = sets(memory.device.type)[name]
    shapes = make()
    size = sum(torch.Size(s).numel() for s in shapes) * trials
    ways = contestants(shapes, trials, memory, cold)
    times: dict[str, list[float]] = {way: [] for way in ways}
    copies = []
    for turn in range(rounds + 2):
        copied = clocked(memory.copy, memory.device, 2)
        took = {way: stepped(how, memory, cold) for way, how in ways.items()}
        if turn >= 2:  # the first rounds allocate moments and compile
            copies.append(copied)
            for way, one in took.items():
                times[way].append(one)
    medians = {way: statistics.median(found) for way, found in times.items()}
    bandwidth = memory.moved / statistics.median(copies) / 1e3
    floor = FUSED * size / bandwidth / 1e3
    return [
        {
            "set": name,
            "trials": trials,
            "tensors": len(shapes),
            "parameters": size,
            "way": way,
            "cache": "cold" if cold else "warm",
            "median_us": round(median, 2),
            "min_us": round(min(times[way]), 2),
            "ratio": round(median / medians["optim"], 2),
            "bytes": (moved := BYTES.get(way, FUSED)),
            "gb_per_s": round(moved * size / median / 1e3, 1),
            "copy_gb_per_s": round(bandwidth, 1),
            "floor_us": round(floor, 2),
            "share": round(floor / median, 3),
            "rounds": rounds,
            "device": device_name(memory.device),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "python": platform.python_version(),
        }
        for way, median in medians.items()
    ]


def device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def shown(row: dict[str, object]) -> str:
    return (
        f"{row['set']:<11}{row['trials']:>6}{row['parameters']:>12,}  {row['way']:<18}{row['median_us']:>11,.1f}"
        f"{row['min_us']:>11,.1f}{row['ratio']:>8}{row['floor_us']:>10,.1f}{row['share']:>7.0%}"
        f"{row['copy_gb_per_s']:>11,.0f}  {row['cache']}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    on_cuda = ", ".join(sets("cuda"))
    parser.add_argument(
        "sets", nargs="*", metavar="SET", help=f"default: all; on the CPU {', '.join(sets('cpu'))}; on CUDA {on_cuda}"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, help="of the CPU")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--cold", action="store_true", help="empty the caches before every step")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the rows here")
    chosen = parser.parse_args()
    device = torch.device(chosen.device)
    known = sets(device.type)
    if unknown := set(chosen.sets) - set(known):
        parser.error(f"unknown set {', '.join(sorted(unknown))}: choose from {', '.join(known)}")
    if chosen.rounds < 1 or (chosen.threads or 1) < 1:
        parser.error("--rounds and --threads: 1 or more")
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    memory = Memory(device)
    print(f"{device_name(device)}, {torch.get_num_threads()} CPU threads, torch {torch.__version__}, "
          f"n = {chosen.rounds} rounds\n{HEAD}")  # fmt: skip
    measured: list[dict[str, object]] = []
    for name in chosen.sets or known:
        found = measure(name, memory, chosen.rounds, chosen.cold)
        print("\n".join(map(shown, found)), flush=True)
        measured += found
        rows.write(chosen.csv, COLUMNS, measured)


if __name__ == "__main__":
    main()
