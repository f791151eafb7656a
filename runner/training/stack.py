"""The training of one stack: R trials of one shape, one program. `Stack(...)`, then `run_epoch(n)` for each epoch.

A stack of one is an ordinary training run through the same code. What is measured and recorded about it is the
business of `runner.training.train`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from optim import rules
from optim.release import DecayLedger, released_rows
from optim.slow import Slow
from optim.stacked import Stacked
from runner.config.settings import LANES, LOOSE, UNSTACKED
from runner.data.dataset import Dataset
from runner.models.build import Model, begin, build, decays, loosen, single
from runner.models.lanes import Lanes
from runner.models.module import UserModule
from runner.models.module_lanes import lanes
from runner.training.coefficients import Coefficients
from runner.training.cuda import ready
from runner.training.diagnostics import Diagnostics
from runner.training.evaluate import Scores, evaluate
from runner.training.feed import Feed, Resident, generator
from runner.training.graph import Graph
from runner.training.precision import autocast
from runner.training.step import Step
from runner.training.unstacked import Unstacked
from runner.trials.stack_size import apart, evaluation_batch, slots
from runner.trials.trial import Trial


@dataclass(frozen=True)
class EpochStats:
    """What an epoch of training showed, for each trial: the mean training loss, and how far the last step moved it."""

    running_loss: list[float]
    update_norm: list[float]  # Euclidean norm of the change of all parameters


class Stack:
    """Networks, moments and data of a stack. `trials` share `Trial.stack_key`, so one program computes them all.

    Args:
        trials: R of them; a tensor of the stack has R as its first axis, or more where slots are padded.
        dataset: theirs.
        device: where everything lies.
        dtype: of parameters, moments and images.
        diagnostics: follow what decay does to the weights, in plain steps without a CUDA graph.
    """

    def __init__(
        self,
        trials: Sequence[Trial],
        dataset: Dataset,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        diagnostics: bool = False,
    ) -> None:
        ready(device)
        first = trials[0]
        on_cpu = device.type == "cpu"
        self.count, self.per_epoch, self.epochs, self.device = len(trials), first.per_epoch, first.epochs, device
        shape = (first.model, first.batch_size, first.positions)
        # On a CPU the kernels round by the width of the stack: padding makes it a width whose bits are always the same.
        # The padding repeats the first trial and is frozen from the start.
        padding = slots(*shape, self.count, first.way) - self.count if on_cpu and first.stackable else 0
        self.trials = [*trials, *[first] * padding]
        self.model = build(first.model, dataset, len(self.trials)).to(dtype)
        begin(self.model, [generator(trial.seed, "init") for trial in self.trials])
        self.model = self.model.to(device)
        # Training calls `network` and evaluation `scored`. Both have the parameters of `model`.
        self.network: Model | Lanes = self.model
        self.scored: Model | Lanes = self.model
        one_by_one = on_cpu and apart(first.model, first.positions, first.way)
        if first.stackable and (first.way == LANES or one_by_one):
            self.scored = lanes(first.model, dataset, self.model)
            self.network = self.scored if first.way == LANES else self.model
        self.parameters: list[Tensor] = list(self.model.parameters())
        self.feed = Feed(
            dataset, [trial.seed for trial in self.trials], first.batch_size, self.model.noise_width, device, dtype
        )
        others = {name: split for name, split in dataset.splits.items() if name != "train" and len(split)}
        self.splits = {"train": self.feed.train} | {name: Resident.of(split, device) for name, split in others.items()}
        self.autocast = autocast(first.precision, device)
        self.evaluated = evaluation_batch(*shape, 0 if on_cpu else len(self.trials), first.way)
        self.step = self._step(diagnostics, dtype)
        # A step with diagnostics copies to the host, which a graph cannot record.
        # Nor can it record whatever somebody's module may do.
        recorded = self.step.optimizer.launch is not None and not diagnostics and not isinstance(self.model, UserModule)
        self.graph = Graph(self.step, self.feed, device) if recorded else None
        self.planned: Coefficients | None = None  # of a range of epochs, the current one among them
        self.norms: Tensor | None = None  # of the weights as they are; None: not computed since they changed
        self.ledger: DecayLedger | None = None  # of decay asked for and applied
        self.epoch_ledger: DecayLedger | None = None  # as it was when the epoch began

    def _step(self, diagnostics: bool, dtype: torch.dtype) -> Step:
        """The optimizer of the stack, and the step around it."""
        first, device = self.trials[0], self.device
        weights = decays(self.model)
        optimizer: Stacked | Unstacked = (
            Stacked(self.parameters, first.rule.family, weights)
            if first.stackable
            else Unstacked(self.model, first.rule, weights)
        )
        live = torch.arange(len(self.trials), device=device) < self.count
        multipliers = [trial.loss_multiplier for trial in self.trials]
        multiplier = torch.tensor(multipliers, dtype=dtype, device=device) if set(multipliers) != {1.0} else None
        limits = [math.inf if trial.clip_norm is None else trial.clip_norm for trial in self.trials]
        clip = torch.tensor(limits, dtype=torch.float64, device=device) if min(limits) < math.inf else None
        half, smoothing = first.precision == "fp16", first.label_smoothing
        step = Step(self.network, optimizer, live, self.autocast, half, multiplier, clip, smoothing)
        if device.type == "cpu" and first.way == UNSTACKED and isinstance(optimizer, Stacked):
            optimizer.read(lambda: single(self.model))
        elif device.type == "cpu" and first.way == LOOSE:
            loosen(self.model)
        if any(trial.lookahead.k for trial in self.trials):
            ks, alphas = zip(*((trial.lookahead.k, trial.lookahead.alpha) for trial in self.trials), strict=True)
            step.slow = Slow(self.parameters, torch.tensor(ks), torch.tensor(alphas, dtype=torch.float64))
        if diagnostics and isinstance(optimizer, Stacked):
            step.diagnostics = Diagnostics(self.model, optimizer)
        return step

    @property
    def size(self) -> int:
        """Parameters of one network."""
        return sum(p[0].numel() for p in self.parameters)

    @property
    def live(self) -> Tensor:
        """Which trials still train: bool [R]."""
        return self.step.live

    def run_epoch(self, epoch: int, first: int = 0, after: Callable[[int], None] = lambda taken: None) -> EpochStats:
        """Train through `epoch` (from 0), from step `first` on.

        `after` is called after each step but the last, with the number of steps taken; what it raises ends the epoch.
        """
        self.network.train()
        self.norms = None
        self.feed.epoch(epoch)
        self.epoch_ledger = self.ledger
        rows = self._rows(epoch)
        if first == 0:
            self.step.begin(epoch * self.per_epoch)
        before = self.parameters  # replaced by a copy of the weights before the last step
        with nullcontext() if self.graph is None else self.graph.epoch(rows, first):
            for step in range(first, self.per_epoch):
                if step > first:
                    after(step)
                if step == self.per_epoch - 1:
                    before = [p.detach().clone() for p in self.parameters]
                if self.graph is not None:
                    self.graph.run(step)
                else:
                    self.step(self.feed.batch(step), rows[step])
        if isinstance(self.step.optimizer, Unstacked):
            self.step.optimizer.settle()
        update = _norm(torch._foreach_sub([p.detach() for p in self.parameters], before))
        # Finite gradients may still make weights that are not finite. `number` is already that of the
        # next step, so the last step, which made them, is one before.
        self.step.freeze(torch.isfinite(self._weight_norm()), before=1)
        running = self.step.total / self.feed.count
        return EpochStats(running.tolist()[: self.count], update.tolist()[: self.count])

    def scores(self, split: str, pulse: Callable[[], None] = lambda: None) -> Scores:
        """Loss and error of every trial on a `split`, "train", "val" or "test", and on "test" also its calibration.

        `pulse` is called after each batch.
        """
        shown, slots, images = self.splits[split], len(self.trials), self.feed.images
        scores = evaluate(
            self.scored, shown, images, slots, self.autocast, self.evaluated, pulse, calibration=split == "test"
        )
        return scores.of_first(self.count)

    def weight_norm(self) -> list[float]:
        """Euclidean norm of all parameters of each trial."""
        return [float(n) for n in self._weight_norm().tolist()[: self.count]]

    def dynamics(self, trial: int, epoch: int) -> list[dict[str, Any]]:
        """Lines of `runner.training.diagnostics` about one trial's last step of `epoch` (from 0); [] if that is off."""
        diagnostics, rule = self.step.diagnostics, self.trials[trial].rule
        if diagnostics is None:
            return []
        step = np.array([(epoch + 1) * self.per_epoch])
        row = rules.coefficients(rule, step, self.eta(epoch)[trial, -1:], np.array([self.trials[trial].updates(epoch)]))
        return diagnostics.rows(trial, self.per_epoch, row[0])

    def died_at(self) -> list[int]:
        """For each trial the step, counted from 0, at which its loss or gradient was not finite; -1: it lives."""
        return [int(step) for step in self.step.died.tolist()[: self.count]]

    def eta(self, epoch: int) -> np.ndarray:
        """The schedules' multipliers of the steps of `epoch`: [trials, steps]."""
        planned, steps = self._planned(epoch)
        return planned.eta[:, steps]

    def _planned(self, epoch: int) -> tuple[Coefficients, slice]:
        """The coefficients of some epochs, and which of their steps are those of `epoch`."""
        if self.planned is None or not self.planned.first <= epoch < self.planned.end:
            self.planned = Coefficients.of(self.trials, epoch)
        start = (epoch - self.planned.first) * self.per_epoch
        return self.planned, slice(start, start + self.per_epoch)

    def _rows(self, epoch: int) -> Tensor:
        """Coefficients of the steps of `epoch`, formed in float64: [steps, 2, columns, R]."""
        planned, steps = self._planned(epoch)
        # Decays too small for float32 are saved up from epoch to epoch and paid when they can be.
        rows, self.ledger = released_rows(planned.rows[steps], self.ledger, last=epoch == self.epochs - 1)
        on_cpu = self.device.type == "cpu"  # the CPU's step takes float64, the GPU's kernel reads float32
        return torch.from_numpy(rows).to(self.device, torch.float64 if on_cpu else torch.float32)

    def _weight_norm(self) -> Tensor:
        if self.norms is None:
            self.norms = _norm([p.detach() for p in self.parameters])
        return self.norms


def _norm(parts: Sequence[Tensor]) -> Tensor:
    """Euclidean norm over all parts of each trial, in float64: [R]."""
    if parts[0].device.type != "cpu":  # one copy of all is faster than kernels launched for each part
        return torch.linalg.vector_norm(
            torch.cat([part.reshape(len(part), -1) for part in parts], 1), dim=1, dtype=torch.float64
        )
    total = torch.zeros(len(parts[0]), dtype=torch.float64, device=parts[0].device)
    for part in parts:  # one after the other: a reduction over the list would be rounded by the width of the stack
        total += part.reshape(len(part), -1).double().square().sum(1)
    return total.sqrt()
