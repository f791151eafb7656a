"""The rows of the CSV files that an epoch of training makes: `EpochRows`, and a function for the rows of each file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from runner.config.schedules import cycles
from runner.config.settings import FULL, LANES
from runner.system.clock import now
from runner.system.memory import peak_mib
from runner.training.evaluate import Scores
from runner.training.stack import EpochStats, Stack
from runner.trials.described import described
from runner.trials.trial import Trial

Row = dict[str, Any]


@dataclass(frozen=True)
class EpochRows:
    """What an epoch adds to the records: rows of curves.csv, cycles.csv and, after the last epoch, trials.csv."""

    epoch: int  # the finished one, counted from 1
    curves: list[Row] = field(default_factory=list)
    cycles: list[Row] = field(default_factory=list)
    trials: list[Row] = field(default_factory=list)
    dynamics: list[Row] = field(default_factory=list)  # rows of dynamics.csv, if they are asked for


class BestEpochs:
    """For each trial of a stack its lowest error so far, the epoch of that, and the epoch that reached the target.

    `trials`: how many; `target`: in percent, None for none. Epochs count from 1. An epoch is None until there is one:
    no error was a number, or none was as low as `target`.
    """

    def __init__(self, trials: int, target: float | None) -> None:
        self.target = target
        self.best = [math.inf] * trials
        self.best_epoch: list[int | None] = [None] * trials
        self.target_epoch: list[int | None] = [None] * trials

    def see(self, epoch: int, errors: Sequence[float]) -> None:
        """Take in the errors of `epoch` in percent, one for each trial; nan is never the best."""
        for i, error in enumerate(errors):
            if error < self.best[i]:
                self.best[i], self.best_epoch[i] = error, epoch
            if self.target is not None and error <= self.target and self.target_epoch[i] is None:
                self.target_epoch[i] = epoch


def advice(trial: Trial, step: int) -> str:
    """When `trial` diverged, and what may help: early on a warm-up, if it had none and has epochs for one.

    `step`: at which it did, from 0 over all epochs.
    """
    warm = trial.schedule.warmup_steps or trial.schedule.warmup_epochs
    early = step < trial.per_epoch * max(1, 0.1 * trial.epochs) and not warm and trial.epochs > 1
    help = "a warm-up (schedule.warmup_epochs=1) or a smaller lr" if early else "a smaller lr or wd"
    return f"diverged in epoch {step // trial.per_epoch + 1}: {help} may help"


def cycle_ends(trials: Sequence[Trial], epoch: int) -> bool:
    """Whether `epoch` (from 1) is the last of a restart cycle of any of the trials."""
    return any(first + size == epoch for t in trials for first, size in cycles(t.schedule, t.epochs))


def _measured(scores: dict[str, Scores], i: int) -> Row:
    """Loss and error of trial `i` on every split, by the names of their columns."""
    return {f"{name}_{what}": getattr(score, what)[i] for name, score in scores.items() for what in ("loss", "error")}


def curve_rows(stack: Stack, epoch: int, stats: EpochStats, scores: dict[str, Scores], seconds: float) -> list[Row]:
    """Rows of curves.csv about `epoch` (from 1), for the trials of `stack` that live.

    Args:
        stack: after the epoch.
        epoch: the finished one.
        stats: what its training showed.
        scores: by split, of those that were evaluated.
        seconds: of training so far, for each trial.
    """
    norms, died, eta = stack.weight_norm(), stack.died_at(), stack.eta(epoch - 1)[:, -1:]
    rows = []
    for i, trial in enumerate(stack.trials[: stack.count]):
        if died[i] >= 0:
            continue
        step = epoch * stack.per_epoch
        decay = trial.rule.decay(np.array([step]), eta[i], eta[i] * 0 + trial.updates(epoch - 1))[0]
        row = {"trial": trial.id, "epoch": epoch, "step": step}
        row |= {"lr": float(trial.lr * eta[i, 0]), "wd_step": float(decay), "running_loss": stats.running_loss[i]}
        row |= _measured(scores, i)
        row |= {"weight_norm": norms[i], "update_norm": stats.update_norm[i], "seconds": round(seconds, 4)}
        rows.append(row)
    return rows


def dynamics_rows(stack: Stack, epoch: int) -> list[Row]:
    """Rows of dynamics.csv about the last step of `epoch` (from 1), for the trials of `stack` that live.

    There are none without diagnostics.
    """
    died = stack.died_at()
    return [
        {"trial": trial.id, "epoch": epoch, "step": epoch * stack.per_epoch, **row}
        for i, trial in enumerate(stack.trials[: stack.count])
        if died[i] < 0
        for row in stack.dynamics(i, epoch - 1)
    ]


def cycle_rows(trials: Sequence[Trial], epoch: int, scores: dict[str, Scores]) -> list[Row]:
    """Rows of cycles.csv, for the trials of which a restart cycle ends with `epoch` (from 1).

    `scores`: by split, of those that were evaluated then.
    """
    rows = []
    for i, trial in enumerate(trials):
        spans = cycles(trial.schedule, trial.epochs)
        if len(spans) == 1 and trial.schedule.name != "restarts":
            continue  # a schedule without restarts is one cycle, which trials.csv already tells of
        for number, (first, size) in enumerate(spans, 1):
            if first + size == epoch:
                measured = {k: v for k, v in _measured(scores, i).items() if not k.startswith("train")}
                rows.append({"trial": trial.id, "cycle": number, "epoch": epoch, **measured})
    return rows


def trial_rows(stack: Stack, scores: dict[str, Scores], best: BestEpochs, seconds: float, started: str) -> list[Row]:
    """Rows of trials.csv, one for each trial of the stack.

    Args:
        stack: at its end.
        scores: of all splits.
        best: of all epochs.
        seconds: that the stack took, of which each trial is counted an equal share.
        started: when, as `runner.system.clock.now` says it.
    """
    rows, died, share = [], stack.died_at(), seconds / stack.count
    for i, trial in enumerate(stack.trials[: stack.count]):
        diverged = died[i] >= 0
        steps = died[i] + 1 if diverged else stack.epochs * stack.per_epoch
        row: Row = described(trial) | {
            "status": "diverged" if diverged else "ok",
            "steps": steps,
            "params": stack.size,
            **_measured(scores, i),
            "best_val_epoch": best.best_epoch[i],
            "epochs_to_target": best.target_epoch[i],
            "seconds": round(share, 3),
            "samples_per_second": round(trial.facts.train_size * steps / stack.per_epoch / share, 1),
            "peak_mib": round(peak_mib(stack.device), 1),
            "stack": stack.count,
            "torch": torch.__version__,
            "started": started,
        }
        # How a trial was computed is worth a note where its bits may differ from those of a full stack.
        notes = [trial.way] * (trial.way == LANES or (trial.way != FULL and stack.device.type == "cpu"))
        test = scores["test"]
        for name, values in (("test_top5_error", test.top5), ("test_ece", test.ece), ("test_brier", test.brier)):
            if values is not None:
                row[name] = values[i]
        if diverged:
            row |= _chance(trial, row)
            notes.insert(0, advice(trial, died[i]))
        if notes:
            row["note"] = "; ".join(notes)
        row |= {f"gap_{what}": row[f"test_{what}"] - row[f"train_{what}"] for what in ("loss", "error")}
        rows.append(row)
    return rows


def _chance(trial: Trial, row: Row) -> Row:
    """A diverged trial counts as chance, never as missing: so that a mean over seeds does not flatter it.

    What is measured on probabilities, of which it has none, is nan: the losses, and the calibration, of which chance
    would have the best, an error of 0.
    """
    k = trial.facts.classes
    row_of_chance: Row = {"best_val_epoch": None, "epochs_to_target": None}
    row_of_chance |= {"test_ece": math.nan, "test_brier": math.nan}
    for name in ("train", "val", "test"):
        if f"{name}_error" in row:
            row_of_chance |= {f"{name}_error": 100 * (1 - 1 / k), f"{name}_loss": math.nan}
    if "test_top5_error" in row:
        row_of_chance["test_top5_error"] = 100 * (1 - 5 / k)
    return row_of_chance


def failed_row(trial: Trial, reason: str) -> Row:
    """The row of a trial that could not be trained at all, for a `reason`, of which 300 characters are kept."""
    row = {"status": "failed", "note": " ".join(reason.split())[:300], "torch": torch.__version__, "started": now()}
    return described(trial) | row
