"""Where the time of this runner's stacks goes: `profile(case, folder)` trains a case in this process, under clocks.

One process trains all stacks of the case. A clock that starts within another stops that one: times add up. On CUDA
every clock waits for the device and steps are not a CUDA graph, so that shares hold and their sum does not.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from bench_cases import Case

from optim.stacked import Stacked
from runner import __main__
from runner.execution import worker
from runner.models.resnet import ResNet
from runner.models.shakeshake import ShakeShake
from runner.models.transformer import Transformer
from runner.records.records import Records
from runner.training import train
from runner.training.feed import Feed
from runner.training.stack import Stack
from runner.training.step import Step

DATA, RECORDS, EVALUATION, ANSWER = "data and augmentation", "records", "evaluation, the rest", "evaluation, forward"
STEP = ("forward", "backward", "optimizer step", "the rest of the step")
ORDER = (DATA, *STEP, "the rest of the epoch", ANSWER, EVALUATION, RECORDS, "the rest of the stack")
CLOCKED: tuple[tuple[Any, str, str], ...] = (
    (Feed, "epoch", DATA),
    (Feed, "batch", DATA),
    (ResNet, "forward", "forward"),
    (ShakeShake, "forward", "forward"),
    (Transformer, "forward", "forward"),
    (torch.Tensor, "backward", "backward"),
    (Stacked, "step", "optimizer step"),
    (Step, "__call__", "the rest of the step"),
    (Stack, "run_epoch", "the rest of the epoch"),
    (Stack, "scores", EVALUATION),
    (Records, "append_curves", RECORDS),
    (Records, "append_cycles", RECORDS),
    (Records, "append_trials", RECORDS),
    (train, "_curve_rows", RECORDS),
    (train, "_trial_rows", RECORDS),
    (worker, "_train", "the rest of the stack"),
)


class Clocks:
    """Seconds under each name, those under names within it left out."""

    def __init__(self, device: torch.device) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.open: list[str] = []
        self.since = 0.0
        self.wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None

    def _switch(self) -> None:
        self.wait()
        now = time.perf_counter()
        if self.open:
            self.seconds[self.open[-1]] += now - self.since
        self.since = now

    def around(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        def clocked(*args: Any, **kwargs: Any) -> Any:
            self._switch()
            self.open.append(ANSWER if name == "forward" and EVALUATION in self.open else name)
            try:
                return call(*args, **kwargs)
            finally:
                self._switch()
                self.open.pop()

        return clocked


def profile(case: Case, folder: Path) -> None:
    clocks = Clocks(torch.device(case.device))
    results = folder / f"{case.name}-profile"
    words = ["runner", *case.command(0, results)[3:], "workers=1"]
    threads = torch.get_num_threads()
    with contextlib.ExitStack() as patches:
        for owner, name, label in CLOCKED:
            patches.enter_context(mock.patch.object(owner, name, clocks.around(getattr(owner, name), label)))
        patches.enter_context(mock.patch.object(Stack, "__init__", _plainly(Stack.__init__)))
        patches.enter_context(mock.patch.object(sys, "argv", words))
        log = patches.enter_context((folder / f"{case.name}-profile.log").open("w"))
        patches.enter_context(contextlib.redirect_stdout(log))
        patches.enter_context(contextlib.redirect_stderr(log))
        try:
            __main__.main()
        except SystemExit as end:
            if end.code:
                raise SystemExit(f"{' '.join(words)}: {Path(log.name).read_text()[-2000:]}") from end
    torch.set_num_threads(threads)
    _show(case, clocks.seconds, len(case.trials(0)))


def _plainly(init: Callable[..., None]) -> Callable[..., None]:
    """Stacks without a CUDA graph."""

    def made(self: Stack, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        self.graph = None

    return made


def _show(case: Case, seconds: Mapping[str, float], trials: int) -> None:
    total = sum(seconds.values())
    print(f"\n{case.name}: {total / trials:.3f} s for each of {trials} trials, one process")
    for name in ORDER:
        print(f"  {name:<24}{seconds[name]:>9.3f} s{seconds[name] / total:>8.1%}")
    steps, looks = sum(seconds[name] for name in STEP), seconds[ANSWER] + seconds[EVALUATION]
    beside = (seconds[DATA] + seconds[RECORDS]) / steps
    print(f"  data, augmentation and records: {beside:.1%} of the steps' {steps:.2f} s (wanted: at most 5 %)")
    print(f"  evaluation: {looks / max(seconds[ANSWER], 1e-9):.2f} x its forward passes (wanted: at most 1.2)")
