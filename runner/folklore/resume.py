"""The classic resume error: weights are restored, the optimizer's state is not. `resumed()` trains it, `draw` shows it.

A ResNet on digits under AdamW at a constant rate; after `BEFORE` steps it is saved and goes on with the optimizer's
state, and with a fresh optimizer. The runner's own checkpoints hold the state (tests/training/test_checkpoint.py).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

import optim
from runner.data.load import load
from runner.data.settings import DigitsSettings
from runner.models.layers import initialise
from runner.models.resnet import ResNet
from runner.models.settings import ResNetSettings

BEFORE, AFTER, SEEDS, BATCH = 60, 40, 10, 64
WAYS = ("state restored", "state lost")


def resumed() -> pd.DataFrame:
    """Columns seed, way, step (from 1), loss (of the batch), moved (norm of the update)."""
    torch.set_num_threads(1)
    data = load(DigitsSettings("digits"))
    x = (torch.tensor(data.train.x).permute(0, 3, 1, 2).float() - data.mean[0]) / data.std[0]
    y = torch.tensor(data.train.y)
    rows: list[dict[str, object]] = []
    for seed in range(SEEDS):
        model, optimizer = _fresh(seed)
        batches = torch.Generator().manual_seed(seed)
        for step in range(1, BEFORE + 1):
            rows += [{"seed": seed, "way": way, **_step(step, model, optimizer, x, y, batches)} for way in WAYS[:1]]
        saved = {k: v.clone() for k, v in model.state_dict().items()}, optimizer.state_dict()
        order = batches.get_state()
        for way in WAYS:
            model, optimizer = _fresh(seed)
            model.load_state_dict(saved[0])
            if way == WAYS[0]:
                optimizer.load_state_dict(saved[1])
            batches.set_state(order)
            for step in range(BEFORE + 1, BEFORE + AFTER + 1):
                rows.append({"seed": seed, "way": way, **_step(step, model, optimizer, x, y, batches)})
    return pd.DataFrame(rows)


def _fresh(seed: int) -> tuple[ResNet, optim.AdamW]:
    model = ResNet(ResNetSettings("resnet"), 1, 1, 10)
    initialise(model, [torch.Generator().manual_seed(seed)])
    return model, optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)


def _step(
    step: int, model: ResNet, optimizer: optim.AdamW, x: torch.Tensor, y: torch.Tensor, batches: torch.Generator
) -> dict[str, object]:
    some = torch.randint(len(x), (BATCH,), generator=batches)
    before = [p.detach().clone() for p in model.parameters()]
    loss = F.cross_entropy(model(x[some][None])[0], y[some])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    moved = sum(float((p.detach() - q).square().sum()) for p, q in zip(model.parameters(), before, strict=True))
    return {"step": step, "loss": float(loss.detach()), "moved": moved**0.5}


def kink(table: pd.DataFrame) -> dict[str, float]:
    """For each way the mean loss of the 10 steps after resuming, less that of the state restored; and its interval."""
    from runner.analysis.statistics import estimate

    soon = table[table["step"].between(BEFORE + 1, BEFORE + 10)].groupby(["seed", "way"])["loss"].mean().unstack()
    gap = estimate(soon[WAYS[1]] - soon[WAYS[0]])
    return {"kink": gap.mean, "low": gap.low, "high": gap.high}


def draw(table: pd.DataFrame, path: Path) -> Path:
    """Geometric means of loss and size of the step around the moment of resuming, and their standard errors."""
    from runner.report.plots.drawing import pinned

    with pinned():
        return _drawn(table, path)


def _drawn(table: pd.DataFrame, path: Path) -> Path:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    loss, moved = figure.subplots(1, 2)
    near = table[table["step"] > BEFORE - AFTER]
    for way, colour in zip(WAYS, ("#0072B2", "#D55E00"), strict=True):
        shown = near[(near["way"] == way) & ((way == WAYS[0]) | (near["step"] > BEFORE))]
        for axes, column in ((loss, "loss"), (moved, "moved")):
            by_step = np.log(shown[column]).groupby(shown["step"])
            mean, error = by_step.mean(), by_step.std() / np.sqrt(SEEDS)
            axes.plot(mean.index, np.exp(mean), color=colour, label=way)
            low, high = np.exp(mean - 2 * error), np.exp(mean + 2 * error)
            axes.fill_between(mean.index, low, high, color=colour, alpha=0.2, linewidth=0)
    for axes, name in ((loss, "training loss of the batch (nats)"), (moved, "norm of the step")):
        axes.axvline(BEFORE + 0.5, color="black", linewidth=0.8, linestyle=":")
        axes.set(xlabel="step", ylabel=name, yscale="log")
        axes.spines[["top", "right"]].set_visible(False)
    loss.legend(frameon=False, fontsize=8)
    title = f"Resuming AdamW after {BEFORE} steps, ResNet on digits, {SEEDS} seeds (band: 2 standard errors)"
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=110)
    return path
