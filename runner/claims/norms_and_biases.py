"""Claim 24 of the list: what sparing norms and biases from decay, as is customary, does to the error."""

from __future__ import annotations

from collections.abc import Iterator

from runner.analysis.results import ArmResult
from runner.claims.best_cells import NOT_THERE, unit
from runner.claims.claim import ON_PAR, Claim, apart
from runner.claims.scene import Arena, Scene, by_seed, differences, obstacle


def claims(scene: Scene) -> Iterator[Claim]:
    """One row for each block, optimizer and convention that has an arm of both kinds."""
    for arena in scene.arenas:
        decaying = [r for r in arena.results if r.wd_convention]
        for kind in dict.fromkeys((r.optimizer, r.wd_convention) for r in decaying):
            arms = [r for r in decaying if (r.optimizer, r.wd_convention) == kind]
            spared = [r for r in arms if "decay_params=weights" in r.hyper.split()]
            rest = [r for r in arms if r not in spared]
            if len(spared) == len(rest) == 1 and max(r.cells for r in arms) > 1:
                yield _changes(arena, spared[0], rest[0])


def _changes(arena: Arena, weights: ArmResult, everything: ArmResult) -> Claim:
    margin = f"; equal within {ON_PAR}" if arena.block.measure.is_error else ""
    return Claim(
        "24",
        f"To spare norms and biases changes what {weights.arm.partition(' (')[0]} reaches",
        "not in the paper (customary since BERT)",
        f"{arena.block.measure.report_name}, {weights.arm} minus {everything.arm} ({unit(arena)}{margin})",
        apart(differences(by_seed(arena, weights), by_seed(arena, everything))),
        NOT_THERE,
        arena.scope,
        obstacle([(arena, weights), (arena, everything)]) or ("" if margin else "no margin is known for losses"),
    )
