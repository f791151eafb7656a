"""What rows tell of commands that study.yaml does not have: `lost_commands(trials, commands)`.

A file that was cut between two commands, or edited, reads as if nothing were missing. What was laid down is then not
known, and a result may have been looked at before the rest was asked for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd


def lost_commands(trials: pd.DataFrame, commands: Sequence[Sequence[Mapping[str, Any]]]) -> str:
    """What rows have that no command on record asks for, in words; '' where there is nothing.

    Args:
        trials: the rows of a study's blocks, with numbers.
        commands: the settings of each command's configurations. Of a key that none of them has nothing is said.
    """
    every = [one for settings in commands for one in settings]
    if not every or trials.empty:
        return ""
    search = trials[(trials["phase"] == "search") & (trials["replicate"] == 0)]
    final = trials[trials["phase"] == "final"]
    most = max((_replicates(one) for one in every), default=1)
    fresh = max((int(one.get("final_seeds", 0)) for one in every), default=0)
    runs = final.drop_duplicates(["block", "replicate", "cell", "seed"]).groupby(["block", "replicate", "cell"]).size()
    named = [one["optimizer"] for one in every if isinstance(one.get("optimizer"), Mapping)]
    optimizers = {_twin(str(one.get("name", ""))) for one in named}
    rates, seeds = ([value for one in every for value in _several(one, key)] for key in ("lr", "seed"))
    of_rows = {_twin(str(name)) for name in trials["optimizer"]}
    found = {
        "replicates": bool(trials["replicate"].max() >= most),
        "fresh seeds": any("final_seeds" in one for one in every) and bool((runs > fresh).any()),
        "optimizers": bool(optimizers) and not of_rows <= optimizers,
        "learning rates": bool(rates)
        and not all(any(map(partial(math.isclose, lr), rates)) for lr in set(search["lr"])),
        "search seeds": bool(seeds) and not set(search["seed"]) <= set(seeds),
    }
    what = [name for name, beyond in found.items() if beyond]
    return f"its rows have {' and '.join(what)} for which no command in study.yaml asks" if what else ""


def _replicates(settings: Mapping[str, Any]) -> int:
    """How many a configuration asks for, at most."""
    return int(settings.get("replicates", 1)) or int(settings.get("max_replicates", 1))


def _several(settings: Mapping[str, Any], key: str) -> list[float]:
    """An axis's values; none where the file was edited into something else."""
    values = settings.get(key)
    return [one for one in values if isinstance(one, int | float)] if isinstance(values, list | tuple) else []


def _twin(optimizer: str) -> str:
    """Adam of AdamW, for their runs without decay are the same."""
    return optimizer.removesuffix("w")
