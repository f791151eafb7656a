"""A training step of a stack, in every way that it can be computed: `python scripts/bench stack [CASE]`.

For each case, number of trials and way (stack or lanes, each also with +compile or +benchmark; `stack_ways.py` tells
them) the training step as the runner takes it, data and optimizer included and on CUDA as a graph, is timed over
made-up images: the median over rounds of the time for each trial. One way after another, each written down before the
next is built, since building one can take minutes. `ratio_to_stack` is the time over that of the grouped stack, and
`share` that of the roofline (`roofline.py`) in it: the operators of one eager step, as if nothing stayed in a cache.
`ready_seconds`: until steps are at full speed, with compilation, first steps, recording. `peak_mib`: memory beyond what
was held before; on the CPU, of the whole process so far.

--decide FILE reads the rows of --csv instead, and says for each case which way the runner should take, and why.
"""

from __future__ import annotations

import argparse
import csv
import gc
import statistics
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from runner.system.memory import peak_mib
from runner.training.graph import WARM
from runner.training.stack import Stack
from runner.trials.trial import Trial
from scripts.bench.cases import NAMES, Case, make
from scripts.bench.common import Row, Table, options, refuse_unknown, whole, wholes, words
from scripts.bench.devices import CUDA, add_device, add_precision, machine, refuse_unusable, stamps, synchronize
from scripts.bench.roofline import Ceilings, ceilings, cost
from scripts.bench.stack_ways import decision, parsed, way

WAYS = "stack,stack+benchmark,lanes,lanes+benchmark"  # compiling takes a minute or more: only if asked for
SHOWN = "case:<8 trials way:<20 ms_per_trial:.3f ratio_to_stack:.2f share:.0% ready_seconds:.1f peak_mib:,"


@dataclass
class Contestant:
    """A stack with its rows of an epoch; `steps` of them are timed at a time."""

    name: str
    stack: Stack
    rows: Tensor
    steps: int
    ready: float = 0.0
    peak: float = 0.0

    def seconds(self) -> float:
        """Seconds for a step."""
        stack, device = self.stack, self.stack.device
        torch.backends.cudnn.benchmark = self.name.endswith("+benchmark")
        stack.model.train()
        stack.step.begin(0)
        with nullcontext() if stack.graph is None else stack.graph.epoch(self.rows):
            synchronize(device)
            start = time.perf_counter()
            for step in range(self.steps):
                if stack.graph is not None:
                    stack.graph.run(step)
                else:
                    stack.step(stack.feed.batch(step), self.rows[step])
            synchronize(device)
        return (time.perf_counter() - start) / self.steps


def contestant(name: str, trials: Sequence[Trial], case: Case, steps: int) -> Contestant:
    """Built, compiled, recorded and warm."""
    device = torch.device(case.device)
    # Of a GPU, whose peak the stack sets back to what it holds then (`runner.training.cuda.ready`).
    before = torch.cuda.memory_reserved(device) / 2**20 if device.type == "cuda" else 0.0
    start = time.perf_counter()
    stack = way(name, trials, case.dataset, device)
    stack.feed.epoch(0)
    built = Contestant(name, stack, stack._rows(0), max(min(WARM + 2, stack.feed.full), 1))
    built.seconds()
    built.ready, built.steps = time.perf_counter() - start, min(steps, stack.feed.full)
    built.peak = peak_mib(device) - before
    return built


def measure(case: Case, count: int, chosen: Namespace, rates: Ceilings, until: float) -> Iterator[Row]:
    """The row of each way, as soon as it is measured; none is begun after `until`, of this process's clock."""
    first = case.trials(0)[0]
    trials = [replace(first, seed=i % 3, lr=first.lr * (1 + i / count)) for i in range(count)]
    one = cost(asdict(first.model), case.shape, first.batch_size, first.batch_size, 0, 1, first.precision)
    floor, device = rates.seconds(one), torch.device(case.device)
    reference = 0.0  # seconds of "stack", which comes first
    for name in chosen.ways:
        c, why = None, ""
        if count == 1 and parsed(name)[0] == "lanes":
            why = "is the stack's for one trial"  # which is an ordinary network in every way
        elif time.perf_counter() > until:
            why = f"not begun: {chosen.limit:g} s are over"
        else:
            try:
                c = contestant(name, trials, case, chosen.steps)
            except Exception as error:  # one way that fails must not cost the others their figures
                why = f"{type(error).__name__}: {str(error)[:300]}"
        if c is None:
            print(f"{case.name} {count} {name}: {why}", flush=True)
            continue
        seconds = statistics.median(c.seconds() for _ in range(chosen.rounds)) / count
        if name == "stack":
            reference = seconds
        yield {
            "case": case.name,
            "trials": count,
            "way": name + ("" if c.stack.graph is None or c.stack.graph.full.graph else " (no graph)"),
            "ms_per_trial": round(1e3 * seconds, 4),
            "ratio_to_stack": round(seconds / reference, 3) if reference else None,
            "share": round(floor / seconds, 4),
            "ready_seconds": round(c.ready, 1),
            "peak_mib": round(c.peak),
            "precision": first.precision,
            **stamps(device),
        }
        del c  # its graph and its memory, before the next is built
        gc.collect()
        torch.backends.cudnn.benchmark = False
        if device.type == "cuda":
            torch.cuda.empty_cache()


def decide(path: Path) -> None:
    """Print the decision for each case and number of trials of a CSV file."""
    ms: dict[tuple[str, str], dict[str, float]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            ms.setdefault((row["case"], row["trials"]), {})[row["way"]] = float(row["ms_per_trial"])
    for (case, trials), ways in ms.items():
        print(f"{case}, {trials} trials: {decision(ways)}")


def arguments() -> Namespace:
    parser = options(__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(NAMES)}; default: all of them")
    trials = [1, 4, 16, 64] if CUDA else [2, 4]
    parser.add_argument("--trials", type=wholes, default=trials, help="in a stack, such as 1,4 (default: %(default)s)")
    parser.add_argument("--ways", type=words, default=words(WAYS), help="default: " + WAYS)
    parser.add_argument("--steps", type=whole, default=30 if CUDA else 3, help="timed at a time (%(default)s)")
    parser.add_argument("--rounds", type=whole, default=5 if CUDA else 2, help="default: %(default)s")
    parser.add_argument("--limit", type=float, default=480, help="seconds after which none is begun (%(default)s)")
    parser.add_argument("--decide", type=Path, metavar="FILE", help="say which way rows of --csv speak for")
    add_device(parser)
    add_precision(parser, "bf16" if CUDA else "fp32")
    chosen = parser.parse_args()
    if chosen.decide and not chosen.decide.is_file():
        parser.error(f"--decide {chosen.decide}: there is no such file")
    refuse_unknown(parser, "case", chosen.cases, NAMES)
    chosen.ways = sorted(chosen.ways, key=lambda name: name != "stack")
    try:
        list(map(parsed, chosen.ways))
    except ValueError as error:
        parser.error(f"--ways: {error}")
    refuse_unusable(parser, chosen)
    return chosen


def made_up(path: Path, steps: int) -> None:
    """Random images for batches of 128, as many as the timed steps need, with a tenth more for validation."""
    rng = np.random.default_rng(0)
    splits = {"train": 128 * (steps + 2) * 10 // 9, "test": 200}
    arrays: Row = {f"x_{split}": rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8) for split, n in splits.items()}
    arrays |= {f"y_{split}": np.arange(n) % 10 for split, n in splits.items()}
    np.savez(path, **arrays)


def main() -> None:
    chosen = arguments()
    if chosen.decide:
        decide(chosen.decide)
        return
    began = time.perf_counter()
    if any(parsed(name)[1] == "compile" for name in chosen.ways):  # loading the compiler takes seconds
        torch._dynamo.config.recompile_limit = 64
    print(f"{machine(chosen.device)}, {chosen.precision}")
    table = Table(SHOWN, chosen.csv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made_up(folder / "images.npz", chosen.steps)
        about = argparse.Namespace(**vars(chosen) | {"cifar10": folder / "images.npz", "images": 0})
        about.trials, about.threads, about.epochs = 2, None, 2
        for case in (make(name, about, folder) for name in chosen.cases or NAMES):
            rates = ceilings(torch.device(chosen.device), case.trials(0)[0].model.name, chosen.precision)
            for count in chosen.trials:
                table.extend(measure(case, count, chosen, rates, began + chosen.limit))
