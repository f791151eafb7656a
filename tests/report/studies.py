"""Made-up studies with a known truth, written through `runner.records`: `study(folder, ...)` is the call to know."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from runner.config.settings import SEEDS_APART
from runner.records import identity
from runner.records.checks import TOLD
from runner.records.records import Records

LRS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
WDS = {"l2": (1e-5, 1e-4, 1e-3, 1e-2, 1e-1), "torch": (0.01, 0.03, 0.1, 0.3, 1.0), "paper": (1e-5, 1e-4, 1e-3)}
EPOCHS = 20
Truth = Callable[[str, float, float, int], float]


def trial(optimizer: str, lr: float, wd: float, seed: int, **changes: Any) -> dict[str, object]:
    """One row of trials.csv with sensible numbers; `changes` overwrites columns, `settings` adds to the JSON.

    val_error = test_error = 5 unless given; losses follow the error.
    """
    convention = changes.pop("wd_convention", "torch" if optimizer.endswith("w") else "l2")
    phase, status = changes.get("phase", "search"), changes.get("status", "ok")
    settings: dict[str, object] = {
        "model": "resnet",
        "dataset": "digits",
        "dataset.hash": "0123456789ab",
        "optimizer": optimizer,
    }
    settings |= {"wd_convention": convention, "lr": lr, "wd": wd, "seed": seed, "epochs": EPOCHS}
    settings |= changes.pop("settings", {})
    settings |= {name: changes[name] for name in TOLD if name in changes and name in settings}  # a row says both alike
    error = float(changes.pop("error", 5.0))
    # What is made up beside the settings, such as a second row of the same run, needs an id of its own.
    settings["dataset.classes"] = int(hash_of({"phase": phase, **changes}), 16)
    row: dict[str, object] = {
        "study": "made-up",
        "trial": identity.id_of(settings),
        "phase": phase,
        "status": status,
        "model": settings["model"],
        "dataset": settings["dataset"],
        "optimizer": optimizer,
        "wd_convention": convention,
        "lr": lr,
        "wd": wd,
        "seed": seed,
        "batch_size": 64,
        "epochs": EPOCHS,
        "schedule": settings.get("schedule", "cosine"),
        "beta1": 0.9,
        "beta2": 0.999,
        "eps": 1e-8,
        "decay_params": "all",
        "steps": 140,
        "params": 20_000,
        "settings": json.dumps(settings),
        "version": "0.1.0",
        "device": "cpu",
    }
    if convention == "torch":
        row |= {"wd_torch": wd, "wd_paper": lr * wd, "wd_norm": lr * wd * math.sqrt(140)}
    if convention == "paper":
        row |= {"wd_torch": wd / lr, "wd_paper": wd, "wd_norm": wd * math.sqrt(140)}
    if status == "ok":
        row |= {"val_error": error, "test_error": error, "val_loss": error / 30, "test_loss": error / 28}
        row |= {"train_loss": 0.002 + error**2 / 3000, "train_error": error / 4, "test_top5_error": error / 20}
        row |= {"test_ece": error / 2, "test_brier": error / 60}
    elif status == "diverged":
        row |= {"val_error": 90.0, "test_error": 90.0, "test_top5_error": 50.0, "train_error": 90.0}
        row |= dict.fromkeys(("val_loss", "test_loss", "train_loss", "gap_loss", "test_ece", "test_brier"), math.nan)
    if status != "failed":
        row |= {"train_size": 400, "val_size": 499}
    row |= changes
    if status == "ok":
        row |= {"gap_loss": float(str(row["test_loss"])) - float(str(row["train_loss"]))}
        row |= {"gap_error": float(str(row["test_error"])) - float(str(row["train_error"]))}
    return row


def hash_of(settings: Mapping[str, object]) -> str:
    import hashlib

    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:10]


def noise(*key: object) -> float:
    """A fixed number from -1 to 1 for each key."""
    return int(hash_of({"key": str(key)}), 16) / 16**10 * 2 - 1


def truth(optimizer: str, lr: float, wd: float, seed: int) -> float:
    """A landscape like the paper's: L2 does little for Adam and its basin is diagonal; AdamW's is 0.8 better."""
    scale = {"adam": 1e-3, "adamw": 1e-3, "sgd": 1e-1, "sgdw": 1e-1}[optimizer]
    x = math.log10(lr / scale)
    error = 3.0 + 0.9 * x**2 + 0.15 * noise(seed) + 0.1 * noise(optimizer, lr, wd, seed)
    if wd == 0:
        return error
    if optimizer.endswith("w"):
        return error - 0.8 * math.exp(-((math.log10(wd / 0.1)) ** 2)) + 0.4 * max(0.0, math.log10(wd)) ** 2
    y = math.log10(wd / 1e-3) + 0.8 * x
    return error + 0.1 - 0.3 * math.exp(-(y**2)) + (0.4 * max(0.0, y) ** 2)


def search(
    optimizers: Iterable[str] = ("adam", "adamw"),
    seeds: Iterable[int] = (0, 1),
    lrs: Sequence[float] = LRS,
    wds: Mapping[str, Sequence[float]] = WDS,
    error: Truth = truth,
    **changes: Any,
) -> list[dict[str, object]]:
    """The grid of each optimizer, wd = 0 trained once under the coupled twin's name."""
    rows = []
    for optimizer in optimizers:
        scale = 100.0 if optimizer.startswith("sgd") else 1.0
        convention = "torch" if optimizer.endswith("w") else "l2"
        zero = () if optimizer.endswith("w") else (0.0,)
        rows += [
            trial(optimizer, lr * scale, wd, seed, error=error(optimizer, lr * scale, wd, seed), **dict(changes))
            for seed in seeds
            for lr in lrs
            for wd in (*zero, *wds[convention])
        ]
    return rows


def curve(row: Mapping[str, object], epochs: int = EPOCHS) -> list[dict[str, object]]:
    """A learning curve that ends at the row's numbers; it stops after a third of the epochs if it diverged."""
    diverged = row["status"] == "diverged"
    known = isinstance(row["val_error"], float) and 0 < row["val_error"] <= 100
    last = float(str(row["val_error"])) if known and not diverged else 10.0
    lines = []
    for epoch in range(1, (epochs // 3 if diverged else epochs) + 1):
        left = math.exp(-4 * epoch / epochs)
        error = last + (85 - last) * left * (1 + 0.1 * noise(row["trial"], epoch))
        line: dict[str, object] = {"trial": row["trial"], "epoch": epoch, "step": 7 * epoch, "lr": row["lr"]}
        line |= {"running_loss": 0.01 + 2 * left, "val_error": error, "val_loss": error / 30}
        lines.append(line)
    return lines


def write(folder: Path, rows: Sequence[Mapping[str, object]], curves: bool = True) -> Path:
    """Append the rows, and the curves of those that did not fail, to the study's CSV files; returns `folder`.

    Where they are of several replicates, one command has planned them.
    """
    records = Records(folder)
    if count := max((int(str(row.get("replicate", 0))) for row in rows), default=0):
        (folder / "study.yaml").write_text(f"settings: [{{replicates: {count + 1}}}]\n")
    records.append_trials(rows)
    if curves:
        records.append_curves([line for row in rows if row["status"] != "failed" for line in curve(row)])
    return folder


def final(row: Mapping[str, object], seeds: Iterable[int], error: Truth = truth) -> list[dict[str, object]]:
    """Fresh runs of the row's cell."""
    optimizer, lr, wd = str(row["optimizer"]), float(str(row["lr"])), float(str(row["wd"]))
    return [trial(optimizer, lr, wd, seed, phase="final", error=error(optimizer, lr, wd, seed)) for seed in seeds]


def in_replicate(row: Mapping[str, object], replicate: int) -> dict[str, object]:
    """The same row as one of another replicate: with another seed and split, and the same numbers."""
    settings = json.loads(str(row["settings"]))
    seed = int(str(row["seed"])) + replicate * SEEDS_APART
    settings |= {"seed": seed, "replicate": replicate, "dataset.split": replicate}
    if replicate:
        settings["dataset.source"] = settings["dataset.hash"]
    ids = {"trial": identity.id_of(settings), "settings": json.dumps(settings)}
    return dict(row) | ids | {"seed": seed, "replicate": replicate, "split": replicate}


def replicated(rows: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """As many replicates as there are fresh seeds: each has the whole search, and one fresh run of each winner.

    Without fresh runs each search seed is a replicate of its own. What was a number for each seed is then the same
    number for each replicate.
    """
    fresh = [row for row in rows if row["phase"] == "final"]
    search_rows = [row for row in rows if row["phase"] != "final"]
    seeds = list(dict.fromkeys(row["seed"] for row in fresh or search_rows))
    moved = [in_replicate(row, seeds.index(row["seed"])) for row in fresh or search_rows]
    return moved + [in_replicate(row, number) for number in range(len(seeds)) for row in search_rows if fresh]
