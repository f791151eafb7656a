"""What tables, plots and claims are made of: `ArmResult`, `BlockResults` and `StudyResults`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from runner.analysis import paper
from runner.analysis.blocks import Block
from runner.analysis.protocol import ONE, Protocol
from runner.analysis.select import NONE_BETTER
from runner.analysis.statistics import LEVEL, Estimate, Paired


@dataclass(frozen=True, eq=False)
class ArmResult:
    """One row of the report. Errors in percent; `values` holds an Estimate per column of MEASURED.

    `phase` is 'final', 'search' or '' (no winner); `rows` are the runs that the estimates are over, and `seeds` theirs.
    Where the study has several replicates, `replicates` are the numbers of those in which the arm has a result. Each
    has a winner of its own; `lr`, `wd`, `hyper` and `edge` are those of the cell that is best in the mean over all.
    `lacking_search` are the numbers of those that have fewer search runs with numbers than others.
    """

    arm: str
    reference: str  # the arm that it is compared with; the better of L2 and no decay, by validation error
    family: str
    optimizer: str
    wd_convention: str
    trials: int
    cells: int
    complete_cells: int
    search_diverged: int
    search_failed: int
    instead: str = ""  # the L2 in whose place its reference, without decay, stands; '' where it stands in none's
    l2: str = ""  # the L2 of its family, which the paper's claims compare it with; '' where there is none
    lr: float = math.nan
    wd: float = math.nan
    hyper: str = ""
    edge: str = ""
    not_searched: str = ""
    phase: str = ""
    seeds: tuple[int, ...] = ()
    replicates: tuple[int, ...] = ()
    diverged: int = 0
    failed: int = 0
    lacking_search: tuple[int, ...] = ()
    values: Mapping[str, Estimate] = field(default_factory=dict)
    sampling: tuple[float, float] = (math.nan, math.nan)  # Wilson interval of the mean test error
    difference: Paired | None = None  # None for the reference itself and where there is none
    detectable: float = math.nan
    verdict: str = ""
    remark: str = ""
    rows: pd.DataFrame | None = None

    @property
    def n(self) -> int:
        """How many runs are reported."""
        return len(self.seeds)

    @property
    def unit(self) -> str:
        """What the estimates are over: 'replicate', or the seeds of the only one."""
        return "replicate" if self.replicates else "seed"

    @property
    def units(self) -> int:
        """How many there are of them."""
        return len(self.replicates) or self.n

    @property
    def verdict_word(self) -> str:
        """The verdict without its reason: 'lower', 'higher', 'undecided' or 'no verdict'."""
        return self.verdict.partition(" (")[0]

    @property
    def verdict_reason(self) -> str:
        return self.verdict.partition(" (")[2].removesuffix(")")

    def measured(self, column: str) -> pd.DataFrame | None:
        """The reported runs that this column's estimate is over: without those that ended well and have no number."""
        if self.rows is None:
            return None
        known = self.rows[column].notna() | (self.rows["status"] == "diverged") | (column == "epochs_to_target")
        return self.rows[known]

    def counted(self, column: str) -> str:
        """How many units this column's estimate is over: '6', or '5 of 6' where some have no number."""
        n = self.values[column].n if column in self.values else 0
        return str(n) if n == self.units else f"{n} of {self.units}"

    def by_unit(self, column: str) -> dict[int, float]:
        """This column by replicate, the mean over its reported runs; by seed where there is one replicate.

        {} where the arm has no result. A replicate of which a run has no number has none: a diverged run has no loss,
        and left out it would flatter. Runs that ended well and have none are of a version that did not measure it, and
        left out; but without `epochs_to_target` a run has not reached the target, and that is known of it: NaN.
        """
        rows = self.measured(column)
        if rows is None:
            return {}
        if self.replicates:
            means = rows.groupby("replicate")[column].agg(lambda values: values.mean(skipna=False))
            return {int(number): float(mean) for number, mean in zip(means.index, means, strict=True)}
        return {int(seed): float(value) for seed, value in zip(rows["seed"], rows[column], strict=True)}


@dataclass(frozen=True, eq=False)
class BlockResults:
    """A block with the result of each of its arms, in the order of `block.arms`, judged by a protocol.

    `parts` are the results of each replicate by its number, where there are several. `question` is what the study asks
    where the arms are shown beside another reference than it laid down: 'AdamW against Adam + L2', else ''.
    """

    block: Block
    arms: tuple[ArmResult, ...]
    protocol: Protocol = ONE
    parts: Mapping[int, BlockResults] = field(default_factory=dict)
    question: str = ""

    def no_decay(self, family: str) -> ArmResult | None:
        return next((arm for arm in self.arms if arm.family == family and not arm.wd_convention), None)

    def l2(self, family: str, beside: ArmResult | None = None) -> ArmResult | None:
        """The family's L2; where the study holds several, that which decays what `beside` does, or the first."""
        arms = [arm for arm in self.arms if arm.family == family and arm.wd_convention == "l2"]
        alike = [arm for arm in arms if beside is not None and arm.arm == beside.l2]
        return next(iter([*alike, *arms]), None)

    def decoupled(self, family: str) -> list[ArmResult]:
        """AdamW or SGDW; several where the study holds several conventions."""
        return [arm for arm in self.arms if arm.family == family and arm.wd_convention not in ("", "l2")]

    def twins(self, family: str = "adam") -> tuple[ArmResult, ArmResult] | None:
        """(L2, the first decoupled) of a family; None where one of them is missing."""
        l2, decoupled = self.l2(family), self.decoupled(family)
        return (l2, decoupled[0]) if l2 and decoupled else None

    def won(self, arm: str) -> Counter[tuple[float, float]]:
        """In how many replicates each cell (lr, wd) is the arm's best; empty where there is one replicate."""
        each = (one for part in self.parts.values() for one in part.arms if one.arm == arm and one.n)
        return Counter((one.lr, one.wd) for one in each)

    def edges(self, arm: str) -> dict[int, list[str]]:
        """Where the arm's best cell of a replicate touches that replicate's grid: {3: ['lr largest']}, by its number.

        Only replicates in which it does; of a single one, its own. That no decay is better than any is no edge.
        """
        own = {k: one for k, part in (self.parts or {0: self}).items() for one in part.arms if one.arm == arm and one.n}
        found = {k: [edge for edge in one.edge.split(", ") if edge not in ("", NONE_BETTER)] for k, one in own.items()}
        return {k: edges for k, edges in found.items() if edges}

    @property
    def level(self) -> float:
        """The coverage of the intervals of differences: the protocol's, or over the seeds of one replicate 95 %."""
        return self.protocol.level if self.parts else LEVEL

    @property
    def unit(self) -> str:
        """That of a difference between two arms."""
        return "points" if self.block.measure.is_error else "nats"

    @property
    def scope(self) -> str:
        """Where a claim was judged, and whether that is the paper's own scale."""
        rows, settings = self.block.rows, self.block.settings
        params = set(pd.to_numeric(rows["params"], errors="coerce").dropna().astype(int))
        full = (
            settings["dataset"] == paper.DATASET
            and settings["batch_size"] == str(paper.BATCH)
            and len(params) == 1
            and int(float(settings["epochs"])) in paper.BUDGETS.get(params.pop(), ())
        )
        return f"{self.block.title} ({'at' if full else 'scaled; not at'} the paper's scale)"


@dataclass(frozen=True, eq=False)
class StudyResults:
    """A study: its blocks with their results, and the other tables of its records."""

    blocks: tuple[BlockResults, ...]
    curves: pd.DataFrame
    cycles: pd.DataFrame
    dynamics: pd.DataFrame

    def groups(self, *free: str) -> list[list[BlockResults]]:
        """Blocks that differ in nothing but the settings named and those below: schedule, schedule.warmup_steps."""
        groups: dict[tuple[tuple[str, str], ...], list[BlockResults]] = {}
        below = tuple(f"{name}." for name in free)
        for one in self.blocks:
            settings = one.block.settings.items()
            fixed = [(key, value) for key, value in settings if key not in free and not key.startswith(below)]
            groups.setdefault(tuple(sorted(fixed)), []).append(one)
        return list(groups.values())
