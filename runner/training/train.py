"""Training as a stream of records: `train(trials, dataset, ...)` yields rows for the CSV files as they come about."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from runner.config.settings import RunSettings
from runner.data.dataset import Dataset
from runner.system.clock import now
from runner.training import rows
from runner.training.checkpoint import Checkpoints
from runner.training.rows import BestEpochs, EpochRows
from runner.training.stack import Stack
from runner.training.state import Run, capture, resumed, snapshot
from runner.trials.trial import Trial


def train(
    trials: Sequence[Trial],
    dataset: Dataset,
    device: torch.device,
    settings: RunSettings | None = None,
    checkpoints: Checkpoints | None = None,
    saved: dict[str, Any] | None = None,
) -> Iterator[EpochRows]:
    """Train `trials` as one stack and yield the rows of each epoch; the last ones hold a row of trials.csv per trial.

    Rows lack the columns that only the study knows: study, phase, commit, version, device, started. A caller that asks
    for the next rows has put the last ones on record: a checkpoint may say so from then on.

    Args:
        trials: of one `Trial.stack_key`, so that one program computes them all.
        dataset: theirs, as `runner.data.load.load` gives it.
        device: "cpu" or a CUDA device.
        settings: how often to evaluate, and the like; none of it changes what is trained.
        checkpoints: where the state is saved from time to time, and before an interrupt; None: nowhere.
        saved: the state to go on from, as `checkpoints.load()` gives it; None: begin.

    Raises:
        signals.Interrupted: when the end was asked for and the state is saved.
        torch.OutOfMemoryError, MemoryError: where the stack has no room; the last checkpoint stays.
    """
    settings = settings or RunSettings()
    clock = time.perf_counter()
    started = now()

    def fresh() -> Run:
        stack = Stack(trials, dataset, device, diagnostics=settings.diagnostics)
        return Run(stack, BestEpochs(len(trials), settings.target_error))

    run = fresh() if saved is None else resumed(fresh, saved, checkpoints.discard if checkpoints else print)
    stack = run.stack

    def elapsed() -> float:
        return run.seconds + time.perf_counter() - clock

    def pulse() -> None:
        if checkpoints is not None:
            checkpoints.pulse(lambda: capture(run, elapsed()))

    def after(step: int) -> None:
        """What happens after each step of an epoch but the last; `step`: how many of its steps are taken."""
        run.step = step
        pulse()

    while True:
        if run.stats is None:  # else all steps of the epoch were taken before the checkpoint
            snapshot(run, elapsed())
            run.stats = stack.run_epoch(run.epoch, run.step, after)
            run.step, run.kept = stack.per_epoch, None
        pulse()
        made = _epoch_rows(run, settings, elapsed, started, pulse)
        yield made
        if made.trials:
            return
        run.epoch += 1
        if made.curves:
            run.recorded.add(run.epoch)
        run.step, run.stats = 0, None
        pulse()


def _epoch_rows(
    run: Run, settings: RunSettings, elapsed: Callable[[], float], started: str, pulse: Callable[[], None]
) -> EpochRows:
    """The rows of an epoch whose steps are taken; `pulse` is called between the batches of its evaluation."""
    stack, trials, epoch, stats = run.stack, run.stack.trials[: run.stack.count], run.epoch + 1, run.stats
    assert stats is not None, "the steps of the epoch are taken"
    final = epoch == stack.epochs or not bool(stack.live.any())
    if not (epoch % settings.eval_every == 0 or final or rows.cycle_ends(trials, epoch)):
        return EpochRows(epoch)
    # Without a validation set the best epoch is chosen on the test set, as in the paper; tables then say so.
    selecting = "val" if "val" in stack.splits else "test"
    wanted = [selecting, *(name for name in stack.splits if name != selecting and (final or settings.eval_all))]
    scores = {name: stack.scores(name, pulse) for name in wanted}
    run.best.see(epoch, scores[selecting].error)
    seconds = elapsed()
    dynamics = rows.dynamics_rows(
        stack, epoch
    )  # first: its float64 copies belong to the peak of memory in a trial's row
    return EpochRows(
        epoch,
        rows.curve_rows(stack, epoch, stats, scores, seconds / len(trials)),
        rows.cycle_rows(trials, epoch, scores),
        rows.trial_rows(stack, scores, run.best, seconds, started) if final else [],
        dynamics,
    )
