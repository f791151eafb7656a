"""A step of somebody's own module, `model=module`, beside a plain loop's, on the CPU: `python scripts/bench modules`.

Ours: trials in the stacks that are planned for one process, in the way that `runner.execution.module_way` chooses, each
step with its data, losses, checks and optimizer as in training; the time of all stacks over the number of trials.
Plain: the module as it is, with images standardised beforehand and picked by index, cross-entropy and
`torch.optim.AdamW`, fused or foreach, whichever is faster. One thread; contestants take turns step by step, and each
figure is the median of CPU seconds. `cnn` has 20,000 weights and sees images of 8x8 pixels, as the digits are.
"""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runner.data.dataset import Dataset, Split
from runner.execution.module_way import module_way
from runner.models.module import made
from runner.models.settings import ModuleSettings, ResNetSettings
from runner.system.memory import keep_freed_memory
from runner.trials.plan import Chosen, Layout, plan
from runner.trials.trial import Trial
from scripts.bench.common import Row, Table, options, refuse_unknown, whole, wholes, words
from scripts.bench.shapes import CLASSES, HELD_OUT, STEPS, Point, Step, compared, kinds

BATCH = 32
TRIALS = (1, 8, 32)
SHOWN = "module:<10 weights:,d size trials plain_ms:.2f ours_ms:.2f ratio:.2f eval_ratio:.2f stacks:<30"


class SmallCnn(nn.Module):
    """Three convolutions with batch normalisation, as one would write them; 20,000 weights."""

    def __init__(self, width: int = 24, classes: int = CLASSES) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in ((1, width), (width, 2 * width), (2 * width, width)):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.layers, self.head = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1)), nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.layers(x).flatten(1))
        return logits


def perceptron(width: int = 128, classes: int = CLASSES) -> nn.Module:
    """Two layers on 8x8 pixels."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, classes))


@dataclass(frozen=True)
class Case:
    """A module and its images."""

    make: str
    size: int
    colours: int
    args: dict[str, int]


CASES = {
    "cnn": Case("scripts.bench.modules:SmallCnn", 8, 1, {}),
    "mlp": Case("scripts.bench.modules:perceptron", 8, 1, {}),
    "resnet18": Case("torchvision.models.resnet:resnet18", 32, 3, {"num_classes": CLASSES}),
}


def made_up(case: Case) -> Dataset:
    rng = np.random.default_rng(0)

    def split(n: int) -> Split:
        return Split(rng.integers(0, 256, (n, case.size, case.size, case.colours), np.uint8), np.arange(n) % CLASSES)

    parts = split(STEPS * BATCH), split(HELD_OUT), split(HELD_OUT)
    return Dataset("made-up", "images", CLASSES, *parts, (128.0,) * case.colours, (74.0,) * case.colours, hash="0")


def trials_of(settings: ModuleSettings, dataset: Dataset, count: int) -> list[Trial]:
    some = Point(ResNetSettings("resnet"), 8, dataset.train.x.shape[1], BATCH).trials(dataset, count)
    return [replace(one, model=settings) for one in some]


def plain_steps(settings: ModuleSettings, dataset: Dataset) -> tuple[dict[str, Step], dict[str, Step]]:
    """Training steps, by the way, and an evaluation."""
    x, seen = (
        (torch.from_numpy(s.x).float() - 128).div(74).movedim(-1, 1).contiguous() for s in (dataset.train, dataset.val)
    )
    labels, held_out = torch.from_numpy(dataset.train.y), torch.from_numpy(dataset.val.y)
    steps: dict[str, Step] = {}
    for fused in (False, True):
        module = made(settings, torch.Generator())
        optimizer = torch.optim.AdamW(module.parameters(), 1e-3, weight_decay=1e-2, fused=fused, foreach=not fused)

        def step(module: nn.Module = module, optimizer: torch.optim.AdamW = optimizer) -> None:
            module.train()
            optimizer.zero_grad()
            index = torch.randperm(len(x))[:BATCH]
            F.cross_entropy(module(x[index]), labels[index]).backward()
            optimizer.step()

        steps["fused" if fused else "foreach"] = step

    @torch.no_grad()
    def evaluation(module: nn.Module = module) -> None:
        module.eval()
        logits = module(seen)
        float(F.cross_entropy(logits, held_out, reduction="sum")), int((logits.argmax(1) != held_out).sum())

    return steps, {"evaluation": evaluation}


def measure(name: str, chosen: Namespace) -> list[Row]:
    """A row for each number of trials of a module."""
    case = CASES[name]
    settings, dataset = ModuleSettings("module", case.make, case.args), made_up(case)
    steps, evaluations = plain_steps(settings, dataset)
    way = module_way(settings, dataset, BATCH)
    planned = {}
    for count in chosen.trials:
        some = trials_of(settings, dataset, count)
        planned[count] = kinds(plan(some, Layout("cpu", measured={some[0].stack_key: Chosen(way.most, way.way)})))
    weights = sum(p.numel() for p in made(settings, torch.Generator()).parameters())
    shape: Row = {"module": name, "size": case.size, "weights": weights}
    return [shape | row for row in compared(steps, evaluations, planned, dataset, chosen)]


def arguments() -> Namespace:
    parser = options(__doc__)
    parser.add_argument("--modules", type=words, default=list(CASES), help=f"default: {','.join(CASES)}")
    parser.add_argument("--trials", type=wholes, default=TRIALS, help=f"default: {TRIALS}")
    parser.add_argument("--rounds", type=whole, default=40, help="turns at most (%(default)s)")
    parser.add_argument("--seconds", type=float, default=6, help="for each module, about (%(default)s)")
    chosen = parser.parse_args()
    refuse_unknown(parser, "module", chosen.modules, CASES)
    return chosen


def main() -> None:
    chosen = arguments()
    torch.set_num_threads(1)
    keep_freed_memory()
    table = Table(SHOWN, chosen.csv)
    for name in chosen.modules:
        table.extend(measure(name, chosen))
