"""The settings of a study: the frozen dataclasses behind the YAML, whose values are checked when they are made.

`TrialSettings` is what makes a trial's result, `RunSettings` how a study is run and watched, and `Settings` what one
composed configuration says; `runner.config.compose.from_config` makes it. Imports nothing that is slow.

A new setting of a trial takes three places, a field here, a line of configs/config.yaml and its use: runner/README.md
has the recipe. What is right, and what means "as before it was there", stands beside a field (`runner.fields`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from optim.conventions import DECOUPLED, L2
from optim.rules import COUPLED, UNSTACKABLE, WD_SCHEDULES
from runner.config.schedules import SCHEDULES, ScheduleSettings
from runner.data.settings import DATASETS, DatasetSettings
from runner.errors import UserError
from runner.fields import BELOW_1, FROM_0, POSITIVE, before, check, one_of, right, whole, whole_or
from runner.models.settings import MODELS, ModelSettings, ModuleSettings

WD_RULES = {"none": 0.0, "product": 1e-4, "batch": 0.1}  # rules of thumb and their constants
ALSO_BY = ("none", "loss", "error")  # what best cells may be chosen by beside the study's own measure
PRECISIONS = ("fp32", "bf16", "fp16")
DECAY_PARAMS = ("all", "weights")
# The ways to compute the trials of a stack: three for the CPU (see `runner.trials.stack_size.slots`), and one for all
# devices, where each trial is an ordinary network (see `runner.models.lanes`).
FULL, LOOSE, UNSTACKED, LANES = "full", "loose", "unstacked", "lanes"
COMPUTE = {"auto": "", "stack": FULL, "lanes": LANES}  # values of the key `compute`, and the ways that they ask for
PER_TRIAL = {"per_trial": True}  # metadata of what may differ between the trials of one stack


@dataclass(frozen=True)
class OptimizerSettings:
    """An optimizer variant; `wd` maps each convention to the decay that is used where none is given."""

    name: str
    lr: float = field(metadata=POSITIVE)
    wd: dict[str, float] = field(default_factory=dict, hash=False)
    # All parameters decay, as in the paper; "weights" spares norms and biases.
    decay_params: str = field(default="all", metadata=one_of(DECAY_PARAMS))

    def __post_init__(self) -> None:
        check(self, "optimizer")
        for convention, wd in self.wd.items():
            if not 0 <= wd < math.inf:
                raise UserError(f"optimizer.wd.{convention}={wd}: must be a number from 0")

    @property
    def decoupled(self) -> bool:
        """Whether weights shrink beside the gradient's step, not through the gradient as in L2."""
        return self.name not in COUPLED


@dataclass(frozen=True)
class AdamSettings(OptimizerSettings):
    """Adam and its variants: decay rates of the two moments, and what is added to the root of the second."""

    beta1: float = field(default=0.9, metadata=BELOW_1)
    beta2: float = field(default=0.999, metadata=BELOW_1)
    eps: float = field(default=1e-8, metadata=FROM_0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name == "sparse_adamw" and not (self.eps and self.beta2 and self.beta1**2 < self.beta2):
            raise UserError(
                f"optimizer.beta1={self.beta1} beta2={self.beta2} eps={self.eps}: sparse_adamw needs eps and beta2 "
                "above 0, and beta1 below the square root of beta2"
            )


@dataclass(frozen=True)
class SGDSettings(OptimizerSettings):
    """SGD with momentum, coupled or decoupled decay."""

    momentum: float = field(default=0.9, metadata=BELOW_1)


_STEPS = right(lambda k: 0 <= k <= 10**6, "a whole number from 0 (none) to 1000000")
# A smaller alpha is lost in 1 - alpha. With another variance no number of replicates in reach decides anything.
_CHANCE = right(lambda alpha: 1e-9 <= alpha < 1, "from 1e-9 to below 1")
_VARIANCE = right(lambda g: 1e-3 <= g <= 1e3, "from 0.001 to 1000")


@dataclass(frozen=True)
class LookaheadSettings:
    """`k` fast steps for each slow one, 0: none; `alpha`, the slow step's size. The paper's are 5 and 0.5."""

    k: int = field(default=0, metadata=_STEPS | before(0))
    alpha: float = field(default=0.5, metadata=right(lambda alpha: 0 < alpha <= 1, "above 0, at most 1") | before(0.5))

    def __post_init__(self) -> None:
        check(self, "lookahead")
        if not self.k and self.alpha != LookaheadSettings.alpha:
            raise UserError(f"lookahead.alpha={self.alpha}: is for lookahead.k=N, which is 0 (none)")


OPTIMIZERS: dict[str, type[OptimizerSettings]] = {
    "adam": AdamSettings,
    "adamw": AdamSettings,
    "sgd": SGDSettings,
    "sgdw": SGDSettings,
    "sparse_adamw": AdamSettings,
    "lomo": OptimizerSettings,
}
AXES = ("lr", "wd", "seed")  # keys that take a value or a list
SEEDS_APART = 10**6  # from the seeds of one replicate to those of the next, so that no two share any
# The config groups that a trial is made of, and the dataclass of each of their choices.
GROUPS: dict[str, Mapping[str, type]] = {
    "model": MODELS,
    "dataset": DATASETS,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
}


@dataclass(frozen=True, kw_only=True)
class TrialSettings:
    """What makes a trial's result, beside lr, wd, seed and the data's content; `Settings` and `Trial` share it."""

    model: ModelSettings
    dataset: DatasetSettings
    optimizer: OptimizerSettings = field(metadata=PER_TRIAL)
    schedule: ScheduleSettings = field(metadata=PER_TRIAL)
    wd_convention: str = field(metadata=one_of((*DECOUPLED, L2)) | PER_TRIAL)  # L2 for adam and sgd, and only there
    epochs: int = field(default=20, metadata=whole(1, 10**6))
    batch_size: int = field(default=32, metadata=whole(1, 10**7))
    precision: str = field(default="fp32", metadata=one_of(PRECISIONS))
    loss_multiplier: float = field(default=1.0, metadata=POSITIVE | before(1.0) | PER_TRIAL)
    wd_schedule: str = field(default="follow_lr", metadata=one_of(WD_SCHEDULES) | before("follow_lr") | PER_TRIAL)
    lookahead: LookaheadSettings = field(default=LookaheadSettings(), metadata=PER_TRIAL)
    # The most that the norm of a trial's gradients may be: they are scaled down to it.
    clip_norm: float | None = field(default=None, metadata=POSITIVE | before(None) | PER_TRIAL)
    # The share of the answer that is spread evenly over all classes in the loss that is trained on.
    label_smoothing: float = field(default=0.0, metadata=BELOW_1 | before(0.0))


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How a study is run and watched: the same for all its trials, so none of it can be swept or changes a result."""

    eval_every: int = field(default=1, metadata=whole(1, 10**6))  # epochs
    eval_all: bool = False  # every split, at every evaluation
    target_error: float | None = field(
        default=None, metadata=right(lambda error: 0 <= error <= 100, "a percentage from 0 to 100")
    )
    diagnostics: bool = False
    final_seeds: int = field(default=0, metadata=whole(0, 1000))
    refine: int = field(default=0, metadata=whole(0, 5))  # rounds
    map_noise: int = field(default=0, metadata=whole(0, 10**4))
    also_by: str = field(default="none", metadata=one_of(ALSO_BY))  # a second choice of the cells with fresh seeds
    replicates: int = field(default=1, metadata=whole_or(1000, "auto"))
    max_replicates: int = field(default=20, metadata=whole(2, 1000))  # with replicates=auto
    prior_g: float = field(default=1.0, metadata=_VARIANCE)  # of the e-values of replicates=auto
    alpha: float = field(default=0.05, metadata=_CHANCE)
    equal_within: float = field(default=5.0, metadata=POSITIVE)  # percent of the reference's error
    primary: str = ""  # the id of the claim that the study is for
    results: str = "results"
    reference: str = ""  # the arm that the report compares the others with
    claims: bool = False  # whether report.html has all of the paper's claims, also for data that are not the paper's
    device: str = field(
        default="auto",
        metadata=right(lambda name: re.fullmatch(r"auto|cpu|cuda(:\d+)?", name), "auto, cpu, cuda or cuda:N"),
    )
    devices: int = field(default=1, metadata=whole_or(1024, "all"))
    stack: int = field(default=0, metadata=whole_or(10**4, "auto", None))
    workers: int = field(default=0, metadata=whole_or(1024, "auto", None))
    shards: int = field(default=0, metadata=whole_or(10**4, "auto", None))
    exact: bool = False
    compute: str = field(default="auto", metadata=one_of(COMPUTE))  # a stack as one network or in lanes
    resume: bool = True
    fresh: bool = False
    dry_run: bool = False
    checkpoint_every: float = field(
        default=30.0, metadata=right(lambda seconds: 0 <= seconds < math.inf, "a number of seconds from 0")
    )
    record_host: bool = True
    max_minutes: float | None = field(default=None, metadata=POSITIVE)

    def __post_init__(self) -> None:
        check(self)
        if self.map_noise and not self.final_seeds:
            raise UserError(f"map_noise={self.map_noise}: needs final_seeds=N, the seeds to train those cells with")
        if self.also_by != "none" and not self.final_seeds:
            raise UserError(f"also_by={self.also_by}: needs final_seeds=N, the seeds to train those winners with")
        if self.compute == "lanes" and self.exact:
            raise UserError("exact=true compute=lanes: exact trials are computed as in a full stack; give one of them")


_STUDY = right(
    lambda name: not name or re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", name),
    "a folder name of letters, digits, '.', '_' and '-'",
)


@dataclass(frozen=True, kw_only=True)
class Settings(TrialSettings):
    """Everything one composed configuration says. `lr`, `wd` and `seed` are axes: their product is trained."""

    lr: tuple[float, ...]
    wd: tuple[float, ...]
    seed: tuple[int, ...]
    wd_rule: str = field(default="none", metadata=one_of(WD_RULES))
    wd_rule_constant: float | None = field(default=None, metadata=FROM_0)
    study: str = field(default="", metadata=_STUDY)
    run: RunSettings = field(default=RunSettings())

    def __post_init__(self) -> None:
        check(self)
        if self.run.replicates != 1 and max(self.seed) >= SEEDS_APART:
            raise UserError(
                f"seed={max(self.seed)}: must be below {SEEDS_APART} where there are replicates, whose own seeds "
                "are beyond"
            )
        name = self.optimizer.name
        if name in UNSTACKABLE and (self.precision == "fp16" or self.lookahead.k):
            key = "lookahead.k" if self.lookahead.k else "precision=fp16"
            raise UserError(f"{key}: not with optimizer={name}, whose trials are trained alone")
        if name in UNSTACKABLE and self.clip_norm is not None:
            raise UserError(f"clip_norm={self.clip_norm:g}: not with optimizer={name}, whose trials are trained alone")
        if name in UNSTACKABLE and isinstance(self.model, ModuleSettings):
            raise UserError(f"optimizer={name}: not with model=module; use adamw or sgdw")
        if name in UNSTACKABLE and self.run.diagnostics:
            raise UserError(f"diagnostics=true: cannot follow optimizer={name}; use adamw or sgdw")
        if self.wd_schedule == "beta2_ramp" and not isinstance(self.optimizer, AdamSettings):
            raise UserError(f"wd_schedule=beta2_ramp: {name} has no beta2; use constant or follow_lr")
        self._check_wd_rule()

    def _check_wd_rule(self) -> None:
        if self.wd_rule == "none":
            if self.wd_rule_constant is not None:
                raise UserError(f"wd_rule_constant={self.wd_rule_constant}: is for wd_rule=product or batch")
            return
        if self.wd_convention != "torch":
            raise UserError(
                f"wd_rule={self.wd_rule}: is about decoupled decay in torch's convention, not {self.wd_convention}; "
                "use optimizer=adamw or sgdw with wd_convention=torch"
            )
        for lr in self.lr:
            if not all(map(math.isfinite, self.wds(lr))):
                raise UserError(f"wd_rule={self.wd_rule}: at lr={lr:g} the decay would not be a finite number")

    def wds(self, lr: float) -> tuple[float, ...]:
        """The weight decays to train with at this learning rate: the axis, or what a rule of thumb makes of lr."""
        if self.wd_rule == "none":
            return self.wd
        constant = WD_RULES[self.wd_rule] if self.wd_rule_constant is None else self.wd_rule_constant
        return (constant / (lr if self.wd_rule == "product" else self.batch_size),)
