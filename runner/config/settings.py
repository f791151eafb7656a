"""The settings of a study: the frozen dataclasses behind the YAML, whose ranges are checked when they are made.

`runner.config.compose.from_config` makes a `Settings` from a composed configuration. Imports nothing that is slow.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

from optim.rules import COUPLED, UNSTACKABLE, WD_SCHEDULES
from runner.config.schedules import ScheduleSettings
from runner.data.settings import DatasetSettings
from runner.errors import UserError
from runner.models.settings import ModelSettings

WD_RULES = {"none": 0.0, "product": 1e-4, "batch": 0.1}  # rules of thumb and their constants
PRECISIONS = ("fp32", "bf16", "fp16")
DECAY_PARAMS = ("all", "weights")
# The ways to compute the trials of a stack: three for the CPU (see `runner.trials.stack_size.slots`), and one for all
# devices, where each trial is an ordinary network (see `runner.models.lanes`).
FULL, LOOSE, UNSTACKED, LANES = "full", "loose", "unstacked", "lanes"
COMPUTE = {"auto": "", "stack": FULL, "lanes": LANES}  # values of the key `compute`, and the ways that they ask for


@dataclass(frozen=True)
class OptimizerSettings:
    """An optimizer variant; `wd` maps each convention to the decay that is used where none is given."""

    name: str
    lr: float
    wd: dict[str, float] = field(default_factory=dict, hash=False)
    decay_params: str = "all"  # as in the paper; "weights" spares norms and biases

    def __post_init__(self) -> None:
        if not 0 < self.lr < math.inf:
            raise UserError(f"optimizer.lr={self.lr}: must be a positive number")
        for convention, wd in self.wd.items():
            if not 0 <= wd < math.inf:
                raise UserError(f"optimizer.wd.{convention}={wd}: must be a number from 0")
        if self.decay_params not in DECAY_PARAMS:
            raise UserError(f"optimizer.decay_params={self.decay_params}: must be one of {', '.join(DECAY_PARAMS)}")

    @property
    def decoupled(self) -> bool:
        return self.name not in COUPLED


@dataclass(frozen=True)
class AdamSettings(OptimizerSettings):
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        for key, value in (("beta1", self.beta1), ("beta2", self.beta2)):
            if not 0 <= value < 1:
                raise UserError(f"optimizer.{key}={value}: must be from 0 to below 1")
        if not 0 <= self.eps < math.inf:
            raise UserError(f"optimizer.eps={self.eps}: must be a number from 0")
        if self.name == "sparse_adamw" and not (self.eps and self.beta2 and self.beta1**2 < self.beta2):
            raise UserError(
                f"optimizer.beta1={self.beta1} beta2={self.beta2} eps={self.eps}: sparse_adamw needs eps and beta2 "
                "above 0, and beta1 below the square root of beta2"
            )


@dataclass(frozen=True)
class SGDSettings(OptimizerSettings):
    momentum: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.momentum < 1:
            raise UserError(f"optimizer.momentum={self.momentum}: must be from 0 to below 1")


@dataclass(frozen=True)
class LookaheadSettings:
    """`k` fast steps for each slow one, 0: none; `alpha`, the slow step's size. The paper's are 5 and 0.5."""

    k: int = 0
    alpha: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.k <= 10**6:
            raise UserError(f"lookahead.k={self.k}: must be a whole number from 0 (none) to 1000000")
        if not 0 < self.alpha <= 1:
            raise UserError(f"lookahead.alpha={self.alpha}: must be above 0, at most 1")
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


_RANGES = {
    "epochs": (1, 10**6),
    "batch_size": (1, 10**7),
    "eval_every": (1, 10**6),
    "final_seeds": (0, 1000),
    "replicate": (0, 10**4),
    "stack": (0, 10**4),
    "workers": (0, 1024),
    "devices": (0, 1024),
    "shards": (0, 10**4),
}
# How a study is run and watched: the same for all its trials, so these cannot be swept.
RUN_KEYS = tuple(
    "eval_every eval_all target_error diagnostics checkpoint_every final_seeds replicate device devices stack workers "
    "shards exact compute resume fresh dry_run max_minutes record_host results reference".split()
)


@dataclass(frozen=True)
class Settings:
    """Everything one composed configuration says. `lr`, `wd` and `seed` are axes: their product is trained."""

    model: ModelSettings
    dataset: DatasetSettings
    optimizer: OptimizerSettings
    schedule: ScheduleSettings
    wd_convention: str  # of this optimizer: "l2" for adam and sgd
    lr: tuple[float, ...]
    wd: tuple[float, ...]
    seed: tuple[int, ...]
    epochs: int = 20
    batch_size: int = 32
    precision: str = "fp32"
    loss_multiplier: float = 1.0
    wd_schedule: str = "follow_lr"
    lookahead: LookaheadSettings = field(default_factory=LookaheadSettings)
    wd_rule: str = "none"
    wd_rule_constant: float | None = None
    eval_every: int = 1
    eval_all: bool = False
    target_error: float | None = None
    final_seeds: int = 0
    replicate: int = 0
    study: str = ""
    results: str = "results"
    reference: str = ""  # the arm that the report compares the others with
    device: str = "auto"
    devices: int = 1  # 0: all
    stack: int = 0  # 0: auto
    workers: int = 0  # 0: auto
    shards: int = 0  # 0: auto
    exact: bool = False
    compute: str = "auto"  # how a stack is computed: as one network or in lanes
    resume: bool = True
    fresh: bool = False
    dry_run: bool = False
    diagnostics: bool = False
    checkpoint_every: float = 30.0
    record_host: bool = True
    max_minutes: float | None = None

    def __post_init__(self) -> None:
        for key, (least, most) in _RANGES.items():
            if not least <= getattr(self, key) <= most:
                raise UserError(f"{key}={getattr(self, key)}: must be a whole number from {least} to {most}")
        if self.precision not in PRECISIONS:
            raise UserError(f"precision={self.precision}: must be one of {', '.join(PRECISIONS)}")
        if not 0 < self.loss_multiplier < math.inf:
            raise UserError(f"loss_multiplier={self.loss_multiplier}: must be a positive number")
        if self.optimizer.name in UNSTACKABLE and (self.precision == "fp16" or self.lookahead.k):
            key = "lookahead.k" if self.lookahead.k else "precision=fp16"
            raise UserError(f"{key}: not with optimizer={self.optimizer.name}, whose trials are trained alone")
        if self.optimizer.name in UNSTACKABLE and self.diagnostics:
            raise UserError(f"diagnostics=true: cannot follow optimizer={self.optimizer.name}; use adamw or sgdw")
        if self.wd_schedule not in WD_SCHEDULES:
            raise UserError(f"wd_schedule={self.wd_schedule}: must be one of {', '.join(WD_SCHEDULES)}")
        if self.wd_schedule == "beta2_ramp" and not isinstance(self.optimizer, AdamSettings):
            raise UserError(f"wd_schedule=beta2_ramp: {self.optimizer.name} has no beta2; use constant or follow_lr")
        if self.wd_rule not in WD_RULES:
            raise UserError(f"wd_rule={self.wd_rule}: must be one of {', '.join(WD_RULES)}")
        if self.wd_rule_constant is not None and not 0 <= self.wd_rule_constant < math.inf:
            raise UserError(f"wd_rule_constant={self.wd_rule_constant}: must be a number from 0")
        if self.wd_rule_constant is not None and self.wd_rule == "none":
            raise UserError(f"wd_rule_constant={self.wd_rule_constant}: is for wd_rule=product or batch")
        if self.wd_rule != "none" and self.wd_convention != "torch":
            raise UserError(
                f"wd_rule={self.wd_rule}: is about decoupled decay in torch's convention, not {self.wd_convention}; "
                "use optimizer=adamw or sgdw with wd_convention=torch"
            )
        for lr in self.lr if self.wd_rule != "none" else ():
            if not all(map(math.isfinite, self.wds(lr))):
                raise UserError(f"wd_rule={self.wd_rule}: at lr={lr:g} the decay would not be a finite number")
        if self.replicate and not self.final_seeds:
            raise UserError(f"replicate={self.replicate}: needs final_seeds=N, the seeds to train those cells with")
        if self.target_error is not None and not 0 <= self.target_error <= 100:
            raise UserError(f"target_error={self.target_error}: must be a percentage from 0 to 100")
        if not 0 <= self.checkpoint_every < math.inf:
            raise UserError(f"checkpoint_every={self.checkpoint_every}: must be a number of seconds from 0")
        if self.max_minutes is not None and not 0 < self.max_minutes < math.inf:
            raise UserError(f"max_minutes={self.max_minutes}: must be a positive number")
        if self.study and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", self.study):
            raise UserError(f"study={self.study}: must be a folder name of letters, digits, '.', '_' and '-'")
        if self.compute not in COMPUTE:
            raise UserError(f"compute={self.compute}: must be one of {', '.join(COMPUTE)}")
        if self.compute == "lanes" and self.exact:
            raise UserError("exact=true compute=lanes: exact trials are computed as in a full stack; give one of them")
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise UserError(f"device={self.device}: must be auto, cpu, cuda or cuda:N")

    def wds(self, lr: float) -> tuple[float, ...]:
        """The weight decays to train with at this learning rate: the axis, or what a rule of thumb makes of lr."""
        if self.wd_rule == "none":
            return self.wd
        constant = WD_RULES[self.wd_rule] if self.wd_rule_constant is None else self.wd_rule_constant
        return (constant / (lr if self.wd_rule == "product" else self.batch_size),)
