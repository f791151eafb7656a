"""What a rule of thumb for the decay costs: `regrets(block)`, from the maps of a search that is there anyway.

A rule says the decay for a learning rate. What it would have reached is read off the map, by straight lines in log2 of
the decay between the two neighbouring cells of that rate, or in the decay itself between none and the smallest, and
compared with the map's best cell. The best of many cells is flattered by chance, and a rule's cell is not chosen, so a
regret as small as the noise of the map is none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from runner.analysis.arms import L2
from runner.analysis.blocks import Block
from runner.analysis.maps import Map, maps
from runner.config.settings import WD_RULES

TIMESCALE = 0.2  # of the run
GOOD = 2  # a learning rate whose best error is at most so many times the map's best is a good one
_WITHIN = 1e-6  # octaves, by which a decay may miss the end of the grid through rounding


@dataclass(frozen=True)
class Rule:
    """A rule of thumb.

    Args:
        name: as the setting `wd_rule` has it, where it has it.
        formula: for readers.
        decay: of (learning rate, steps of the run, batch size) the decay of a step at eta = 1, which is the paper's
            lambda, or the coefficient of L2.
    """

    name: str
    formula: str
    decay: Callable[[float, float, float], float]


_ALL_DECOUPLED = (
    # The weights are a moving average of updates over 1 / (lr wd) steps (Wang & Aitchison 2024, section 2).
    Rule("timescale", f"1 / (lr x wd) = {TIMESCALE} of the run", lambda lr, steps, batch: 1 / (TIMESCALE * steps)),
    Rule("product", "lr x wd = 1e-4", lambda lr, steps, batch: WD_RULES["product"]),
    Rule("batch", "wd = 0.1 / batch size", lambda lr, steps, batch: lr * WD_RULES["batch"] / batch),
)
_TORCH_ADAMW = Rule("torch", "wd = 0.01, torch's default", lambda lr, steps, batch: lr * 0.01)
_L2 = (
    Rule("torch", "0, torch's default", lambda lr, steps, batch: 0.0),
    Rule("usual", "1e-4", lambda lr, steps, batch: 1e-4),
)


@dataclass(frozen=True)
class Regret:
    """What a rule reaches on an arm's map; scores are means of what the block selects by, over `seeds` runs of a cell.

    Args:
        arm, rule: whose map, and which rule.
        best: the score of the map's best cell.
        lr: the learning rate that is best with the rule's decay, NaN where that is outside the grid at all rates.
        wd: the rule's decay there, in the arm's convention.
        score: the score there.
        good: the good learning rates at which the rule's decay lies within the grid.
        outside: how many good ones there are at which it does not.
        good_score: mean score over `good`.
        own: mean over `good` of the score minus that of the best decay at the same rate.
        seeds: how many runs a cell of the map is the mean of.
    """

    arm: str
    rule: Rule
    best: float
    lr: float
    wd: float
    score: float
    good: tuple[float, ...]
    outside: int
    good_score: float
    own: float
    seeds: int

    @property
    def regret(self) -> float:
        """Above the map's best at the rate that is best with the rule."""
        return self.score - self.best

    @property
    def good_regret(self) -> float:
        """Above the map's best, in the mean over the good rates."""
        return self.good_score - self.best


def rules_for(block: Block, arm: str) -> Sequence[Rule]:
    """Rules that make sense for an arm: torch has a default for AdamW and for the penalty, but no SGDW."""
    map_ = block.arm_of[arm]
    if map_.kind == L2:
        return _L2
    return (*_ALL_DECOUPLED, _TORCH_ADAMW) if map_.family == "adam" else _ALL_DECOUPLED


def regrets(block: Block) -> list[Regret]:
    """One for each map with at least two decays and each of its rules; none for a map without a complete cell."""
    return [
        _regret(block, map_, rule)
        for map_ in maps(block)
        if map_.cells["complete"].any() and (map_.cells["wd"] > 0).sum() > 1
        for rule in rules_for(block, map_.arm)
        if not math.isnan(rule.decay(1.0, _steps(block), 1.0))  # rows that do not tell their size have no steps
    ]


def _regret(block: Block, map_: Map, rule: Rule) -> Regret:
    complete = map_.cells[map_.cells["complete"]]
    best = float(complete["score"].min())
    steps, batch = _steps(block), float(block.settings["batch_size"])
    reached: dict[float, tuple[float, float]] = {}
    good, outside, own = [], 0, []
    for lr in map_.lrs:
        line = map_.cells[map_.cells["lr"] == lr]
        lowest = float(line.loc[line["complete"], "score"].min())
        found = _at(line, rule.decay(lr, steps, batch), map_.convention)
        if not math.isnan(found[0]):
            reached[lr] = found
        if lowest <= GOOD * best:
            if math.isnan(found[0]):
                outside += 1
            else:
                good.append(lr)
                own.append(found[0] - lowest)
    lr = min(reached, key=lambda one: reached[one][0], default=math.nan)
    score, wd = reached.get(lr, (math.nan, math.nan))
    return Regret(
        arm=map_.arm,
        rule=rule,
        best=best,
        lr=lr,
        wd=wd,
        score=score,
        good=tuple(good),
        outside=outside,
        good_score=float(np.mean([reached[one][0] for one in good])) if good else math.nan,
        own=float(np.mean(own)) if own else math.nan,
        seeds=int(complete["n_seeds"].max()),
    )


def _steps(block: Block) -> float:
    """Of the whole run; the last batch of an epoch may be smaller. NaN where the rows do not tell."""
    train = float(pd.to_numeric(block.rows["train_size"], errors="coerce").max())
    per_epoch = np.ceil(train / float(block.settings["batch_size"]))
    return float(block.settings["epochs"]) * float(per_epoch)


def _at(line: pd.DataFrame, decay: float, convention: str) -> tuple[float, float]:
    """(score, wd) at a decay, among the cells of one learning rate; NaN where it or a neighbour of it has none."""
    zero = line[(line["wd"] == 0) & line["complete"]]
    none = float(zero["score"].iloc[0]) if len(zero) else math.nan
    if decay == 0:
        return (none, 0.0) if len(zero) else (math.nan, math.nan)
    cells = line[line["wd"] > 0].sort_values("wd")
    wd = cells["wd"].to_numpy(float)
    own = wd if convention == "l2" else cells["wd_paper"].to_numpy(float)
    # At one learning rate each convention's number is proportional to the paper's.
    scores = np.where(cells["complete"], cells["score"], np.nan).astype(float)
    if len(wd) == 0 or not decay > 0 or not np.isfinite(own).all():
        return math.nan, math.nan
    x, at = np.log2(own), math.log2(decay)
    in_convention = decay * wd[0] / own[0]
    if at < x[0] - _WITHIN and not math.isnan(none + scores[0]):
        share = decay / own[0]  # what little decay does is proportional to it
        return float((1 - share) * none + share * scores[0]), float(in_convention)
    if not x[0] - _WITHIN <= at <= x[-1] + _WITHIN:
        return math.nan, math.nan
    near = np.flatnonzero(np.abs(x - at) <= _WITHIN)
    if len(near):  # On a cell: its neighbours, which may have diverged, say nothing of it.
        return float(scores[near[0]]), float(wd[near[0]])
    right = int(np.searchsorted(x, at))
    share = (at - x[right - 1]) / (x[right] - x[right - 1])
    return float((1 - share) * scores[right - 1] + share * scores[right]), float(in_convention)


def rules_table(blocks: Sequence[Block]) -> pd.DataFrame:
    """rules.csv: one row per block, arm and rule; empty where there is no map.

    Scores are means of the column named by `selected_by`; `regret` is `score` minus `best`, the map's best cell;
    `good_score` the mean over the good learning rates at which the rule's decay is on the grid, `good_regret` minus
    `best`, `good_regret_own` minus the best of the same rates. `outside`: at how many good rates the grid does not
    reach the rule's decay.
    """
    return pd.DataFrame([_row(block, one) for block in blocks for one in regrets(block)])


def _row(block: Block, one: Regret) -> dict[str, object]:
    return {
        "block": block.id,
        "block_label": block.label,
        "arm": one.arm,
        "rule": one.rule.name,
        "formula": one.rule.formula,
        "selected_by": block.measure.select,
        "seeds": one.seeds,
        "best": one.best,
        "lr": one.lr,
        "wd": one.wd,
        "score": one.score,
        "regret": one.regret,
        "good": " ".join(f"{lr:.6g}" for lr in one.good),
        "outside": one.outside,
        "good_score": one.good_score,
        "good_regret": one.good_regret,
        "good_regret_own": one.own,
    }
