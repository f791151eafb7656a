"""A step of this runner beside a plain loop's, over a grid of shapes, on the CPU: `python scripts/bench_shapes.py`.

Ours: trials of one shape in the stacks that `stack=auto` plans for one process, each step with its data, losses, checks
and optimizer as in training; the time of all stacks over the number of trials. Plain: the same network as one would
write it (`scripts/plain_models.py`), one trial, with images standardised beforehand and picked by index, cross-entropy
and `torch.optim.AdamW`, fused or foreach, channels last or first: whichever of the four is fastest. One thread;
contestants take turns step by step, and each figure is the median of CPU seconds, so that other work on the machine
disturbs all alike. Evaluation has a column of its own. The last lines are the worst ratios to plain.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import root
import torch
import torch.nn.functional as F
from plain_models import Shape, network

from runner.config.schedules import CosineSettings
from runner.config.settings import AdamSettings
from runner.data.dataset import Dataset, Split
from runner.data.settings import DigitsSettings
from runner.models.settings import ModelSettings, ResNetSettings, ShakeShakeSettings, TransformerSettings
from runner.system.memory import keep_freed_memory
from runner.training.stack import Stack
from runner.trials.plan import Layout, Plan, plan
from runner.trials.trial import Facts, Trial

CPU = torch.device("cpu")
CLASSES, STEPS = 10, 4  # batches in the made-up training set
HELD_OUT = 250  # images that are evaluated
WIDTHS = {"resnet": (4, 5, 6, 8, 10, 12, 16, 32), "shakeshake": (4, 10, 16), "transformer": (20, 32, 64, 128)}
SIZES, BATCHES, TRIALS = (8, 16, 28, 32), (1, 7, 32, 64, 128), (1, 2, 3, 5, 16, 17)
QUICK = {"widths": (5, 8, 16, 32), "sizes": (8, 28), "batches": (7, 64), "trials": (1, 3, 16)}
LARGE = 2**24  # bytes of one trial's widest layer above which a shape is left out: it is bound by arithmetic
COLUMNS = (
    "model width size batch trials stacks plain_ms ours_ms ratio plain_eval_ms ours_eval_ms eval_ratio torch".split()
)
Step = Callable[[], Any]
Row = dict[str, Any]


@dataclass(frozen=True)
class Point:
    """One shape."""

    model: ModelSettings
    width: int
    size: int
    batch: int

    def dataset(self) -> Dataset:
        rng, shape = np.random.default_rng(0), (self.size, self.size, 3)

        def split(n: int) -> Split:
            return Split(rng.integers(0, 256, (n, *shape), dtype=np.uint8), np.arange(n) % CLASSES)

        count = max(2, STEPS * self.batch)
        parts = split(count), split(HELD_OUT), split(HELD_OUT)
        return Dataset("made-up", "images", CLASSES, *parts, (128.0,) * 3, (74.0,) * 3, hash="0")

    def trials(self, dataset: Dataset, count: int) -> list[Trial]:
        first = Trial(
            model=self.model,
            dataset=DigitsSettings("digits"),
            facts=Facts.of(dataset),
            optimizer=AdamSettings("adamw", 1e-3),
            schedule=CosineSettings("cosine"),
            wd_convention="torch",
            lr=1e-3,
            wd=1e-2,
            seed=0,
            epochs=1,
            batch_size=self.batch,
            precision="fp32",
        )
        return [replace(first, seed=i) for i in range(count)]


def points(chosen: argparse.Namespace) -> list[Point]:
    found = []
    for name in chosen.models:
        for width, size, batch in product(chosen.widths or WIDTHS[name], chosen.sizes, chosen.batches):
            model: ModelSettings = ResNetSettings("resnet", 8, width)
            if name == "shakeshake":
                if width % 2:
                    continue
                model = ShakeShakeSettings("shakeshake", 26, width)
            elif name == "transformer":
                if width % 4:
                    continue
                model = TransformerSettings("transformer", 2, width, 4)
            if 4 * width * size * size * batch <= LARGE:
                found.append(Point(model, width, size, batch))
    return found


def plain_steps(point: Point, dataset: Dataset) -> tuple[dict[str, Step], dict[str, Step]]:
    """Training steps and evaluations, by the way."""
    steps: dict[str, Step] = {}
    evaluations: dict[str, Step] = {}
    images, others = ((torch.from_numpy(s.x).float() - 128) / 74 for s in (dataset.train, dataset.val))
    labels, held_out = torch.from_numpy(dataset.train.y), torch.from_numpy(dataset.val.y)
    for last, fused in product((False, True), repeat=2):
        layout = torch.channels_last if last else torch.contiguous_format
        x, seen = (t.permute(0, 3, 1, 2).contiguous(memory_format=layout) for t in (images, others))
        made = network(asdict(point.model), Shape((3, point.size, point.size), CLASSES))
        made.to(memory_format=layout)  # type: ignore[call-overload]
        optimizer = torch.optim.AdamW(made.parameters(), 1e-3, weight_decay=1e-2, fused=fused, foreach=not fused)
        index = torch.randperm(len(x))[: point.batch]

        def step(made: Any = made, optimizer: Any = optimizer, x: Any = x, index: Any = index) -> None:
            made.train()
            optimizer.zero_grad()
            F.cross_entropy(made(x[index]), labels[index]).backward()
            optimizer.step()

        @torch.no_grad()
        def evaluation(made: Any = made, seen: Any = seen) -> None:
            made.eval()
            logits = made(seen)
            float(F.cross_entropy(logits, held_out, reduction="sum")), int((logits.argmax(1) != held_out).sum())

        name = f"{'last' if last else 'first'} {'fused' if fused else 'foreach'}"
        steps[name] = step
        if fused:
            evaluations[name] = evaluation
    return steps, evaluations


def our_step(trials: Sequence[Trial], dataset: Dataset) -> tuple[Step, Step]:
    stack = Stack(trials, dataset, CPU)
    stack.feed.epoch(0)
    rows = stack._rows(0)
    taken = 0

    def step() -> None:
        nonlocal taken
        stack.model.train()
        stack.step(stack.feed.batch(taken % stack.feed.full), rows[taken % stack.feed.full])
        taken += 1

    return step, lambda: stack.scores("val")


def medians(contestants: dict[str, Step], rounds: int, seconds: float) -> dict[str, float]:
    """Milliseconds of CPU time of each: they take turns, `rounds` times or for `seconds`, three at least."""
    took: dict[str, list[float]] = {name: [] for name in contestants}
    for step in contestants.values():
        step()
        step()
    end = time.process_time() + seconds
    for turn in range(rounds):
        if turn >= 3 and time.process_time() > end:
            break
        for name, step in contestants.items():
            start = time.process_time()
            step()
            took[name].append(time.process_time() - start)
    return {name: 1e3 * statistics.median(found) for name, found in took.items()}


def kinds(stacks: Plan) -> dict[str, tuple[Sequence[Trial], int]]:
    """One stack of each kind, and how many there are: by size and way."""
    found: dict[str, tuple[Sequence[Trial], int]] = {}
    for stack in stacks:
        kind = f"{len(stack)} {stack[0].way}"
        found[kind] = (stack, found.get(kind, (stack, 0))[1] + 1)
    return found


def measure(point: Point, chosen: argparse.Namespace) -> list[Row]:
    dataset = point.dataset()
    steps, evaluations = plain_steps(point, dataset)
    plans = {count: kinds(plan(point.trials(dataset, count), Layout("cpu"))) for count in chosen.trials}
    every = {kind: stack for found in plans.values() for kind, (stack, _) in found.items()}
    ours = {kind: our_step(stack, dataset) for kind, stack in every.items()}
    trained = medians(steps | {kind: both[0] for kind, both in ours.items()}, chosen.rounds, chosen.seconds)
    evaluated = medians(evaluations | {kind: both[1] for kind, both in ours.items()}, chosen.rounds, chosen.seconds / 2)
    plain, plain_eval = min(trained[name] for name in steps), min(evaluated[name] for name in evaluations)
    rows = []
    for count, found in plans.items():
        took, scored = (sum(each[k] * n for k, (_, n) in found.items()) / count for each in (trained, evaluated))
        row: Row = {"model": point.model.name, "width": point.width, "size": point.size, "batch": point.batch}
        row |= {"trials": count, "stacks": " ".join(f"{n}x{kind}" for kind, (_, n) in found.items())}
        row |= {"plain_ms": round(plain, 3), "ours_ms": round(took, 3), "ratio": round(took / plain, 3)}
        row |= {"plain_eval_ms": round(plain_eval, 3), "ours_eval_ms": round(scored, 3)}
        row |= {"eval_ratio": round(scored / plain_eval, 3), "torch": torch.__version__}
        rows.append(row)
    return rows


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)

    def numbers(text: str) -> tuple[int, ...]:
        return tuple(int(part) for part in text.split(","))

    parser.add_argument(
        "--models", default=tuple(WIDTHS), type=lambda text: text.split(","), help="of " + ", ".join(WIDTHS)
    )
    parser.add_argument("--widths", type=numbers, help="channels, or the dim of a transformer; default: by the model")
    parser.add_argument("--sizes", type=numbers, help=f"of images; default: {SIZES}")
    parser.add_argument("--batches", type=numbers, help=f"default: {BATCHES}")
    parser.add_argument("--trials", type=numbers, help=f"default: {TRIALS}")
    parser.add_argument("--quick", action="store_true", help=f"a few minutes: {QUICK}")
    parser.add_argument("--rounds", type=int, default=40, help="turns at most (%(default)s)")
    parser.add_argument("--seconds", type=float, default=3, help="for each shape, about (%(default)s)")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the rows here")
    chosen = parser.parse_args()
    usual = {"sizes": SIZES, "batches": BATCHES, "trials": TRIALS} | (QUICK if chosen.quick else {})
    for key, value in usual.items():
        if getattr(chosen, key) is None:
            setattr(chosen, key, value)
    if unknown := set(chosen.models) - set(WIDTHS):
        parser.error(f"unknown model {', '.join(sorted(unknown))}: choose from {', '.join(WIDTHS)}")
    return chosen


def main() -> None:
    chosen = arguments()
    torch.set_num_threads(1)
    keep_freed_memory()
    rows: list[Row] = []
    print(f"{'shape':<28}{'trials':>6}  {'plain ms':>9}{'ours ms':>9}{'ratio':>7}{'eval':>7}  stacks", flush=True)
    for point in points(chosen):
        for row in measure(point, chosen):
            rows.append(row)
            shape = f"{row['model']} {row['width']}, {row['size']}x{row['size']}, batch {row['batch']}"
            figures = f"{row['plain_ms']:>9.2f}{row['ours_ms']:>9.2f}{row['ratio']:>7.2f}{row['eval_ratio']:>7.2f}"
            print(f"{shape:<34}{row['trials']:>3} {figures}  {row['stacks']}", flush=True)
        if chosen.csv:
            with chosen.csv.open("w", newline="") as file:
                writer = csv.DictWriter(file, COLUMNS)
                writer.writeheader()
                writer.writerows(rows)
    for what, some in (("a single trial", [1]), ("a sweep", [n for n in chosen.trials if n > 1])):
        for key in ("ratio", "eval_ratio"):
            found = sorted((r for r in rows if r["trials"] in some), key=lambda r: -r[key])[:5]
            listed = "; ".join(
                f"{r[key]:.2f} ({r['model']} {r['width']}, {r['size']}, {r['batch']}, {r['trials']})" for r in found
            )
            print(f"worst {'step' if key == 'ratio' else 'evaluation'} of {what}: {listed}")


if __name__ == "__main__":
    main()
