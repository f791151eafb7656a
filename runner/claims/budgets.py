"""Claims about the best decay at several budgets and tasks, 10 to 12 of the list (supplementary Figure 3)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from runner.analysis.landscape import Landscape, landscape, lowest, noise_of, profile
from runner.analysis.maps import maps
from runner.analysis.measures import number
from runner.analysis.study_results import BlockResults, StudyResults
from runner.claims.claim import Claim
from runner.claims.evidence import Evidence, from_bootstrap
from runner.claims.few import of_replicates


@dataclass(frozen=True, eq=False)
class _Searched:
    """An arm's map at one budget: its best decay, what a bootstrap makes of it, and why it cannot be judged."""

    results: BlockResults
    arm: str
    optimizer: str
    convention: str
    land: Landscape

    @property
    def best(self) -> float:
        """log2 of the best decay, at the best learning rate for each."""
        return lowest(self.land.wd, profile(self.land.log_error))

    def drawn(self, stream: int) -> np.ndarray:
        return self.land.spread(lambda log_error: lowest(self.land.wd, profile(log_error)), stream)

    @property
    def obstacle(self) -> str:
        if self.results.block.measure.on_test:
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
        return float(self.results.block.settings["epochs"])


def claims(study: StudyResults) -> Iterator[Claim]:
    """For arms that were searched at two budgets or more, and across optimizers and datasets."""
    for group in study.groups("epochs"):
        if len(group) < 2:
            continue
        ordered = sorted(group, key=lambda results: float(results.block.settings["epochs"]))
        by_arm: dict[tuple[str, str], list[_Searched]] = {}
        for one in (one for results in ordered for one in _searched(results)):
            by_arm.setdefault((one.optimizer, one.convention), []).append(one)
        budgets = {key: searches for key, searches in by_arm.items() if len(searches) > 1}
        for (_, convention), searches in budgets.items():
            if convention == "paper" and len(searches) > 2:
                yield _exponent(searches)
            if convention == "normalized":
                yield _stable(searches)
        for (optimizer, convention), searches in budgets.items():
            if convention == "normalized" and (optimizer, "paper") in budgets:
                yield _reuse(searches, budgets[optimizer, "paper"])
    for results in study.blocks:
        yield from _across_optimizers(results)
    for group in study.groups("dataset"):
        yield from _across_datasets(group)


def _searched(results: BlockResults) -> list[_Searched]:
    block, noise = results.block, noise_of(results.block)
    return [
        _Searched(results, m.arm, str(m.cells["optimizer"].iloc[-1]), m.convention, landscape(block, m, noise))
        for m in maps(block)
        if m.convention in ("paper", "normalized") and (m.cells["wd"] > 0).sum() > 1
    ]


def _missing(searches: Sequence[_Searched]) -> str:
    """Why nothing can be computed; '' where it can."""
    return next((one.obstacle for one in searches if one.obstacle), "")


def _few(searches: Sequence[_Searched]) -> str:
    """Why what is computed decides nothing about optimizers; '' where it may."""
    return of_replicates(min(one.land.noise.replicates for one in searches), searches[0].results.protocol)


def _evidence(
    value: float, drawn: np.ndarray, searches: Sequence[_Searched], low: float, high: float
) -> tuple[Evidence, tuple[float, str]]:
    """What the searches say of a number, by the fewest degrees of freedom, and what more of would narrow it."""
    freedom = min(one.land.freedom for one in searches)
    evidence = from_bootstrap(value, drawn, len(searches), low, high, freedom)
    return evidence, min(one.land.sample for one in searches)


def _epochs(searches: Sequence[_Searched]) -> str:
    return f"{', '.join(f'{one.epochs:g}' for one in searches)} epochs"


def _exponent(searches: list[_Searched]) -> Claim:
    """Claim 10. p in best wd ~ T^-p, with the three values that theories give."""
    times = np.log2([one.epochs for one in searches])
    why, evidence, remark, sample = _missing(searches), None, "", None
    if not why:

        def power(best: np.ndarray) -> np.ndarray:
            return -np.polyfit(times, best, 1)[0]

        drawn = power(np.array([one.drawn(i) for i, one in enumerate(searches)]))
        value = float(power(np.array([one.best for one in searches])))
        evidence, sample = _evidence(value, drawn, searches, 0.0, math.inf)
        theories = (
            ("0 (constant timescale)", 0.0),
            ("0.5 (the paper)", 0.5),
            ("1 (timescale of the run's length)", 1.0),
        )
        alpha = searches[0].results.protocol.alpha
        low, high = evidence.bounds(alpha) if evidence.bounds else (evidence.low, evidence.high)
        inside = [name for name, p in theories if low <= p <= high]
        remark = f"the interval holds {' and '.join(inside) or 'none of 0, 0.5 and 1'}"
    return Claim(
        "decay-exponent",
        f"The best raw decay of {searches[0].arm} falls with the budget",
        "p in best wd ~ epochs^-p",
        evidence,
        (searches[0].results,),
        why or _few(searches),
        remark,
        _epochs(searches),
        sample=sample,
    )


def _stable(searches: list[_Searched]) -> Claim:
    """Claim 11, first half: from the shortest to the longest run the best normalized decay moves one step at most."""
    short, long = searches[0], searches[-1]
    why, evidence, sample = _missing([short, long]), None, None
    step = float(np.median(np.diff(short.land.wd))) if len(short.land.wd) > 1 else 1.0
    if not why:
        moved = long.best - short.best, long.drawn(1) - short.drawn(0)
        evidence, sample = _evidence(*moved, [short, long], -step, step)
    return Claim(
        "normalized-stable",
        f"The best normalized decay is stable from {short.epochs:g} to {long.epochs:g} epochs",
        f"log2(best wd_norm), long minus short (within a grid step, {number(step, 1)})",
        evidence,
        (short.results,),
        why or _few([short, long]),
        among=_epochs(searches),
        sample=sample,
    )


def _reuse(normalized: list[_Searched], raw: list[_Searched]) -> Claim:
    """Claim 11, second half: what it costs to use the short run's best decay in the long run."""
    pairs = [(searches[0], searches[-1]) for searches in (normalized, raw)]
    every = [one for pair in pairs for one in pair]
    why, evidence, sample = _missing(every), None, None
    if not why:
        value = [_cost(s, t, s.land.log_error, t.land.log_error) for s, t in pairs]
        drawn = [_costs(s, t, 2 * i) for i, (s, t) in enumerate(pairs)]
        evidence, sample = _evidence(value[0] - value[1], drawn[0] - drawn[1], every, -math.inf, 0.0)
    return Claim(
        "normalized-reuse",
        "Reusing a short run's best decay costs less when it is normalized",
        "log regret of the short run's best wd in the long run, normalized minus raw",
        evidence,
        (normalized[0].results,),
        why or _few(every),
        among=_epochs(normalized),
        sample=sample,
    )


def _cost(short: _Searched, long: _Searched, early: np.ndarray, late: np.ndarray) -> float:
    """Interpolated between decays, so that it does not matter whether the optimum is on the grid."""
    line = profile(late)
    at = lowest(short.land.wd, profile(early))
    return float(np.interp(at, long.land.wd, line) - line.min())


def _costs(short: _Searched, long: _Searched, stream: int) -> np.ndarray:
    early, late = short.land.drawn(stream), long.land.drawn(stream + 1)
    return np.array([_cost(short, long, a, b) for a, b in zip(early, late, strict=True)])


def _across(a: _Searched, b: _Searched, what: str, papers: str, remark: str = "") -> Claim:
    """Claim 12: two best normalized decays within a factor of two."""
    why, evidence, sample = _missing([a, b]), None, None
    if not why:
        evidence, sample = _evidence(a.best - b.best, a.drawn(0) - b.drawn(1), [a, b], -1.0, 1.0)
    return Claim(
        "normalized-carries-over",
        f"The best normalized decay carries over {what}",
        "log2 of the ratio of the best wd_norm (within 1)",
        evidence,
        (a.results, b.results),
        why or _few([a, b]),
        remark,
        papers=papers,
        sample=sample,
    )


def _across_optimizers(results: BlockResults) -> Iterator[Claim]:
    by_optimizer = {one.optimizer: one for one in _searched(results) if one.convention == "normalized"}
    if {"adamw", "sgdw"} <= by_optimizer.keys():
        yield _across(by_optimizer["adamw"], by_optimizer["sgdw"], "from AdamW to SGDW", "about 0")


def _across_datasets(group: list[BlockResults]) -> Iterator[Claim]:
    sizes = {float(results.block.rows["train_size"].median()): results for results in group}
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
