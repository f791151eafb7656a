"""Trials of a job trained without the runner: `python scripts/bench peer --way typed --job FILE.pt`.

`python scripts/bench trials` writes the job, which says what to train on and how, and calls this.

typed is what one would type: DataLoader, eager float32, a fused torch.optim step, LambdaLR, one trial after another.
joblib is typed trials in as many processes as there are cores, one thread each. tuned is typed by someone who took
trouble: data on the device, augmentation by the batch, channels-last, no wait for the device within an epoch, and on
CUDA the step as a CUDA graph, in the runner's precision. Datasets and loaders are made once in a process.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from runner.system.devices import cores
from scripts.bench.common import Row, Table, options
from scripts.bench.peer_data import SPLITS, Batch, loaders, read, resident, tensors
from scripts.parity.plain_models import load_trial, network

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Run:
    """Network, optimizer and schedule of one trial."""

    def __init__(self, job: Path, trial: Row, per_epoch: int, tuned: bool) -> None:
        about = read(job)
        self.about, self.trial, self.device = about, trial, torch.device(about["device"])
        torch.manual_seed(trial["number"])
        made = network(about["model"], about["shape"])
        load_trial(made, about["initial"])
        if tuned:
            made.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network = made.to(self.device)
        graphed = tuned and self.device.type == "cuda"
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[trial["optimizer"]]
        rate: Any = torch.tensor(trial["lr"], device=self.device) if graphed else trial["lr"]
        betas = (trial["beta1"], trial["beta2"])
        self.optimizer: torch.optim.Optimizer = kind(
            self.network.parameters(), rate, betas, trial["eps"], trial["weight_decay"], fused=True, capturable=graphed
        )
        steps = about["epochs"] * per_epoch
        self.scheduler = LambdaLR(self.optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * step / steps)))
        low = DTYPES[about["precision"]] if tuned else torch.float32
        # A cache of low copies of the weights would outlive a CUDA graph.
        self.autocast = torch.autocast(self.device.type, low, enabled=low != torch.float32, cache_enabled=not graphed)

    def backward(self, x: Tensor, y: Tensor) -> Tensor:
        self.optimizer.zero_grad()
        with self.autocast:
            logits = self.network(x)
        loss = F.cross_entropy(logits.float(), y)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    @torch.no_grad()
    def score(self, batches: Iterable[Batch]) -> tuple[float, float]:
        """Mean cross-entropy and error in percent."""
        self.network.eval()
        loss, wrong, count = (torch.zeros((), device=self.device, dtype=torch.float64) for _ in range(3))
        for x, y in batches:
            x, y = x.to(self.device), y.to(self.device)
            with self.autocast:
                logits = self.network(x).float()
            loss += F.cross_entropy(logits, y, reduction="sum")
            wrong += (logits.argmax(1) != y).sum()
            count += len(y)
        return float(loss / count), float(100 * wrong / count)

    def train(self, train_epoch: Callable[[], float], batches: Callable[[str], Iterable[Batch]]) -> Row:
        """The trial's row: epochs, each of which gives the mean loss of its batches, with validation after each."""
        for epoch in range(1, self.about["epochs"] + 1):
            self.network.train()
            running = train_epoch()
            loss, error = self.score(batches("val"))
            print(f"{self.trial['number']} epoch {epoch}: {running:.4f} {loss:.4f} {error:.2f} %")
            if not math.isfinite(running):
                break
        errors = {"train": self.score(batches("train"))[1], "val": error, "test": self.score(batches("test"))[1]}
        # What diverged counts as chance, as in the runner.
        ok, chance = math.isfinite(running), 100 * (1 - 1 / self.about["shape"].classes)
        row = {key: self.trial[key] for key in ("optimizer", "lr", "wd", "seed")}
        row |= {"status": "ok" if ok else "diverged", "epochs": epoch}
        return row | {f"{split}_error": errors[split] if ok else chance for split in SPLITS}


def typed(job: Path, trial: Row, workers: int = 2) -> Row:
    data = loaders(job, workers)
    run, count = Run(job, trial, len(data["learn"]), tuned=False), len(tensors(job)["train"][1])

    def train_epoch() -> float:
        total = 0.0
        for x, y in data["learn"]:
            x, y = x.to(run.device, non_blocking=True), y.to(run.device, non_blocking=True)
            total += run.backward(x, y).item() * len(y)
            run.scheduler.step()
        return total / count

    return run.train(train_epoch, lambda split: data[split])


def tuned(job: Path, trial: Row) -> Row:
    data, size = resident(job), read(job)["batch_size"]
    run = Run(job, trial, math.ceil(len(data.y) / size), tuned=True)
    total = torch.zeros((), device=run.device)

    def step(index: Tensor) -> None:
        total.add_(run.backward(*data.batch(index)) * len(index))

    whole = Graph(step, size, run.device) if run.device.type == "cuda" else step

    def train_epoch() -> float:
        total.zero_()
        for index in torch.randperm(len(data.y), device=run.device).split(size):
            (whole if len(index) == size else step)(index)
            run.scheduler.step()
        return float(total) / len(data.y)

    return run.train(train_epoch, data.batches)


class Graph:
    """Full batches on CUDA: three plain steps; the fourth is recorded, and replayed from then on."""

    def __init__(self, step: Any, size: int, device: torch.device) -> None:
        self.step, self.index = step, torch.zeros(size, dtype=torch.int64, device=device)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.stream, self.done = torch.cuda.Stream(device), 0

    def __call__(self, index: Tensor) -> None:
        self.index.copy_(index)
        current = torch.cuda.current_stream()
        self.stream.wait_stream(current)
        # It warns that a capturable optimizer steps outside of a graph.
        with torch.cuda.stream(self.stream), warnings.catch_warnings(action="ignore"):
            if self.graph is None and self.done == 3:
                graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(graph, stream=self.stream):
                    self.step(self.index)
                self.graph = graph
            if self.graph is None:
                self.step(self.index)
            else:
                self.graph.replay()
            self.done += 1
        current.wait_stream(self.stream)


def one_thread(job: Path, trial: Row, workers: int) -> Row:
    torch.set_num_threads(1)
    return typed(job, trial, workers)


def train(way: str, job: Path) -> list[Row]:
    """The row of every trial of the job."""
    trials = read(job)["trials"]
    if way != "joblib":
        train_one = {"typed": typed, "tuned": tuned}[way]
        return [train_one(job, trial) for trial in trials]
    from joblib import Parallel, delayed  # type: ignore[import-untyped]

    # On a CPU every core trains already; loading in more processes would take it from them.
    workers = 0 if read(job)["device"] == "cpu" else 2
    return list(Parallel(cores())(delayed(one_thread)(job, trial, workers) for trial in trials))


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--way", choices=("typed", "tuned", "joblib"), required=True)
    parser.add_argument("--job", type=Path, required=True, metavar="FILE.pt", help="as `bench trials` writes it")
    chosen = parser.parse_args()
    rows = train(chosen.way, chosen.job)
    table = Table("optimizer lr wd seed status epochs val_error:.2f test_error:.2f", chosen.csv)
    table.extend(rows)
