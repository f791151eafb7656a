"""A step of this runner beside a plain loop's, over a grid of shapes, on the CPU: `python scripts/bench shapes`.

Ours: trials of one shape in the stacks that `stack=auto` plans for one process, each step with its data, losses, checks
and optimizer as in training; the time of all stacks over the number of trials. Plain: the same network as one would
write it (`scripts/parity/plain_models.py`), one trial, with images standardised beforehand and picked by index,
cross-entropy and `torch.optim.AdamW`, fused or foreach, channels last or first: whichever of the four is fastest. One
thread; contestants take turns step by step, and each figure is the median of CPU seconds, so that other work on the
machine disturbs all alike. Evaluation has a column of its own. The last lines are the worst ratios to plain.
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from runner.config.schedules import CosineSettings
from runner.config.settings import AdamSettings
from runner.data.dataset import Dataset, Split
from runner.data.settings import DigitsSettings
from runner.models.settings import ModelSettings, ResNetSettings, ShakeShakeSettings, TransformerSettings
from runner.system.memory import keep_freed_memory
from runner.training.stack import Stack
from runner.trials.plan import Layout, Plan, plan
from runner.trials.trial import Facts, Trial
from scripts.bench.common import Row, Table, medians, options, refuse_unknown, turns, whole, wholes, words
from scripts.parity.plain_models import Shape, network

CPU = torch.device("cpu")
CLASSES, STEPS = 10, 4  # batches in the made-up training set
HELD_OUT = 250  # images that are evaluated
WIDTHS = {"resnet": (4, 5, 6, 8, 10, 12, 16, 32), "shakeshake": (4, 10, 16), "transformer": (20, 32, 64, 128)}
SIZES, BATCHES, TRIALS = (8, 16, 28, 32), (1, 7, 32, 64, 128), (1, 2, 3, 5, 16, 17)
QUICK = {"widths": (5, 8, 16, 32), "sizes": (8, 28), "batches": (7, 64), "trials": (1, 3, 16)}
LARGE = 2**24  # bytes of one trial's widest layer above which a shape is left out: it is bound by arithmetic
SHOWN = "model:<11 width size batch trials plain_ms:.2f ours_ms:.2f ratio:.2f eval_ratio:.2f stacks:<30"
Step = Callable[[], Any]
Steps = dict[str, Step]
Kinds = dict[str, tuple[Sequence[Trial], int]]  # a stack of each kind, and how many there are


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


def points(chosen: Namespace) -> list[Point]:
    """The chosen shapes, without those that a model cannot have and those that are bound by arithmetic."""
    makes: dict[str, tuple[int, Callable[[int], ModelSettings]]] = {  # the width is a multiple of so much
        "resnet": (1, lambda width: ResNetSettings("resnet", 8, width)),
        "shakeshake": (2, lambda width: ShakeShakeSettings("shakeshake", 26, width)),
        "transformer": (4, lambda width: TransformerSettings("transformer", 2, width, 4)),
    }
    return [
        Point(makes[name][1](width), width, size, batch)
        for name in chosen.models
        for width, size, batch in product(chosen.widths or WIDTHS[name], chosen.sizes, chosen.batches)
        if width % makes[name][0] == 0 and 4 * width * size * size * batch <= LARGE
    ]


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


def milliseconds(contestants: dict[str, Step], rounds: int, seconds: float) -> dict[str, float]:
    """The median CPU time of each: they take turns, `rounds` times or for `seconds`, three at least."""

    def timed(step: Step) -> float:
        start = time.process_time()
        step()
        return 1e3 * (time.process_time() - start)

    calls = {name: partial(timed, step) for name, step in contestants.items()}
    return medians(turns(calls, rounds, warm=2, seconds=seconds))


def kinds(stacks: Plan) -> Kinds:
    """One stack of each kind, and how many there are: by size and way."""
    counted: Kinds = {}
    for stack in stacks:
        kind = f"{len(stack)} {stack[0].way}"
        counted[kind] = (stack, counted.get(kind, (stack, 0))[1] + 1)
    return counted


def measure(point: Point, chosen: Namespace) -> list[Row]:
    """A row for each number of trials of a shape."""
    dataset = point.dataset()
    steps, evaluations = plain_steps(point, dataset)
    plans = {count: kinds(plan(point.trials(dataset, count), Layout("cpu"))) for count in chosen.trials}
    shape: Row = {"model": point.model.name, "width": point.width, "size": point.size, "batch": point.batch}
    return [shape | row for row in compared(steps, evaluations, plans, dataset, chosen)]


def compared(plain: Steps, scoring: Steps, plans: Mapping[int, Kinds], data: Dataset, chosen: Namespace) -> list[Row]:
    """Ours beside the fastest of the plain ones: a row for each number of trials, by their plans."""
    every = {kind: stack for planned in plans.values() for kind, (stack, _) in planned.items()}
    ours = {kind: our_step(stack, data) for kind, stack in every.items()}
    trained = milliseconds(plain | {kind: both[0] for kind, both in ours.items()}, chosen.rounds, chosen.seconds)
    scored = milliseconds(scoring | {kind: both[1] for kind, both in ours.items()}, chosen.rounds, chosen.seconds / 2)
    best, best_eval = min(trained[name] for name in plain), min(scored[name] for name in scoring)
    rows = []
    for count, planned in plans.items():
        own, own_eval = (sum(each[k] * n for k, (_, n) in planned.items()) / count for each in (trained, scored))
        row: Row = {"trials": count, "stacks": " ".join(f"{n}x{kind}" for kind, (_, n) in planned.items())}
        row |= {"plain_ms": round(best, 3), "ours_ms": round(own, 3), "ratio": round(own / best, 3)}
        row |= {"plain_eval_ms": round(best_eval, 3), "ours_eval_ms": round(own_eval, 3)}
        rows.append(row | {"eval_ratio": round(own_eval / best_eval, 3), "torch": torch.__version__})
    return rows


def arguments() -> Namespace:
    parser = options(__doc__)
    parser.add_argument("--models", type=words, default=list(WIDTHS), help=f"default: {','.join(WIDTHS)}")
    parser.add_argument("--widths", type=wholes, help="channels, or the dim of a transformer; default: by the model")
    parser.add_argument("--sizes", type=wholes, help=f"of images; default: {SIZES}")
    parser.add_argument("--batches", type=wholes, help=f"default: {BATCHES}")
    parser.add_argument("--trials", type=wholes, help=f"default: {TRIALS}")
    parser.add_argument("--quick", action="store_true", help=f"a few minutes: {QUICK}")
    parser.add_argument("--rounds", type=whole, default=40, help="turns at most (%(default)s)")
    parser.add_argument("--seconds", type=float, default=3, help="for each shape, about (%(default)s)")
    chosen = parser.parse_args()
    usual = {"sizes": SIZES, "batches": BATCHES, "trials": TRIALS} | (QUICK if chosen.quick else {})
    vars(chosen).update({key: value for key, value in usual.items() if getattr(chosen, key) is None})
    refuse_unknown(parser, "model", chosen.models, WIDTHS)
    return chosen


def main() -> None:
    chosen = arguments()
    torch.set_num_threads(1)
    keep_freed_memory()
    table = Table(SHOWN, chosen.csv)
    for point in points(chosen):
        table.extend(measure(point, chosen))
    for what, counts in (("a single trial", [1]), ("a sweep", [n for n in chosen.trials if n > 1])):
        for key, measured in (("ratio", "step"), ("eval_ratio", "evaluation")):
            worst = sorted((row for row in table.rows if row["trials"] in counts), key=lambda row: -row[key])[:5]
            shape = "{model} {width}, {size}, {batch}, {trials}"
            listed = "; ".join(f"{row[key]:.2f} ({shape.format(**row)})" for row in worst)
            print(f"worst {measured} of {what}: {listed}")
