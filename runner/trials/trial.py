"""Trials: one training run each, with a stable id; `expand(settings, facts)` gives those of a composed configuration.

The id is a short hash of every setting that can change the result and of the dataset's content, so the same
run has the same id on every machine, in every study and however its numbers were typed (runner/records/identity.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, lru_cache
from typing import Any

from optim.conventions import L2, equivalents
from optim.rules import COUPLED, UNSTACKABLE, Rule
from runner.config.schedules import ScheduleSettings, cycle_epochs
from runner.config.settings import FULL, AdamSettings, LookaheadSettings, OptimizerSettings, Settings, SGDSettings
from runner.data.dataset import Dataset
from runner.data.settings import DatasetSettings, ImageSettings
from runner.errors import UserError
from runner.models.settings import ModelSettings, TransformerSettings
from runner.records import identity

NO_LOOKAHEAD = LookaheadSettings()
_TWINS = {"adamw": "adam", "sgdw": "sgd"}
Shape = tuple[object, ...]


@dataclass(frozen=True)
class Facts:
    """What a loaded dataset adds to the settings that describe it."""

    name: str
    hash: str
    classes: int
    train_size: int
    val_size: int
    test_size: int
    pixels: int  # of an image, or the length of a token sequence

    @staticmethod
    def of(dataset: Dataset) -> Facts:
        sizes = (len(dataset.train), len(dataset.val), len(dataset.test))
        pixels = math.prod(dataset.train.x.shape[1:3])
        return Facts(dataset.name, dataset.hash, dataset.classes, *sizes, pixels)


@dataclass(frozen=True)
class Trial:
    """One point of the grid: everything that decides the outcome of a training run."""

    model: ModelSettings
    dataset: DatasetSettings
    facts: Facts
    optimizer: OptimizerSettings
    schedule: ScheduleSettings
    wd_convention: str
    lr: float
    wd: float
    seed: int
    epochs: int
    batch_size: int
    precision: str
    loss_multiplier: float = 1.0
    wd_schedule: str = "follow_lr"
    lookahead: LookaheadSettings = NO_LOOKAHEAD
    way: str = FULL  # how it is computed on the CPU (`runner.trials.stack_size`), which is no part of what it is
    # A study that version 0.1.0 began goes on under the shorter ids that its files have; `replace` forgets it.
    short: bool = field(default=False, init=False, compare=False)

    @property
    def per_epoch(self) -> int:
        """Steps in an epoch; the last batch may be smaller."""
        return -(-self.facts.train_size // self.batch_size)

    @property
    def positions(self) -> int:
        """How many places the network's layers go over: pixels; patches where a Transformer sees images; tokens."""
        if isinstance(self.model, TransformerSettings) and isinstance(self.dataset, ImageSettings):
            return max(1, self.facts.pixels // self.model.patch**2)
        return self.facts.pixels

    @property
    def stackable(self) -> bool:
        """Whether its optimizer can step a stack of networks; otherwise the trial is trained by itself."""
        return self.optimizer.name not in UNSTACKABLE

    @cached_property
    def rule(self) -> Rule:
        o = self.optimizer
        betas = {"beta1": o.beta1, "beta2": o.beta2, "eps": o.eps} if isinstance(o, AdamSettings) else {}
        if isinstance(o, SGDSettings):
            betas = {"beta1": o.momentum}
        if o.name == "lomo":
            betas = {"beta1": 0.0}
        everything = o.decay_params == "all"
        return Rule(
            o.name, self.lr, self.wd, self.wd_convention, decay_all=everything, wd_schedule=self.wd_schedule, **betas
        )

    def updates(self, epoch: int) -> float:
        """B * T / b of normalized weight decay in `epoch` (from 0): T is the run, or the current cycle."""
        batch = min(self.batch_size, self.facts.train_size)
        return self.facts.train_size * cycle_epochs(self.schedule, epoch, self.epochs) / batch

    def decays(self) -> dict[str, float | None]:
        """wd in each decoupled convention (first cycle's T); None for L2, which no decoupled decay equals."""
        if self.wd_convention == L2:
            return {"wd_torch": None, "wd_paper": None, "wd_norm": None}
        found = equivalents(self.wd_convention, self.wd, self.lr, self.updates(0))
        return {"wd_torch": found["torch"], "wd_paper": found["paper"], "wd_norm": found["normalized"]}

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting that can change the result, flat; `id` is the hash of those that differ from the baseline."""
        flat: dict[str, Any] = {
            "dataset.hash": self.facts.hash,
            "dataset.classes": self.facts.classes,
            "dataset.test_size": self.facts.test_size,
            "wd_convention": self.wd_convention,
            "lr": self.lr,
            "wd": self.wd,
            "seed": self.seed,
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "precision": self.precision,
            "loss_multiplier": self.loss_multiplier,
            "wd_schedule": self.wd_schedule,
            "lookahead.k": self.lookahead.k,
            "lookahead.alpha": self.lookahead.alpha,
        }
        for group in ("model", "dataset", "optimizer", "schedule"):
            flat |= _flat(group, getattr(self, group))
        return flat

    @cached_property
    def settings_json(self) -> str:
        return identity.text(self.settings)

    @cached_property
    def digest(self) -> str:
        """The hash that an id is the beginning of."""
        return identity.digest(self.settings)

    @property
    def id(self) -> str:
        return self.digest[: identity.OLD if self.short else identity.LENGTH]

    def shortened(self) -> Trial:
        """The same trial under the id that version 0.1.0 gave it."""
        found = replace(self)
        object.__setattr__(found, "short", True)
        return found

    def computed(self, way: str) -> Trial:
        """The same trial, computed in this way."""
        found = replace(self, way=way)
        object.__setattr__(found, "short", self.short)
        return found

    @property
    def shape(self) -> Shape:
        """What trials must have in common to be trained as one stack."""
        data = replace(self.dataset, label="")
        rest = (self.rule.family, self.epochs, self.batch_size, self.precision, self.way)
        return (self.model, data, self.facts, *rest)


@lru_cache(maxsize=1024)
def _flat(group: str, settings: Any) -> dict[str, Any]:
    found: dict[str, Any] = {group: settings.name}
    for f in fields(settings):
        # The optimizer's own lr and wd are only what is used where a trial names none.
        if f.name == "name" or not f.metadata.get("result", True) or (group == "optimizer" and f.name in ("lr", "wd")):
            continue
        value = getattr(settings, f.name)
        found[f"{group}.{f.name}"] = list(value) if isinstance(value, tuple) else value
    return found


def normal(trial: Trial) -> Trial:
    """The form that decides the id: without decay AdamW is Adam and SGDW is SGD, and trained once.

    What shapes decoupled decay alone says nothing about L2 or about no decay; alpha says nothing without k.
    """
    if not trial.lookahead.k and trial.lookahead != NO_LOOKAHEAD:
        trial = replace(trial, lookahead=NO_LOOKAHEAD)
    if (trial.wd == 0 or trial.wd_convention == L2) and trial.wd_schedule != "follow_lr":
        trial = replace(trial, wd_schedule="follow_lr")
    name = trial.optimizer.name
    if not trial.stackable:
        return trial
    if trial.wd == 0 and (name not in COUPLED or trial.optimizer.decay_params != "all"):
        plain = replace(trial.optimizer, name=_TWINS.get(name, name), decay_params="all")
        return replace(trial, optimizer=plain, wd_convention=L2)
    return trial


def expand(settings: Settings, facts: Facts) -> list[Trial]:
    """The product of the lr, wd and seed axes, in that order of nesting."""
    steps = settings.epochs * -(-facts.train_size // settings.batch_size)
    if settings.schedule.warmup_steps >= steps or settings.schedule.warmup_epochs >= settings.epochs:
        raise UserError(
            f"schedule.warmup_steps={settings.schedule.warmup_steps} "
            f"schedule.warmup_epochs={settings.schedule.warmup_epochs:g}: must be shorter than the run, "
            f"{steps} steps in {settings.epochs} epochs"
        )
    found = [
        normal(
            Trial(
                model=settings.model,
                dataset=settings.dataset,
                facts=facts,
                optimizer=settings.optimizer,
                schedule=settings.schedule,
                wd_convention=settings.wd_convention,
                lr=lr,
                wd=wd,
                seed=seed,
                epochs=settings.epochs,
                batch_size=settings.batch_size,
                precision=settings.precision,
                loss_multiplier=settings.loss_multiplier,
                wd_schedule=settings.wd_schedule,
                lookahead=settings.lookahead,
            )
        )
        for lr in settings.lr
        for wd in settings.wds(lr)
        for seed in settings.seed
    ]
    for trial in found if settings.optimizer.name == "sparse_adamw" else ():
        if (trial.decays()["wd_paper"] or 0) >= 1:
            raise UserError(f"lr={trial.lr:g} wd={trial.wd:g}: sparse_adamw needs a decay below 1 in every step")
    return found


def unique(trials: Iterable[Trial]) -> dict[str, Trial]:
    """Trials by id, each once, in the order of first appearance; UserError where two different ones share an id."""
    found: dict[str, Trial] = {}
    for trial in trials:
        other = found.setdefault(trial.id, trial)
        if other is not trial and other.digest != trial.digest:
            raise UserError(
                f"seed={other.seed} and seed={trial.seed}: two trials have the id {trial.id} by chance; leave one out"
            )
    return found
