"""Where the time of this runner's stacks goes: `python scripts/bench profile [CASE]`.

The command of a case (see `bench trials`) runs in one process under Python's profiler, and the table sorts what it
measured into the parts of training. The profiler knows every function by its file and name, so nothing is patched, and
training carries no labels: `torch.profiler.record_function` takes 6 microseconds each even where nobody profiles, which
is 2 % of a small network's step. On CUDA every launch waits for the device (CUDA_LAUNCH_BLOCKING=1) and steps are not
a CUDA graph, so that shares hold and their sum does not.

--stats FILE keeps the profile, for `python -m pstats FILE`.
"""

from __future__ import annotations

import os
import pstats
import re
import sys
import tempfile
from pathlib import Path

from scripts.bench.cases import Case, arguments, make
from scripts.bench.common import ROOT, Table, command, options

# What is run: the runner's command line, without CUDA graphs.
PROFILED = """
import cProfile, sys
from runner.__main__ import main
from runner.training.graph import Graph
Graph.refused = True
profile = cProfile.Profile()
path = sys.argv.pop(1)
sys.argv[0] = "runner"
try:
    profile.runcall(main)
finally:
    profile.dump_stats(path)
"""
STEP, EVALUATE = r"training/step\.py:__call__", r"training/evaluate\.py:"
NETWORK = r"torch/nn/modules/module\.py:_wrapped_call_impl|models/lanes\.py:__call__"
# Functions, as patterns of FILE:NAME, and those that call them.
PARTS = {
    "data and augmentation": (r"training/feed\.py:", r"training/(stack|graph)\.py:(?!__init__)"),
    "forward": (NETWORK, STEP),
    "backward": (r"torch/_tensor\.py:backward", STEP),
    "optimizer step": (r"(optim/stacked|training/unstacked)\.py:step", ""),
    "step": (STEP, ""),
    "epoch": (r"training/stack\.py:run_epoch", ""),
    "evaluation, forward": (NETWORK, EVALUATE),
    "evaluation": (r"training/stack\.py:scores", ""),
    "records": (r"records/records\.py:append_|training/\w+\.py:_\w+_rows", r"^(?!.*(records/records|_rows))"),
    "training": (r"training/train\.py:train$", ""),
}


def seconds_of(stats: pstats.Stats, functions: str, callers: str) -> float:
    """Seconds within the functions, those that they call included, when they were called by the callers."""
    total = 0.0
    for (path, _, name), (_, _, _, _, by_caller) in stats.stats.items():  # type: ignore[attr-defined]
        if re.search(functions, f"{path}:{name}"):
            for (caller, _, caller_name), (_, _, _, cumulative) in by_caller.items():
                total += cumulative if re.search(callers, f"{caller}:{caller_name}") else 0.0
    return total


def profile(case: Case, folder: Path, kept: Path | None) -> pstats.Stats:
    """Run the command of a case under the profiler."""
    path = kept or folder / f"{case.name}.pstats"
    words = [str(path.resolve()), *case.command(0, folder / case.name)[3:], "workers=1"]
    blocking = os.environ | {"CUDA_LAUNCH_BLOCKING": "1"}
    command([sys.executable, "-c", PROFILED, *words], cwd=ROOT, env=blocking)
    return pstats.Stats(str(path))


def show(case: Case, stats: pstats.Stats, path: Path | None) -> None:
    """Print the parts of training, each without those that stand in a line of their own."""
    s = {name: seconds_of(stats, *patterns) for name, patterns in PARTS.items()}
    if missing := [name for name, seconds in s.items() if not seconds]:
        raise SystemExit(f"{case.name}: no call of what is taken for {', '.join(missing)}: has it been renamed?")
    data, evaluation, forward = s["data and augmentation"], s.pop("evaluation"), s["evaluation, forward"]
    step, epoch, training = s.pop("step"), s.pop("epoch"), s.pop("training")
    s["the rest of the step"] = step - s["forward"] - s["backward"] - s["optimizer step"]
    s["the rest of the epoch"] = epoch - step - data
    s["evaluation, the rest"] = evaluation - forward
    s["the rest of the stack"] = training - epoch - evaluation
    total, trials = sum(s.values()), len(case.trials(0))
    print(f"\n{case.name}: {total / trials:.3f} s for each of {trials} trials, one process")
    table = Table("part:<24 seconds:.3f share:.1%", path)
    for name, seconds in s.items():
        table.add({"part": name, "seconds": seconds, "share": seconds / total})
    print(
        f"data, augmentation and records: {(data + s['records']) / step:.1%} of the steps' {step:.2f} s (at most 5 %)"
    )
    print(f"evaluation: {evaluation / forward:.2f} x its forward passes (at most 1.2)")


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--stats", type=Path, metavar="FILE", help="keep the profile of the last case here")
    chosen = arguments(parser)
    with tempfile.TemporaryDirectory() as name:
        for case in [make(case, chosen, Path(name)) for case in chosen.cases]:
            show(case, profile(case, Path(name), chosen.stats), chosen.csv)
