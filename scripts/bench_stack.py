"""A step of a stack, in every way that it can be computed: `python scripts/bench_stack.py [CASE]`.

For each case, number of trials and way (stack or lanes, each also with +compile or +benchmark: they are told in
`scripts/stack_ways.py`) the training step as the runner takes it, data and optimizer included and on CUDA as a
graph, is timed over made-up images: the median over rounds of the time for each trial. One way after another, each
written down before the next is built, since to build one can take minutes. The share is that of the roofline of
`scripts/roofline.py`: the operators of one eager step, as if nothing stayed in a cache. "ready": seconds until steps
are at full speed, with compilation, first steps, recording. "peak": memory beyond what was held before; on the CPU, of
the whole process so far.
"""

from __future__ import annotations

import argparse
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
import root
import rows
import torch
from bench_cases import NAMES, Case, make, refuse_unusable
from bench_step import device_name
from roofline import Ceilings, ceilings, cost
from stack_ways import parsed, way
from torch import Tensor

from runner.system.memory import peak_mib
from runner.training.graph import WARM
from runner.training.stack import Stack
from runner.trials.trial import Trial

COLUMNS = "case trials way ms_per_trial ratio_to_stack share ready_seconds peak_mib device precision torch".split()
HEAD = f"{'case':<9}{'trials':>6} {'way':<20}{'ms/trial':>9}{'/ stack':>9}{'share':>7}{'ready s':>9}{'peak MiB':>10}"
WAYS = "stack,stack+benchmark,lanes,lanes+benchmark"  # to compile takes a minute or more: only if asked for
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


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def contestant(name: str, trials: Sequence[Trial], case: Case, steps: int) -> Contestant:
    """Built, compiled, recorded and warm."""
    device = torch.device(case.device)
    before = 0.0
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_reserved(device) / 2**20
    start = time.perf_counter()
    stack = way(name, trials, case.dataset, device)
    stack.feed.epoch(0)
    found = Contestant(name, stack, stack._rows(0), max(min(WARM + 2, stack.feed.full), 1))
    found.take()
    found.ready, found.steps = time.perf_counter() - start, min(steps, stack.feed.full)
    found.peak = peak_mib(device) - before
    return found


def measure(case: Case, count: int, chosen: Namespace, rates: Ceilings, until: float) -> Iterator[Row]:
    """The row of each way, as soon as it is measured; none is begun after `until`, of this process's clock."""
    first = case.trials(0)[0]
    trials = [replace(first, seed=i % 3, lr=first.lr * (1 + i / count)) for i in range(count)]
    one = cost(asdict(first.model), case.shape, first.batch_size, first.batch_size, 0, 1, first.precision)
    floor, device = rates.seconds(one), torch.device(case.device)
    reference = 0.0  # seconds of "stack", which comes first
    for name in chosen.ways:
        if not fits(name, count):
            print(f"{case.name:<9}{count:>6} {name:<20} is the stack's for one trial", flush=True)
            continue
        if time.perf_counter() > until:
            print(f"{case.name:<9}{count:>6} {name:<20} not begun: {chosen.limit:g} s are over", flush=True)
            continue
        c = entered(name, trials, case, chosen.steps)
        if c is not None:
            seconds = statistics.median(c.take() for _ in range(chosen.rounds)) / count
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
                "device": device_name(device),
                "precision": first.precision,
                "torch": torch.__version__,
            }
        del c  # its graph and its memory, before the next is built
        gc.collect()
        torch.backends.cudnn.benchmark = False
        if device.type == "cuda":
            torch.cuda.empty_cache()


def entered(name: str, trials: Sequence[Trial], case: Case, steps: int) -> Contestant | None:
    """None for a way that could not be built, of which it is said why not."""
    try:
        return contestant(name, trials, case, steps)
    except torch.OutOfMemoryError:
        why = "out of memory"
    except Exception as error:  # one way that fails must not cost the others their figures
        why = f"{type(error).__name__}: {str(error)[:300]}"
    print(f"{case.name:<9}{len(trials):>6} {name:<20} {why}", flush=True)
    return None


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
    if any(parsed(name)[1] == "compile" for name in chosen.ways):  # for to load the compiler takes seconds
        torch._dynamo.config.recompile_limit = 64
    print(
        f"{device_name(torch.device(chosen.device))}, {chosen.precision}, torch {torch.__version__}\n{HEAD}", flush=True
    )
    found: list[Row] = []
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
            for count in chosen.trials:
                for row in measure(case, count, chosen, rates, began + chosen.limit):
                    print(shown(row), flush=True)
                    found.append(row)
                    rows.write(chosen.csv, COLUMNS, found)


def fits(name: str, trials: int) -> bool:
    """Whether so many trials can be computed so: one alone is an ordinary network in every way."""
    return trials > 1 or parsed(name)[0] != "lanes"


if __name__ == "__main__":
    main()
