"""A search as a map of errors over learning rate and weight decay: `maps(block)` gives one for each arm."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from runner.analysis.blocks import Block, per_block
from runner.analysis.select import cells


@dataclass(frozen=True, eq=False)
class Map:
    """One panel: `cells` are rows of `select.cells`, the best of each (lr, wd) over other hyperparameters."""

    arm: str
    family: str
    convention: str
    cells: pd.DataFrame

    @property
    def lrs(self) -> list[float]:
        return sorted(set(self.cells["lr"]))

    @property
    def wds(self) -> list[float]:
        return sorted(set(self.cells["wd"]))


@per_block
def maps(block: Block) -> list[Map]:
    """One map per arm with decay; its wd = 0 column is the family's 'no decay' arm, which both twins share."""
    table = cells(block)
    table = table[table["on_grid"]]
    table = table.sort_values(["complete", "score_key", "tie_key"], ascending=[False, True, True])
    panels = []
    for arm in block.arms:
        decayed = table[(table["arm"] == arm) & (table["wd"] > 0)]
        if decayed.empty:
            continue
        first = decayed.iloc[0]
        zero = table[(table["family"] == first["family"]) & (table["wd"] == 0) & table["lr"].isin(decayed["lr"])]
        both = pd.concat([zero, decayed]).drop_duplicates(["lr", "wd"])
        panels.append(Map(arm, str(first["family"]), str(first["wd_convention"]), both))
    return panels


def best_cells(map_: Map) -> pd.DataFrame:
    """The ten best complete cells (the best third of fewer than 30), best first: those that are circled."""
    ranked = map_.cells[map_.cells["complete"]].sort_values(["score_key", "tie_key", "lr", "wd"])
    return ranked.head(10 if len(map_.cells) >= 30 else math.ceil(len(map_.cells) / 3))
