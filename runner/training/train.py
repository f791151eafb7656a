"""Training as a stream of records: `train(trials, dataset, ...)` yields rows for the CSV files as they come about."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch

from runner.config.schedules import cycles
from runner.config.settings import FULL, LANES
from runner.data.dataset import Dataset
from runner.training.checkpoint import Checkpoints
from runner.training.evaluate import Scores
from runner.training.options import Options
from runner.training.peak import peak_mib
from runner.training.stack import Progress, Stack
from runner.training.state import Run, captured, keep, resumed
from runner.training.watch import Watch, advice
from runner.trials.described import described
from runner.trials.trial import Trial

Row = dict[str, Any]


@dataclass(frozen=True)
class Report:
    """What an epoch adds to the records: rows of curves.csv, cycles.csv and, after the last epoch, trials.csv."""

    epoch: int  # finished, counted from 1
    curves: list[Row] = field(default_factory=list)
    cycles: list[Row] = field(default_factory=list)
    trials: list[Row] = field(default_factory=list)
    dynamics: list[Row] = field(default_factory=list)  # rows of dynamics.csv, if they are asked for


def train(
    trials: Sequence[Trial],
    dataset: Dataset,
    device: torch.device,
    options: Options | None = None,
    dtype: torch.dtype = torch.float32,
    checkpoints: Checkpoints | None = None,
    saved: dict[str, Any] | None = None,
) -> Iterator[Report]:
    """Train `trials` (of one shape) as one stack. The last report holds one row of trials.csv per trial.

    Rows lack the columns that only the study knows: study, phase, commit, version, device, started. `saved` is the
    state to go on from, and `checkpoints` where it is saved; what is reported is taken to be on record when the next
    report is asked for.
    """
    options = options or Options()
    clock = time.perf_counter()
    started = _now()

    def fresh() -> Run:
        stack = Stack(trials, dataset, device, dtype, options.diagnostics)
        return Run(stack, Watch(len(trials), options.target_error))

    run = fresh() if saved is None else resumed(fresh, saved, checkpoints.discard if checkpoints else print)
    stack = run.stack

    def elapsed() -> float:
        return run.seconds + time.perf_counter() - clock

    def pulse() -> None:
        if checkpoints is not None:
            checkpoints.pulse(lambda: captured(run, elapsed()))

    while True:
        if run.progress is None:
            keep(run, elapsed())
            run.progress = stack.run_epoch(run.epoch, run.step, _after_step(run, pulse))
            run.step, run.kept = stack.per_epoch, None
        pulse()
        report = _report(run, options, elapsed, started, pulse)
        yield report
        if report.trials:
            return
        run.epoch += 1
        if report.curves:
            run.recorded.add(run.epoch)
        run.step, run.progress = 0, None
        pulse()


def _after_step(run: Run, pulse: Callable[[], None]) -> Callable[[int], None]:
    """What happens after each step but the last of an epoch, whose number of steps taken it is told."""

    def after(step: int) -> None:
        run.step = step
        pulse()

    return after


def _report(
    run: Run, options: Options, elapsed: Callable[[], float], started: str, pulse: Callable[[], None]
) -> Report:
    """The rows of an epoch whose steps are taken."""
    stack, trials, epoch, progress = run.stack, run.stack.trials[: run.stack.count], run.epoch + 1, run.progress
    assert progress is not None
    final = epoch == stack.epochs or not bool(stack.live.any())
    if not (epoch % options.eval_every == 0 or final or _cycle_ends(trials, epoch)):
        return Report(epoch)
    selecting = "val" if "val" in stack.splits else "test"
    wanted = [selecting, *(name for name in stack.splits if name != selecting and (final or options.eval_all))]
    scores = {name: stack.scores(name, pulse) for name in wanted}
    run.watch.see(epoch, scores[selecting].error)
    seconds = elapsed()
    curves = _curve_rows(stack, epoch, progress, scores, seconds / len(trials))
    ends, dynamics = _cycle_rows(trials, epoch, scores), _dynamics_rows(stack, epoch)
    rows = _trial_rows(stack, scores, run.watch, seconds, started) if final else []
    return Report(epoch, curves, ends, rows, dynamics)


def _cycle_ends(trials: Sequence[Trial], epoch: int) -> bool:
    return any(first + size == epoch for t in trials for first, size in cycles(t.schedule, t.epochs))


def _measured(scores: dict[str, Scores], i: int) -> Row:
    return {f"{name}_{what}": getattr(score, what)[i] for name, score in scores.items() for what in ("loss", "error")}


def _curve_rows(stack: Stack, epoch: int, progress: Progress, scores: dict[str, Scores], seconds: float) -> list[Row]:
    norms, died, eta = stack.weight_norm(), stack.died_at(), stack.eta(epoch - 1)[:, -1:]
    rows = []
    for i, trial in enumerate(stack.trials[: stack.count]):
        if died[i] >= 0:
            continue
        step = epoch * stack.per_epoch
        decay = trial.rule.decay(np.array([step]), eta[i], eta[i] * 0 + trial.updates(epoch - 1))[0]
        row = {"trial": trial.id, "epoch": epoch, "step": step}
        row |= {"lr": float(trial.lr * eta[i, 0]), "wd_step": float(decay), "running_loss": progress.running_loss[i]}
        row |= _measured(scores, i)
        row |= {"weight_norm": norms[i], "update_norm": progress.update_norm[i], "seconds": round(seconds, 4)}
        rows.append(row)
    return rows


def _dynamics_rows(stack: Stack, epoch: int) -> list[Row]:
    died = stack.died_at()
    return [
        {"trial": trial.id, "epoch": epoch, "step": epoch * stack.per_epoch, **row}
        for i, trial in enumerate(stack.trials[: stack.count])
        if died[i] < 0
        for row in stack.dynamics(i, epoch - 1)
    ]


def _cycle_rows(trials: Sequence[Trial], epoch: int, scores: dict[str, Scores]) -> list[Row]:
    rows = []
    for i, trial in enumerate(trials):
        places = cycles(trial.schedule, trial.epochs)
        if len(places) == 1 and trial.schedule.name != "restarts":
            continue
        for number, (first, size) in enumerate(places, 1):
            if first + size == epoch:
                measured = {k: v for k, v in _measured(scores, i).items() if not k.startswith("train")}
                rows.append({"trial": trial.id, "cycle": number, "epoch": epoch, **measured})
    return rows


def _trial_rows(stack: Stack, scores: dict[str, Scores], watch: Watch, seconds: float, started: str) -> list[Row]:
    rows, died, share = [], stack.died_at(), seconds / stack.count
    for i, trial in enumerate(stack.trials[: stack.count]):
        diverged = died[i] >= 0
        steps = died[i] + 1 if diverged else stack.epochs * stack.per_epoch
        row: Row = described(trial) | {
            "status": "diverged" if diverged else "ok",
            "steps": steps,
            "params": stack.size,
            **_measured(scores, i),
            "best_val_epoch": watch.best_epoch[i],
            "epochs_to_target": watch.target_epoch[i],
            "seconds": round(share, 3),
            "samples_per_second": round(trial.facts.train_size * steps / stack.per_epoch / share, 1),
            "peak_mib": round(peak_mib(stack.device), 1),
            "stack": stack.count,
            "torch": torch.__version__,
            "started": started,
        }
        notes = [trial.way] * (trial.way == LANES or (trial.way != FULL and stack.device.type == "cpu"))
        if (top5 := scores["test"].top5) is not None:
            row["test_top5_error"] = top5[i]
        if diverged:
            row |= _chance(trial, row)
            notes.insert(0, advice(trial, died[i]))
        if notes:
            row["note"] = "; ".join(notes)
        row |= {f"gap_{what}": row[f"test_{what}"] - row[f"train_{what}"] for what in ("loss", "error")}
        rows.append(row)
    return rows


def _chance(trial: Trial, row: Row) -> Row:
    """A diverged trial counts as chance, never as missing: so that a mean over seeds does not flatter it."""
    k = trial.facts.classes
    found: Row = {"best_val_epoch": None, "epochs_to_target": None}
    for name in ("train", "val", "test"):
        if f"{name}_error" in row:
            found |= {f"{name}_error": 100 * (1 - 1 / k), f"{name}_loss": math.nan}
    if "test_top5_error" in row:
        found["test_top5_error"] = 100 * (1 - 5 / k)
    return found


def failed_row(trial: Trial, reason: str) -> Row:
    """The row of a trial that could not be trained at all."""
    row = {"status": "failed", "note": " ".join(reason.split())[:300], "torch": torch.__version__, "started": _now()}
    return described(trial) | row


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
