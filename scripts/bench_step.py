#!/usr/bin/env python3
"""Time optimizer steps against torch.optim.AdamW, interleaved in one run: `python scripts/bench_step.py --help`.

Each set of tensors is stepped by every contestant in turn, five steps in a row, round after round, so that what else
the machine does meets all of them alike; medians over rounds are reported. Gradients are there before the clock
starts. On CUDA time is that between two events around the steps, so it holds the host's share where the GPU has to
wait for it.
"""

from __future__ import annotations

import argparse
import csv
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import optim
from optim.release import released_rows
from optim.rules import Rule, coefficients
from optim.stacked import Stacked
from runner.models.resnet import ResNet
from runner.models.settings import ResNetSettings, ShakeShakeSettings
from runner.models.shakeshake import ShakeShake

Shapes = list[tuple[int, ...]]
BYTES = {"optim": 28, "torch fused": 28, "torch foreach": 80}  # moved per parameter, from the passes over memory
COLUMNS = "set trials tensors parameters way median_us min_us ratio bytes gb_per_s device threads torch python".split()


def tiny() -> Shapes:
    return [tuple(p.shape[1:]) for p in ResNet(ResNetSettings("resnet", 20, 8), 1, 3, 10).parameters()]


def resnet18() -> Shapes:
    """torchvision's, for 1000 classes."""
    shapes: Shapes = [(64, 3, 7, 7), (64,), (64,)]
    before = 64
    for width in (64, 128, 256, 512):
        for inputs in (before, width):
            shapes += [(width, inputs, 3, 3), (width,), (width,), (width, width, 3, 3), (width,), (width,)]
            shapes += [(width, inputs, 1, 1), (width,), (width,)] if inputs != width else []
        before = width
    return [*shapes, (1000, 512), (1000,)]


def shakeshake() -> Shapes:
    with torch.device("meta"):
        return [tuple(p.shape[1:]) for p in ShakeShake(ShakeShakeSettings("shakeshake"), 1, 3, 10).parameters()]


def gpt2(width: int = 768) -> Shapes:
    norm = [(width,), (width,)]
    attention = [(width, 3 * width), (3 * width,), (width, width), (width,)]
    mlp = [(width, 4 * width), (4 * width,), (4 * width, width), (width,)]
    return [(50257, width), (1024, width), *(norm + attention + norm + mlp) * 12, *norm]


SETS: dict[str, tuple[Callable[[], Shapes], int]] = {  # tensors of one network, and how many networks
    "tiny": (tiny, 1),
    "resnet18": (resnet18, 1),
    "shakeshake": (shakeshake, 1),
    "gpt2": (gpt2, 1),
    "stack16": (tiny, 16),
    "stack64": (tiny, 64),
}


def networks(shapes: Shapes, trials: int, device: torch.device) -> list[list[torch.Tensor]]:
    """Parameters of `trials` separate networks, with gradients."""
    made = [[torch.randn(s, device=device).mul_(0.1).requires_grad_() for s in shapes] for _ in range(trials)]
    for p in (p for network in made for p in network):
        p.grad = torch.randn_like(p) * 1e-2
    return made


def contestants(shapes: Shapes, trials: int, device: torch.device) -> dict[str, Callable[[], object]]:
    """A step of each way, with memory of its own."""

    def torchs(**how: bool) -> Callable[[], object]:
        optimizers = [torch.optim.AdamW(p, 1e-3, weight_decay=1e-2, **how) for p in networks(shapes, trials, device)]
        return lambda: [optimizer.step() for optimizer in optimizers]

    ours = stacked(shapes, trials, device) if trials > 1 else optim.AdamW(networks(shapes, 1, device)[0]).step
    return {"optim": ours, "torch fused": torchs(fused=True), "torch foreach": torchs(foreach=True)}


def stacked(shapes: Shapes, trials: int, device: torch.device) -> Callable[[], object]:
    """A stack in which every trial has its own rate and decay, and every other one is Adam."""
    parameters = [torch.randn(trials, *s, device=device).mul_(0.1).requires_grad_() for s in shapes]
    for p in parameters:
        p.grad = torch.randn_like(p) * 1e-2
    rules = [Rule("adam" if i % 2 else "adamw", 1e-3 * (1 + i), 1e-2 / (1 + i)) for i in range(trials)]
    steps = 1000
    table = [coefficients(rule, np.arange(steps) + 1, np.ones(steps), np.ones(steps)) for rule in rules]
    rows = torch.from_numpy(released_rows(np.stack(table, -1))[0])
    rows = rows.float().to(device) if device.type == "cuda" else rows
    live = torch.ones(trials, dtype=torch.bool, device=device)
    stack, count = Stacked(parameters, "adam", [len(s) > 1 for s in shapes]), 0

    def step() -> None:
        nonlocal count
        stack.step(rows[count % steps], live)
        count += 1

    return step


def clocked(step: Callable[[], object], device: torch.device, repeat: int = 5) -> float:
    """Microseconds of one step, the mean of `repeat` in a row."""
    if device.type == "cuda":
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize(device)
        begin.record()
        for _ in range(repeat):
            step()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) * 1e3 / repeat
    start = time.perf_counter()
    for _ in range(repeat):
        step()
    return (time.perf_counter() - start) * 1e6 / repeat


def measure(name: str, device: torch.device, rounds: int) -> list[dict[str, object]]:
    make, trials = SETS[name]
    shapes = make()
    size = sum(torch.Size(s).numel() for s in shapes) * trials
    ways = contestants(shapes, trials, device)
    times: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(rounds + 2):
        for way, step in ways.items():
            took = clocked(step, device)
            if turn >= 2:  # the first rounds allocate moments and compile
                times[way].append(took)
    medians = {way: statistics.median(found) for way, found in times.items()}
    return [
        {
            "set": name,
            "trials": trials,
            "tensors": len(shapes),
            "parameters": size,
            "way": way,
            "median_us": round(median, 1),
            "min_us": round(min(times[way]), 1),
            "ratio": round(median / medians["optim"], 2),
            "bytes": BYTES[way],
            "gb_per_s": round(BYTES[way] * size / median / 1e3, 1),
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "python": platform.python_version(),
        }
        for way, median in medians.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"{', '.join(SETS)} (default: all; gpt2 on CUDA only)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, help="of the CPU")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the rows here")
    chosen = parser.parse_args()
    if unknown := set(chosen.sets) - set(SETS):
        parser.error(f"unknown set {', '.join(sorted(unknown))}: choose from {', '.join(SETS)}")
    device = torch.device(chosen.device)
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    rows: list[dict[str, object]] = []
    for name in chosen.sets or [name for name in SETS if name != "gpt2" or device.type == "cuda"]:
        found = measure(name, device, chosen.rounds)
        if not rows:
            about = found[0]
            print(
                f"{about['device']}, {about['threads']} CPU threads, torch {about['torch']}, n = {chosen.rounds} rounds"
            )
            print(f"{'set':<11}{'trials':>7}{'parameters':>12}  {'way':<14}{'median us':>11}{'min us':>10}"
                  f"{'/ optim':>9}{'B/param':>9}{'GB/s':>8}")  # fmt: skip
        for row in found:
            print(
                f"{row['set']:<11}{row['trials']:>7}{row['parameters']:>12,}  {row['way']:<14}{row['median_us']:>11,}"
                f"{row['min_us']:>10,}{row['ratio']:>9}{row['bytes']:>9}{row['gb_per_s']:>8}",
                flush=True,
            )
        rows += found
    if chosen.csv:
        with chosen.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
