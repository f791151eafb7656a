"""Claims about the shape of a map, 5 to 7 of the list: diagonal or not, separable, found by a line search."""

from __future__ import annotations

import math
from collections.abc import Iterator

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
from runner.analysis.study_results import BlockResults, StudyResults
from runner.claims.claim import Claim, from_bootstrap

DIAGONAL = -0.5  # half-way between a basin along the axis and the diagonal
ALIGNED = 0.3
RATES = 5  # learning rates that a slope is worth asking of


def claims(study: StudyResults) -> Iterator[Claim]:
    """For every block with maps; the slopes of each arm, and each decoupled arm against its L2 twin."""
    for results in study.blocks:
        noise = noise_of(results.block)
        by_arm = {map_.arm: (map_, landscape(results.block, map_, noise)) for map_ in maps(results.block)}
        for map_, land in by_arm.values():
            if len(land.lr) >= RATES and len(land.wd) >= 3:
                yield _slope(results, map_, land)
        twins = {arm.arm: arm.l2 for arm in results.arms}
        for map_, land in by_arm.values():
            twin = by_arm.get(twins[map_.arm])
            if map_.convention != "l2" and twin and all(min(one.log_error.shape) >= 3 for one in (land, twin[1])):
                yield _separable(results, map_, land, *twin)
                yield _line_search(results, map_, land, *twin)


def _forbidden(results: BlockResults, land: Landscape) -> str:
    return "selected on test" if results.block.measure.on_test else land.noise.obstacle


def _slope(results: BlockResults, map_: Map, land: Landscape) -> Claim:
    rows = slope_rows(land)
    l2 = map_.convention == "l2"
    why, evidence = _forbidden(results, land), None
    if len(rows) < 3:
        why = why or f"{len(rows)} learning rates have their best decay inside the grid; 3 are needed"
    elif not land.noise.obstacle:
        drawn = land.spread(lambda log_error: slope(land, rows, log_error))
        low, high = (-math.inf, DIAGONAL) if l2 else (-ALIGNED, ALIGNED)
        evidence = from_bootstrap(slope(land, rows, land.log_error), drawn, len(rows), low, high)
    axis = "wd" if l2 else "decay per step, in paper units,"
    return Claim(
        "basin-l2" if l2 else "basin-decoupled",
        f"{map_.arm}'s basin is {'diagonal' if l2 else 'along the lr axis'}",
        f"slope of log2(best {axis}) on log2(lr) ({f'below {DIAGONAL}' if l2 else f'within {ALIGNED} of 0'})",
        evidence,
        (results,),
        why,
        f"over {len(rows)} of {len(land.lr)} learning rates",
        variant="Adam" if l2 and map_.family != "sgd" else "",
        family=map_.family,
    )


def _separable(results: BlockResults, map_: Map, land: Landscape, twin_map: Map, twin: Landscape) -> Claim:
    why, evidence = _forbidden(results, land), None
    if not (land.is_complete and twin.is_complete):
        why = why or "a map is not complete"
    elif map_.convention == "torch":
        why = why or "its grid is rectangular in torch units: search with wd_convention=paper"
    elif not land.noise.obstacle:
        sd = land.noise.sd
        value = interaction(land, land.log_error, sd) - interaction(twin, twin.log_error, sd)
        twice = sd * math.sqrt(2)  # What is drawn has noise twice: its own and the one drawn.
        drawn = land.spread(lambda error: interaction(land, error, twice))
        drawn = drawn - twin.spread(lambda error: interaction(twin, error, twice), 1)
        evidence = from_bootstrap(value, drawn, land.log_error.size, -math.inf, 0.0)
    return Claim(
        "separable",
        f"{map_.arm}'s map is more separable than {twin_map.arm}'s",
        f"interaction's share of the variance of log error, {map_.arm} minus {twin_map.arm}",
        evidence,
        (results,),
        why,
    )


def _line_search(results: BlockResults, map_: Map, land: Landscape, twin_map: Map, twin: Landscape) -> Claim:
    why, evidence = _forbidden(results, land), None
    if not (land.is_complete and twin.is_complete):
        why = why or "a map is not complete"
    elif not land.noise.obstacle:
        starts, twin_starts = regret_starts(land), regret_starts(twin)
        if not starts or not twin_starts:
            why = why or "decay makes no difference at a badly chosen rate"
        else:
            value = regret(land.log_error, starts) - regret(twin.log_error, twin_starts)
            drawn = land.spread(lambda error: regret(error, starts))
            drawn = drawn - twin.spread(lambda error: regret(error, twin_starts), 1)
            evidence = from_bootstrap(value, drawn, land.log_error.size, -math.inf, 0.0)
    return Claim(
        "line-search",
        f"A line search suffices for {map_.arm}, more than for {twin_map.arm}",
        f"mean log regret of the best wd at a bad lr, then the best lr, {map_.arm} minus {twin_map.arm}",
        evidence,
        (results,),
        why,
    )
