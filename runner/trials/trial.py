"""Trials: one training run each, with a stable id; `expand(settings, facts)` gives those of a composed configuration.

The id is a short hash of every setting that can change the result and of the dataset's content, so the same
run has the same id on every machine, in every study and however its numbers were typed (runner/records/identity.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

from optim.arithmetic import ceil_div
from optim.conventions import L2, equivalents
from optim.rules import COUPLED, UNSTACKABLE, Rule
from runner.config import flat
from runner.config.schedules import cycle_epochs
from runner.config.settings import (
    AXES,
    FULL,
    SEEDS_APART,
    AdamSettings,
    LookaheadSettings,
    Settings,
    SGDSettings,
    TrialSettings,
)
from runner.data.dataset import Dataset
from runner.data.settings import DatasetSettings, ImageSettings
from runner.errors import UserError
from runner.models.settings import TransformerSettings
from runner.records import identity

NO_LOOKAHEAD = LookaheadSettings()
_TWINS = {"adamw": "adam", "sgdw": "sgd"}
StackKey = tuple[object, ...]


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
    test_held_out: bool = False  # as of the dataset
    source: str = ""  # of a replicate: the hash of the first replicate's dataset, of which this is another split

    @staticmethod
    def of(dataset: Dataset) -> Facts:
        sizes = (len(dataset.train), len(dataset.val), len(dataset.test))
        pixels = math.prod(dataset.example[1:]) if dataset.kind != "tokens" else dataset.example[0]
        return Facts(dataset.name, dataset.hash, dataset.classes, *sizes, pixels, dataset.test_held_out)


@dataclass(frozen=True, kw_only=True)
class Trial(TrialSettings):
    """One point of the grid: everything that decides the outcome of a training run."""

    facts: Facts
    lr: float
    wd: float
    seed: int
    replicate: int = 0  # which repetition of the whole study it belongs to (`runner.trials.replicates`)
    way: str = FULL  # how it is computed on the CPU (`runner.trials.stack_size`), which is no part of what it is
    # A study that version 0.1.0 began goes on under the shorter ids that its files have; `replace` forgets it.
    short: bool = field(default=False, init=False, compare=False)

    @property
    def per_epoch(self) -> int:
        """Steps in an epoch; the last batch may be smaller."""
        return ceil_div(self.facts.train_size, self.batch_size)

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
        """The optimizer's update, with this trial's rates and decay."""
        o = self.optimizer
        own: dict[str, float] = {}
        if isinstance(o, AdamSettings):
            own = {"beta1": o.beta1, "beta2": o.beta2, "eps": o.eps}
        elif isinstance(o, SGDSettings):
            own = {"beta1": o.momentum}
        elif o.name == "lomo":
            own = {"beta1": 0.0}
        return Rule(
            optimizer=o.name,
            lr=self.lr,
            wd=self.wd,
            convention=self.wd_convention,
            decay_all=o.decay_params == "all",
            wd_schedule=self.wd_schedule,
            **own,
        )

    def updates(self, epoch: int) -> float:
        """B * T / b of normalized weight decay in `epoch` (from 0): T is the run, or the current cycle."""
        batch = min(self.batch_size, self.facts.train_size)
        return self.facts.train_size * cycle_epochs(self.schedule, epoch, self.epochs) / batch

    def decays(self) -> dict[str, float | None]:
        """wd in each decoupled convention (first cycle's T); None for L2, which no decoupled decay equals."""
        if self.wd_convention == L2:
            return {"wd_torch": None, "wd_paper": None, "wd_norm": None}
        decays = equivalents(self.wd_convention, self.wd, self.lr, self.updates(0))
        return {"wd_torch": decays["torch"], "wd_paper": decays["paper"], "wd_norm": decays["normalized"]}

    def to_flat(self) -> dict[str, Any]:
        """Every setting that can change the result, flat; `id` is the hash of those that differ from the baseline."""
        facts = {f"dataset.{name}": getattr(self.facts, name) for name in ("hash", "classes", "test_size")}
        facts["replicate"] = self.replicate
        if self.facts.test_held_out:  # rows of data that comes divided know nothing of it
            facts["dataset.test_held_out"] = True
        if self.replicate:
            facts["dataset.source"] = self.facts.source
        return flat.to_flat(self) | facts | {name: getattr(self, name) for name in AXES}

    @staticmethod
    def from_flat(settings: Mapping[str, Any], dataset: DatasetSettings, facts: Facts) -> Trial:
        """The trial that a row's settings describe.

        Args:
            settings: what `to_flat` gives. What a row of version 0.1.0 does not list is what it was then
                (records/baseline.py), whatever the default is now.
            dataset: the settings of its dataset, which say where the data lies.
            facts: of this dataset.

        Raises:
            KeyError, TypeError: for settings of another version.
            UserError: for a value that is not right.
        """
        whole = identity.whole(settings)
        axes = {name: whole[name] for name in AXES}
        facts = replace(facts, source=whole.get("dataset.source", ""))
        return Trial(**flat.from_flat(whole, dataset) | axes, facts=facts, replicate=whole["replicate"])

    @cached_property
    def settings_json(self) -> str:
        return identity.text(self.to_flat())

    @cached_property
    def digest(self) -> str:
        """The hash that an id is the beginning of."""
        return identity.digest(self.to_flat())

    @property
    def id(self) -> str:
        return self.digest[: identity.OLD if self.short else identity.LENGTH]

    def shortened(self) -> Trial:
        """The same trial under the id that version 0.1.0 gave it."""
        trial = replace(self)
        object.__setattr__(trial, "short", True)
        return trial

    def computed(self, way: str) -> Trial:
        """The same trial, computed in this way."""
        trial = replace(self, way=way)
        object.__setattr__(trial, "short", self.short)
        return trial

    @property
    def stack_key(self) -> StackKey:
        """What trials must have in common to be trained as one stack."""
        common = (getattr(self, name) for name in _IN_COMMON)
        return (*common, replace(self.dataset, label=""), self.facts, self.rule.family, self.way)


_IN_COMMON = [f.name for f in fields(TrialSettings) if f.name != "dataset" and not f.metadata.get("per_trial")]


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


def expand(settings: Settings, facts: Facts, replicate: int = 0) -> list[Trial]:
    """The product of the lr, wd and seed axes, in that order of nesting.

    Args:
        settings: of a composed configuration, with the split of this replicate.
        facts: of the dataset that they load.
        replicate: from 0; each has seeds of its own, `SEEDS_APART` further than the one before.
    """
    steps = settings.epochs * ceil_div(facts.train_size, settings.batch_size)
    if settings.schedule.warmup_steps >= steps or settings.schedule.warmup_epochs >= settings.epochs:
        raise UserError(
            f"schedule.warmup_steps={settings.schedule.warmup_steps} "
            f"schedule.warmup_epochs={settings.schedule.warmup_epochs:g}: must be shorter than the run, "
            f"{steps} steps in {settings.epochs} epochs"
        )
    shared = {name: getattr(settings, name) for name in flat.SHARED}
    trials = [
        normal(Trial(**shared, facts=facts, lr=lr, wd=wd, seed=seed + replicate * SEEDS_APART, replicate=replicate))
        for lr in settings.lr
        for wd in settings.wds(lr)
        for seed in settings.seed
    ]
    for trial in trials if settings.optimizer.name == "sparse_adamw" else ():
        if (trial.decays()["wd_paper"] or 0) >= 1:
            raise UserError(f"lr={trial.lr:g} wd={trial.wd:g}: sparse_adamw needs a decay below 1 in every step")
    return trials


def unique(trials: Iterable[Trial]) -> dict[str, Trial]:
    """Trials by id, each once, in the order of first appearance; UserError where two different ones share an id."""
    by_id: dict[str, Trial] = {}
    for trial in trials:
        other = by_id.setdefault(trial.id, trial)
        if other is not trial and other.digest != trial.digest:
            raise UserError(
                f"seed={other.seed} and seed={trial.seed}: two trials have the id {trial.id} by chance; leave one out"
            )
    return by_id
