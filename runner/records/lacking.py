"""Rows that a trial of trials.csv must have in another table and has not: `lacking(table, rows, trials, followed)`.

A table that was damaged, or cut by a copy, is known by them. What a command does about it: execution/again.py.
A study may be passed on without a table that is large: `left_out.txt` says so, and its trials then lack nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from runner.config.schedules import RestartsSettings, cycles

if TYPE_CHECKING:
    import pandas as pd

LEAVES = {
    "curves": "their learning curves are not drawn to the end",
    "cycles": "what is said of restarts is without them",
    "dynamics": "what decay did to their weights is not shown to the end",
}
LEFT_OUT = "left_out.txt"  # in a study's folder: the tables that its owner did not pass on, a file's name on each line


def left_out(folder: Path) -> set[str]:
    """The tables that `left_out.txt` names: nobody has lost their rows, also where later trials have added theirs."""
    try:
        lines = (folder / LEFT_OUT).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return set()
    named = {line.strip().removesuffix(".csv") for line in lines}
    return {table for table in LEAVES if table in named}


def lacking(table: str, rows: pd.DataFrame, trials: pd.DataFrame, followed: bool) -> int:
    """How many of `trials` that ended well lack `rows` of their last epoch; `followed`: all must have dynamics."""
    ended = trials[trials["status"] == "ok"]
    if table == "cycles":
        ended = ended[ended["schedule"] == "restarts"]
        last = rows.groupby("trial")["cycle"].max()
        wanted = [_cycles(text, epochs) for text, epochs in zip(ended["settings"], ended["epochs"], strict=True)]
        return int((ended["trial"].map(last).fillna(0).to_numpy() < wanted).sum())
    if table == "dynamics":
        last = rows.groupby(["trial", "layer"])["epoch"].max().groupby("trial").min()
        if not followed:
            ended = ended[ended["trial"].isin(last.index)]
    else:
        last = rows.groupby("trial")["epoch"].max()
    return int((~(ended["trial"].map(last) >= ended["epochs"])).sum())


def _cycles(settings: str, epochs: float) -> int:
    """The cycles that end within a trial; 0 where its settings cannot be read."""
    try:
        flat = json.loads(settings)
        given = {key: flat[f"schedule.{key}"] for key in ("t_0", "t_mult") if f"schedule.{key}" in flat}
        places = cycles(RestartsSettings("restarts", **given), int(epochs))
        return sum(first + size <= epochs for first, size in places)
    except Exception:  # settings of another version, or made up: nobody knows what is missing
        return 0
