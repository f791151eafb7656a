"""Claims about the best decay at several budgets and tasks, 10 to 12 of the list (supplementary Figure 3)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from runner.analysis.landscape import Landscape, landscape, lowest, noise_of, profile
from runner.analysis.maps import maps
from runner.analysis.measures import number
from runner.claims.claim import Claim, from_bootstrap
from runner.claims.scene import Arena, Scene, groups

FIGURE = "Supplementary Figure 3"


@dataclass(frozen=True, eq=False)
class _Searched:
    """An arm's map at one budget: its best decay, what a bootstrap makes of it, and why it cannot be judged."""

    arena: Arena
    arm: str
    optimizer: str
    convention: str
    land: Landscape

    @property
    def best(self) -> float:
        """log2 of the best decay, at the best learning rate for each."""
        return lowest(self.land.wd, profile(self.land.log_error))

    def drawn(self, stream: int) -> np.ndarray:
        return self.land.spread(lambda e: lowest(self.land.wd, profile(e)), stream)

    @property
    def obstacle(self) -> str:
        if self.arena.block.measure.on_test:
            return "selected on test"
        if len(self.land.wd) < 3:
            return f"{self.arm} was tried with fewer than three weight decays"
        if not self.land.is_complete:
            return "a map is not complete"
        at = int(np.argmin(profile(self.land.log_error)))
        if at in (0, len(self.land.wd) - 1):
            return f"the best decay is on the grid's edge at {self.epochs:g} epochs ({self.convention})"
        return self.land.noise.obstacle

    @property
    def epochs(self) -> float:
        return float(self.arena.block.settings["epochs"])


def claims(scene: Scene) -> Iterator[Claim]:
    """For arms that were searched at two budgets or more, and across optimizers and datasets."""
    for group in groups(scene, "epochs"):
        if len(group) < 2:
            continue
        ordered = sorted(group, key=lambda arena: float(arena.block.settings["epochs"]))
        by_arm: dict[tuple[str, str], list[_Searched]] = {}
        for one in (one for arena in ordered for one in _searched(arena)):
            by_arm.setdefault((one.optimizer, one.convention), []).append(one)
        budgets = {key: mine for key, mine in by_arm.items() if len(mine) > 1}
        for (_, convention), mine in budgets.items():
            if convention == "paper" and len(mine) > 2:
                yield _exponent(mine)
            if convention == "normalized":
                yield _stable(mine)
        for (optimizer, convention), mine in budgets.items():
            if convention == "normalized" and (optimizer, "paper") in budgets:
                yield _reuse(mine, budgets[optimizer, "paper"])
    for arena in scene.arenas:
        yield from _across_optimizers(arena)
    for group in groups(scene, "dataset"):
        yield from _across_datasets(group)


def _searched(arena: Arena) -> list[_Searched]:
    noise = noise_of(arena.block)
    return [
        _Searched(arena, m.arm, str(m.cells["optimizer"].iloc[-1]), m.convention, landscape(arena.block, m, noise))
        for m in maps(arena.block)
        if m.convention in ("paper", "normalized") and (m.cells["wd"] > 0).sum() > 1
    ]


def _why(mine: Sequence[_Searched]) -> str:
    return next((one.obstacle for one in mine if one.obstacle), "")


def _scope(mine: Sequence[_Searched]) -> str:
    epochs = ", ".join(f"{one.epochs:g}" for one in mine)
    return f"{mine[0].arena.scope}; {epochs} epochs"


def _exponent(mine: list[_Searched]) -> Claim:
    """Claim 10. p in best wd ~ T^-p, with the three values that theories give."""
    times = np.log2([one.epochs for one in mine])
    why, evidence, remark = _why(mine), None, ""
    if not why:

        def power(best: np.ndarray) -> np.ndarray:
            return -np.polyfit(times, best, 1)[0]

        drawn = power(np.array([one.drawn(i) for i, one in enumerate(mine)]))
        value = float(power(np.array([one.best for one in mine])))
        evidence = from_bootstrap(value, drawn, len(mine), 0.0, math.inf)
        theories = (
            ("0 (constant timescale)", 0.0),
            ("0.5 (the paper)", 0.5),
            ("1 (timescale of the run's length)", 1.0),
        )
        inside = [name for name, p in theories if evidence.low <= p <= evidence.high]
        remark = f"the interval holds {' and '.join(inside) or 'none of 0, 0.5 and 1'}"
    return Claim(
        "10",
        f"The best raw decay of {mine[0].arm} falls with the budget",
        FIGURE,
        "p in best wd ~ epochs^-p",
        evidence,
        "0.5 (normalized decay's assumption)",
        _scope(mine),
        why,
        remark,
    )


def _stable(mine: list[_Searched]) -> Claim:
    """Claim 11, first half: from the shortest to the longest run the best normalized decay moves one step at most."""
    short, long = mine[0], mine[-1]
    why, evidence = _why([short, long]), None
    step = float(np.median(np.diff(short.land.wd))) if len(short.land.wd) > 1 else 1.0
    if not why:
        evidence = from_bootstrap(long.best - short.best, long.drawn(1) - short.drawn(0), 2, -step, step)
    return Claim(
        "11",
        f"The best normalized decay is stable from {short.epochs:g} to {long.epochs:g} epochs",
        FIGURE,
        f"log2(best wd_norm), long minus short (within a grid step, {number(step, 1)})",
        evidence,
        "about 0 (0.025 to 0.05 at 25, 100 and 400 epochs)",
        _scope(mine),
        why,
    )


def _reuse(normalized: list[_Searched], raw: list[_Searched]) -> Claim:
    """Claim 11, second half: what it costs to use the short run's best decay in the long run."""
    pairs = [(mine[0], mine[-1]) for mine in (normalized, raw)]
    why, evidence = _why([one for pair in pairs for one in pair]), None
    if not why:
        value = [_cost(s, t, s.land.log_error, t.land.log_error) for s, t in pairs]
        drawn = [_costs(s, t, 2 * i) for i, (s, t) in enumerate(pairs)]
        evidence = from_bootstrap(value[0] - value[1], drawn[0] - drawn[1], 2, -math.inf, 0.0)
    return Claim(
        "11",
        "Reusing a short run's best decay costs less when it is normalized",
        FIGURE,
        "log regret of the short run's best wd in the long run, normalized minus raw",
        evidence,
        "below 0 (by eye)",
        _scope(normalized),
        why,
    )


def _cost(short: _Searched, long: _Searched, early: np.ndarray, late: np.ndarray) -> float:
    """Interpolated between decays, so that it does not matter whether the optimum is on the grid."""
    line = profile(late)
    at = lowest(short.land.wd, profile(early))
    return float(np.interp(at, long.land.wd, line) - line.min())


def _costs(short: _Searched, long: _Searched, stream: int) -> np.ndarray:
    early: list[np.ndarray] = []
    late: list[np.ndarray] = []
    short.land.spread(lambda e: early.append(e) or 0.0, stream)  # type: ignore[func-returns-value]
    long.land.spread(lambda e: late.append(e) or 0.0, stream + 1)  # type: ignore[func-returns-value]
    return np.array([_cost(short, long, a, b) for a, b in zip(early, late, strict=True)])


def _across(a: _Searched, b: _Searched, what: str, papers: str, remark: str = "") -> Claim:
    """Claim 12: two best normalized decays within a factor of two."""
    why, evidence = _why([a, b]), None
    if not why:
        evidence = from_bootstrap(a.best - b.best, a.drawn(0) - b.drawn(1), 2, -1.0, 1.0)
    scope = a.arena.scope if a.arena is b.arena else f"{a.arena.scope}; {b.arena.scope}"
    statistic = "log2 of the ratio of the best wd_norm (within 1)"
    return Claim(
        "12", f"The best normalized decay carries over {what}", FIGURE, statistic, evidence, papers, scope, why, remark
    )


def _across_optimizers(arena: Arena) -> Iterator[Claim]:
    found = {one.optimizer: one for one in _searched(arena) if one.convention == "normalized"}
    if {"adamw", "sgdw"} <= found.keys():
        yield _across(found["adamw"], found["sgdw"], "from AdamW to SGDW", "about 0")


def _across_datasets(group: list[Arena]) -> Iterator[Claim]:
    sizes = {float(arena.block.rows["train_size"].median()): arena for arena in group}
    if len(sizes) < 2:
        return
    small, large = sizes[min(sizes)], sizes[max(sizes)]
    ratio = max(sizes) / min(sizes)
    for a in _searched(small):
        for b in _searched(large):
            if a.optimizer == b.optimizer and a.convention == b.convention == "normalized":
                names = f"from {small.block.settings['dataset']} to {large.block.settings['dataset']} ({a.arm})"
                off = f"raw decay would be off by a factor of {number(math.sqrt(ratio), 1)}"
                yield _across(a, b, names, "about 0 (raw decay off by 5.06)", off)
