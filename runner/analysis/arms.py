"""The arms of a study, such as 'Adam + L2' and 'AdamW': what it compares. `arms_of(rows)` has the arm of each row."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

NO_DECAY, L2, W, DECOUPLED = KINDS = ("no decay", "L2", "W", "decoupled")
NAMES = {"adam": "Adam", "sgd": "SGD", "sparse_adam": "Sparse Adam", "lomo": "LOMO"}


@dataclass(frozen=True)
class Arm:
    """An optimizer and what it does about decay: what a study compares.

    Args:
        family: the optimizer with L2 (adam, sgd, ...); its decoupled twin shares its runs at wd = 0.
        kind: NO_DECAY; L2; W, decoupled by a twin with its own name (adamw); or DECOUPLED, by the optimizer itself.
        convention: that of `wd`; like the next two '' where all arms of this optimizer in the study share it.
        schedule: the course of the decay.
        params: the parameters that decay.
    """

    family: str
    kind: str
    convention: str = ""
    schedule: str = ""
    params: str = ""

    @property
    def base(self) -> str:
        """The label without what tells several arms of one optimizer apart: 'AdamW' of 'AdamW (torch)'."""
        ends = {NO_DECAY: ", no decay", L2: " + L2", W: "W", DECOUPLED: ", decoupled"}
        return family_name(self.family) + ends[self.kind]

    @property
    def label(self) -> str:
        """What tables call it: 'Adam + L2', or 'AdamW (torch)' where the study has AdamW in several conventions."""
        apart = ", ".join(word for word in (self.convention, self.schedule, self.params) if word)
        return f"{self.base} ({apart})" if apart else self.base

    @property
    def prose(self) -> str:
        """What sentences call it: 'Adam without decay'."""
        return f"{family_name(self.family)} without decay" if self.kind == NO_DECAY else self.label


def family_name(family: str) -> str:
    return NAMES.get(family, family.capitalize())


def arms_of(frame: pd.DataFrame) -> list[Arm]:
    """The arm of each row. It names its convention, course of decay and decaying parameters where there are several."""
    ways = ["wd_convention", "wd_schedule", "decay_params"]
    several = frame[frame["wd"] > 0].groupby(["optimizer", "decoupled"])[ways].nunique() > 1
    named = several.to_dict("index")
    arms = []
    columns = ("optimizer", "wd", "decoupled", *ways)
    for optimizer, wd, decoupled, *way in zip(*(frame[name] for name in columns), strict=True):
        # adamw -> adam, also at wd = 0, where both twins have the same runs.
        twin = way[0] not in ("l2", "") and optimizer.endswith("w")
        family = optimizer[:-1] if twin else optimizer
        if wd == 0:
            arms.append(Arm(family, NO_DECAY))
            continue
        kind = L2 if not decoupled else W if twin else DECOUPLED
        told = [str(word) if named[optimizer, decoupled][name] else "" for name, word in zip(ways, way, strict=True)]
        arms.append(Arm(family, kind, *told))
    return arms


def order(arm: Arm) -> tuple[int, str, int, str]:
    """By family, those of NAMES first; then no decay, L2, decoupled."""
    rank = min(KINDS.index(arm.kind), KINDS.index(W))
    return [*NAMES, arm.family].index(arm.family), arm.family, rank, arm.label
