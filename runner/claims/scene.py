"""What claims are judged on: the blocks of a study with their results, and how blocks belong together.

`Scene` holds a study; `groups(scene, 'schedule')` gives the blocks that differ in nothing but the schedule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from runner.analysis.arms import Block
from runner.analysis.results import OPTIMISTIC, ArmResult
from runner.analysis.select import NONE_BETTER
from runner.claims.claim import SEEDS

# Parameters of the paper's networks, the epochs that it gave them, and its batch size.
_PAPERS = {11_653_978: (25, 100, 400), 26_192_922: (1800,)}
_BATCH = 128


@dataclass(frozen=True, eq=False)
class Arena:
    """A block and what each of its arms reached."""

    block: Block
    results: tuple[ArmResult, ...]

    def no_decay(self, family: str) -> ArmResult | None:
        return next((r for r in self.results if r.family == family and not r.wd_convention), None)

    def l2(self, family: str, beside: ArmResult | None = None) -> ArmResult | None:
        """The family's L2; where the study holds several, that which decays what `beside` does, or the first."""
        found = [r for r in self.results if r.family == family and r.wd_convention == "l2"]
        compared = [r for r in found if beside is not None and r.arm == beside.l2]
        return next(iter([*compared, *found]), None)

    def decoupled(self, family: str) -> list[ArmResult]:
        """AdamW or SGDW; several where the study holds several conventions."""
        return [r for r in self.results if r.family == family and r.wd_convention not in ("", "l2")]

    @property
    def scope(self) -> str:
        """Where a claim was judged, and whether that is the paper's own scale."""
        return f"{self.block.title} ({'at' if self.is_papers else 'scaled; not at'} the paper's scale)"

    @property
    def is_papers(self) -> bool:
        rows, settings = self.block.rows, self.block.settings
        params = set(pd.to_numeric(rows["params"], errors="coerce").dropna().astype(int))
        epochs = int(float(settings["epochs"]))
        return (
            settings["dataset"] == "cifar10"
            and settings["batch_size"] == str(_BATCH)
            and len(params) == 1
            and epochs in _PAPERS.get(params.pop(), ())
        )


@dataclass(frozen=True, eq=False)
class Scene:
    """A study: its arenas and the other tables of its records."""

    arenas: tuple[Arena, ...]
    curves: pd.DataFrame
    cycles: pd.DataFrame
    dynamics: pd.DataFrame


def groups(scene: Scene, *free: str) -> list[list[Arena]]:
    """Arenas that are equal but for the settings named (and those below them: schedule, schedule.warmup_steps)."""
    found: dict[tuple[tuple[str, str], ...], list[Arena]] = {}
    for arena in scene.arenas:
        kept = [
            (k, v) for k, v in arena.block.settings.items() if not any(k == f or k.startswith(f"{f}.") for f in free)
        ]
        found.setdefault(tuple(sorted(kept)), []).append(arena)
    return list(found.values())


def by_seed(arena: Arena, result: ArmResult, column: str = "") -> dict[int, float]:
    """The number that the arm's runs are compared by (or another column), for each seed."""
    if result.rows is None:
        return {}
    name = column or arena.block.measure.report
    return {int(seed): float(v) for seed, v in zip(result.rows["seed"], result.rows[name], strict=True)}


def differences(a: dict[int, float], b: dict[int, float]) -> list[float]:
    """a - b for the seeds that both have."""
    return [round(a[seed] - b[seed], 9) for seed in sorted(a.keys() & b.keys())]


def obstacle(pairs: Sequence[tuple[Arena, ArmResult]], searched: bool = True, with_none: bool = False) -> str:
    """What forbids a comparison of these arms' bests; '' where nothing does.

    `searched`: each must have had a grid. `with_none`: it does not matter that no decay is better than the smallest,
    because no decay is part of the comparison.
    """
    for arena, result in pairs:
        if arena.block.measure.on_test:
            return "selected on test"
        if not result.phase:
            return f"{result.arm} has no result ({result.remark})"
        if OPTIMISTIC in result.remark:
            return f"{result.arm} has no fresh seeds (final_seeds={SEEDS})"
        if searched and result.wd_convention and "wd" in result.not_searched.split():
            return f"{result.arm} was tried with one weight decay only"
        if result.edge and not (with_none and result.edge == NONE_BETTER):
            return f"{result.arm}'s best cell is on its grid's edge ({result.edge})"
        if result.failed:
            return f"{result.failed} runs of {result.arm} failed"
    common = set.intersection(*(set(result.seeds) for _, result in pairs))
    if len(common) < SEEDS:
        return f"{len(common)} common seeds; {SEEDS} are needed"
    return ""
