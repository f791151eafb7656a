"""Claims about the shape of a map, 5 to 7 of the list: diagonal or not, separable, found by a line search."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from runner.analysis.landscape import (
    Landscape,
    interaction,
    landscape,
    noise_of,
    regret,
    regret_starts,
    slope,
    slope_rows,
)
from runner.analysis.maps import Map, maps
from runner.claims.claim import Claim, from_bootstrap
from runner.claims.scene import Arena, Scene

DIAGONAL = -0.5  # half-way between a basin along the axis and the diagonal
ALIGNED = 0.3
RATES = 5  # learning rates that a slope is worth asking of


def claims(scene: Scene) -> Iterator[Claim]:
    """For every block with maps; the slopes of each arm, and each decoupled arm against its L2 twin."""
    for arena in scene.arenas:
        noise = noise_of(arena.block)
        found = {map_.arm: (map_, landscape(arena.block, map_, noise)) for map_ in maps(arena.block)}
        for map_, land in found.values():
            if len(land.lr) >= RATES and len(land.wd) >= 3:
                yield _slope(arena, map_, land)
        twins = {result.arm: result.l2 for result in arena.results}
        for map_, land in found.values():
            twin = found.get(twins.get(map_.arm, ""))
            if map_.convention != "l2" and twin and all(min(x.log_error.shape) >= 3 for x in (land, twin[1])):
                yield _separable(arena, map_, land, *twin)
                yield _line_search(arena, map_, land, *twin)


def _forbidden(arena: Arena, *lands: Landscape) -> str:
    if arena.block.measure.on_test:
        return "selected on test"
    return lands[0].noise.obstacle


def _slope(arena: Arena, map_: Map, land: Landscape) -> Claim:
    rows = slope_rows(land)
    l2 = map_.convention == "l2"
    why, evidence = _forbidden(arena, land), None
    if len(rows) < 3:
        why = why or f"{len(rows)} learning rates have their best decay inside the grid; 3 are needed"
    elif not land.noise.obstacle:
        drawn = land.spread(lambda log_error: slope(land, rows, log_error))
        low, high = (-math.inf, DIAGONAL) if l2 else (-ALIGNED, ALIGNED)
        evidence = from_bootstrap(slope(land, rows, land.log_error), drawn, len(rows), low, high)
    axis = "wd" if l2 else "decay per step, in paper units,"
    return Claim(
        ("5" if map_.family == "sgd" else "5 (Adam)") if l2 else "6",
        f"{map_.arm}'s basin is {'diagonal' if l2 else 'along the lr axis'}",
        "Figure 2",
        f"slope of log2(best {axis}) on log2(lr) ({f'below {DIAGONAL}' if l2 else f'within {ALIGNED} of 0'})",
        evidence,
        "about -1" if l2 else "about 0",
        arena.scope,
        why,
        f"over {len(rows)} of {len(land.lr)} learning rates",
    )


def _separable(arena: Arena, map_: Map, land: Landscape, twin_map: Map, twin: Landscape) -> Claim:
    why, evidence = _forbidden(arena, land, twin), None
    if not (land.is_complete and twin.is_complete):
        why = why or "a map is not complete"
    elif map_.convention == "torch":
        why = why or "its grid is rectangular in torch units: search with wd_convention=paper"
    elif not land.noise.obstacle:

        def share(one: Landscape, log_error: np.ndarray, sd: float) -> float:
            return interaction(one, log_error, sd)

        sd = land.noise.sd
        value = share(land, land.log_error, sd) - share(twin, twin.log_error, sd)
        # What is drawn has noise twice: its own and the one drawn.
        drawn = land.spread(lambda e: share(land, e, sd * math.sqrt(2))) - twin.spread(
            lambda e: share(twin, e, sd * math.sqrt(2)), 1
        )
        evidence = from_bootstrap(value, drawn, land.log_error.size, -math.inf, 0.0)
    return Claim(
        "6",
        f"{map_.arm}'s map is more separable than {twin_map.arm}'s",
        "Figures 1, 2",
        f"interaction's share of the variance of log error, {map_.arm} minus {twin_map.arm}",
        evidence,
        "below 0 (by eye)",
        arena.scope,
        why,
    )


def _line_search(arena: Arena, map_: Map, land: Landscape, twin_map: Map, twin: Landscape) -> Claim:
    why, evidence = _forbidden(arena, land, twin), None
    if not (land.is_complete and twin.is_complete):
        why = why or "a map is not complete"
    elif not land.noise.obstacle:
        mine, other = regret_starts(land), regret_starts(twin)
        if not mine or not other:
            why = why or "decay makes no difference at a badly chosen rate"
        else:
            value = regret(land.log_error, mine) - regret(twin.log_error, other)
            drawn = land.spread(lambda e: regret(e, mine)) - twin.spread(lambda e: regret(e, other), 1)
            evidence = from_bootstrap(value, drawn, land.log_error.size, -math.inf, 0.0)
    return Claim(
        "7",
        f"A line search suffices for {map_.arm}, more than for {twin_map.arm}",
        "Figure 2",
        f"mean log regret of the best wd at a bad lr, then the best lr, {map_.arm} minus {twin_map.arm}",
        evidence,
        "below 0 (by eye)",
        arena.scope,
        why,
    )
