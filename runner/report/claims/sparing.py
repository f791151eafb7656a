"""Claim 24 of the list: what sparing norms and biases from decay, as is customary, does to the error."""

from __future__ import annotations

from collections.abc import Iterator

from runner.report.arms import family_name
from runner.report.claims.bests import NOT_THERE, unit
from runner.report.claims.claim import ON_PAR, Claim, apart
from runner.report.claims.scene import Scene, by_seed, differences, obstacle


def claims(scene: Scene) -> Iterator[Claim]:
    """One row for each block and family that has arms of both kinds."""
    for arena in scene.arenas:
        for family in ("adam", "sgd"):
            arms = arena.decoupled(family)
            sparing = [r for r in arms if "decay_params=weights" in r.hyper.split()]
            decaying = [r for r in arms if r not in sparing]
            if len(sparing) != 1 or len(decaying) != 1 or max(r.cells for r in arms) < 2:
                continue
            pairs = [(arena, sparing[0]), (arena, decaying[0])]
            margin = f"; equal within {ON_PAR}" if arena.block.measure.is_error else ""
            yield Claim(
                "24",
                f"To spare norms and biases changes what {family_name(family)}W reaches",
                "not in the paper (customary since BERT)",
                f"{arena.block.measure.report_name}, {sparing[0].arm} minus {decaying[0].arm} ({unit(arena)}{margin})",
                apart(differences(by_seed(arena, sparing[0]), by_seed(arena, decaying[0]))),
                NOT_THERE,
                arena.scope,
                obstacle(pairs) or ("" if margin else "no margin is known for losses"),
            )
