"""A step of a stack, in every way that it can be computed: `python scripts/bench_stack.py [CASE]`.

For each case, number of trials and way (stack, nchw, bmm, lanes-N, each also with +compile or +benchmark: they are
told in `scripts/stack_ways.py`) the training step as the runner takes it, data and
optimizer included and on CUDA as a graph, is timed over made-up images. Ways take turns; medians over rounds of the
time for each trial. The share is that of the roofline of `scripts/roofline.py`: the operators of one eager step, as if
nothing stayed in a cache. "ready": seconds until steps are at full speed, with compilation, first steps, recording.
"""

from __future__ import annotations

import argparse
import csv
import gc
import statistics
import tempfile
import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import root  # noqa: F401
import torch
from bench_cases import NAMES, Case, make, refuse_unusable
from bench_step import device_name
from roofline import Ceilings, ceilings, cost
from stack_ways import parsed, way
from torch import Tensor

from runner.training.graph import WARM
from runner.training.memory import available, predicted
from runner.training.peak import peak_mib
from runner.training.stack import Stack
from runner.trials import Trial

COLUMNS = "case trials way ms_per_trial ratio_to_stack share ready_seconds peak_mib device precision torch".split()
HEAD = f"{'case':<9}{'trials':>6} {'way':<20}{'ms/trial':>9}{'/ stack':>9}{'share':>7}{'ready s':>9}{'peak MiB':>10}"
WAYS = "stack,stack+benchmark,nchw+benchmark,lanes-1,lanes-4,stack+compile,lanes-1+compile,bmm+compile"
Row = dict[str, object]


@dataclass
class Contestant:
    """A stack with its rows of an epoch; `steps` of them are timed at a time."""

    name: str
    stack: Stack
    rows: Tensor
    steps: int
    ready: float = 0.0
    peak: float = 0.0

    def take(self) -> float:
        """Seconds for a step."""
        stack, device = self.stack, self.stack.device
        torch.backends.cudnn.benchmark = self.name.endswith("+benchmark")
        stack.model.train()
        stack.step.begin(0)
        if stack.graph is not None:
            stack.graph.begin(self.rows)
        synchronize(device)
        start = time.perf_counter()
        for step in range(self.steps):
            if stack.graph is not None:
                stack.graph.run(step)
            else:
                stack.step(stack.feed.batch(step), self.rows[step])
        synchronize(device)
        return (time.perf_counter() - start) / self.steps


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def contestant(name: str, trials: Sequence[Trial], case: Case, steps: int) -> Contestant:
    """Built, compiled, recorded and warm."""
    device = torch.device(case.device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    start = time.perf_counter()
    stack = way(name, trials, case.dataset, device)
    stack.feed.epoch(0)
    found = Contestant(name, stack, stack._rows(0), max(min(WARM + 2, stack.feed.full), 1))
    found.take()
    found.ready, found.steps = time.perf_counter() - start, min(steps, stack.feed.full)
    found.peak = peak_mib(device)
    return found


def measure(case: Case, count: int, ways: Sequence[str], chosen: Namespace, rates: Ceilings) -> list[Row]:
    first = case.trials(0)[0]
    trials = [replace(first, seed=i % 3, lr=first.lr * (1 + i / count)) for i in range(count)]
    one = cost(asdict(first.model), case.shape, first.batch_size, first.batch_size, 0, 1, first.precision)
    floor, device = rates.seconds(one), torch.device(case.device)
    # As many side by side as have room.
    together = max(1, int(0.8 * available(device) / predicted(trials, case.dataset, device)))
    rows: list[Row] = []
    reference = 0.0  # seconds of "stack", which comes first
    for start in range(0, len(ways), together):
        contestants = entered(ways[start : start + together], trials, case, chosen.steps)
        took: dict[str, list[float]] = {c.name: [] for c in contestants}
        for turn in range(chosen.rounds):
            for place in range(len(contestants)):  # another one begins in every round
                c = contestants[(turn + place) % len(contestants)]
                took[c.name].append(c.take() / count)
        for c in contestants:
            seconds = statistics.median(took[c.name])
            row: Row = {
                "case": case.name,
                "trials": count,
                "way": c.name + ("" if c.stack.graph is None or c.stack.graph.full.graph else " (no graph)"),
                "ms_per_trial": round(1e3 * seconds, 4),
                "ratio_to_stack": None,
                "share": round(floor / seconds, 4),
                "ready_seconds": round(c.ready, 1),
                "peak_mib": round(c.peak),
                "device": device_name(device),
                "precision": first.precision,
                "torch": torch.__version__,
            }
            if c.name == "stack":
                reference = seconds
            if reference:
                row["ratio_to_stack"] = round(seconds / reference, 3)
            rows.append(row)
            print(shown(row), flush=True)
        del contestants
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
    return rows


def entered(ways: Sequence[str], trials: Sequence[Trial], case: Case, steps: int) -> list[Contestant]:
    """Those that could be built; of the others it is said why not."""
    found = []
    for name in ways:
        try:
            found.append(contestant(name, trials, case, steps))
        except torch.OutOfMemoryError:
            print(f"{case.name:<9}{len(trials):>6} {name:<20} out of memory", flush=True)
        except Exception as error:  # one way that fails must not cost the others their figures
            print(f"{case.name:<9}{len(trials):>6} {name:<20} {type(error).__name__}: {str(error)[:300]}", flush=True)
    return found


def shown(row: Row) -> str:
    ratio = "" if row["ratio_to_stack"] is None else f"{row['ratio_to_stack']:.2f}"
    return (
        f"{row['case']:<9}{row['trials']:>6} {row['way']:<20}{row['ms_per_trial']:>9.3f}{ratio:>9}"
        f"{row['share']:>7.0%}{row['ready_seconds']:>9.1f}{row['peak_mib']:>10,}"
    )


def arguments() -> Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cuda = torch.cuda.is_available()
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(NAMES)}; default: all of them")
    parser.add_argument(
        "--trials", default="1,4,16,64" if cuda else "2,4", help="in a stack, such as 1,4 (default: %(default)s)"
    )
    parser.add_argument("--ways", default=WAYS, help="default: %(default)s")
    parser.add_argument("--steps", type=int, default=30 if cuda else 3, help="timed at a time (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5 if cuda else 2, help="default: %(default)s")
    parser.add_argument("--limit", type=float, default=480, help="seconds after which none is begun (%(default)s)")
    parser.add_argument("--device", default="cuda" if cuda else "cpu")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16" if cuda else "fp32")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the rows here")
    chosen = parser.parse_args()
    chosen.cases = chosen.cases or list(NAMES)
    if unknown := set(chosen.cases) - set(NAMES):
        parser.error(f"unknown case {', '.join(sorted(unknown))}: choose from {', '.join(NAMES)}")
    try:
        chosen.trials = [int(number) for number in chosen.trials.split(",")]
    except ValueError:
        parser.error(f"--trials {chosen.trials}: must be whole numbers, such as 1,4,16")
    if min(*chosen.trials, chosen.steps, chosen.rounds, 1) < 1:
        parser.error("--trials, --steps and --rounds: 1 or more")
    chosen.ways = sorted(chosen.ways.split(","), key=lambda name: name != "stack")
    for name in chosen.ways:
        try:
            parsed(name)
        except ValueError as error:
            parser.error(f"--ways: {error}")
    refuse_unusable(parser, chosen)
    return chosen


def main() -> None:
    chosen = arguments()
    began = time.perf_counter()
    torch._dynamo.config.recompile_limit = 64
    print(
        f"{device_name(torch.device(chosen.device))}, {chosen.precision}, torch {torch.__version__}\n{HEAD}", flush=True
    )
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = folder / "images.npz"
        count, rng = 128 * (chosen.steps + 2) * 10 // 9, np.random.default_rng(0)
        splits = {"train": count, "test": 200}
        x = {f"x_{split}": rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8) for split, n in splits.items()}
        np.savez(images, **x, **{f"y_{split}": np.arange(n) % 10 for split, n in splits.items()})
        more = {"device": chosen.device, "precision": chosen.precision, "cifar10": images, "images": 0}
        about = Namespace(**more, trials=2, threads=None, epochs=2)
        for case in (make(name, about, folder) for name in chosen.cases):
            rates = ceilings(torch.device(chosen.device), case.trials(0)[0].model.name, chosen.precision)
            for trials in chosen.trials:
                if time.perf_counter() - began > chosen.limit:
                    print(f"{case.name:<9}{trials:>6} not begun: {chosen.limit:g} s are over", flush=True)
                    continue
                ways = fitting(chosen.ways, trials)
                if unfit := [name for name in chosen.ways if name not in ways]:
                    print(f"{case.name:<9}{trials:>6} cannot be split so: {', '.join(unfit)}", flush=True)
                rows += measure(case, trials, ways, chosen, rates)
                if chosen.csv:  # after every measurement, so that what is stopped leaves what it had
                    with chosen.csv.open("w", newline="") as file:
                        writer = csv.DictWriter(file, COLUMNS)
                        writer.writeheader()
                        writer.writerows(rows)


def fitting(ways: Sequence[str], trials: int) -> list[str]:
    """The ways that differ from each other for this number of trials."""
    sizes = {name: parsed(name)[1] for name in ways}
    return [name for name in ways if not sizes[name] or (sizes[name] < trials and trials % sizes[name] == 0)]


if __name__ == "__main__":
    main()
