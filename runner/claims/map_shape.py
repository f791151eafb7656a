"""Claims about the shape of a map, 5 and 6 of the list: where its valley lies, and whether rate and decay add up.

Both are read off a smooth surface through the map's good cells. What it says may depend on where the grid ends, so a
verdict has to hold in the other windows too (`runner.analysis.surface.windows`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from runner.analysis import paper
from runner.analysis.landscape import Landscape, landscape, noise_of
from runner.analysis.maps import Map, maps
from runner.analysis.measures import number
from runner.analysis.study_results import BlockResults, StudyResults
from runner.analysis.surface import counting, fit, windows
from runner.claims.claim import Claim, in_all_windows
from runner.claims.evidence import Evidence, from_bootstrap, from_sign
from runner.claims.few import of_replicates

DIAGONAL = -0.5  # half-way between a basin along the axis and the diagonal
ALIGNED = 0.3
RATES = 5  # learning rates that a slope is worth asking of
Found = Evidence | str  # or in words why there is none


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


def _judged(claim: Claim, land: Landscape, found: Sequence[Found]) -> Claim:
    """The claim with what the map says, and what its other windows say.

    Args:
        claim: without evidence.
        land: the map.
        found: in the map itself, and then in each of the other windows.
    """
    (results,) = claim.places
    why = "selected on test" if results.block.measure.on_test else land.noise.obstacle
    own, *rest = found
    others = [one for one in rest if isinstance(one, Evidence)]
    if why or isinstance(own, str):
        return replace(claim, why=why or str(own))
    why = of_replicates(land.noise.replicates, results.protocol)
    if not others:
        return replace(claim, evidence=own, why=why or f"no other window of the grid can be asked: {rest[0]}")
    values = [one.value for one in others]
    claim = replace(claim, why=why, windows=(min(values), max(values), len(values)), sample=land.sample)
    return in_all_windows(claim, own, others)


def _slope(results: BlockResults, map_: Map, land: Landscape) -> Claim:
    l2 = map_.convention == "l2"
    axis = "wd" if l2 else "decay per step in paper units"
    low, high = (-math.inf, DIAGONAL) if l2 else (-ALIGNED, ALIGNED)
    circles = paper.FIGURE_2.get(map_.family + ("" if l2 else "w"))
    claim = Claim(
        "basin-l2" if l2 else "basin-decoupled",
        f"{map_.arm}'s basin is {'diagonal' if l2 else 'along the lr axis'}",
        f"slope of log2(best {axis}) on log2(lr) ({f'below {DIAGONAL}' if l2 else f'within {ALIGNED} of 0'})",
        None,
        (results,),
        variant="Adam" if l2 and map_.family != "sgd" else "",
        family=map_.family,
        papers=f"{number(circles.slope, 2, True)} (ten circles, which are no map)" if circles else "",
    )
    if land.noise.obstacle:
        return _judged(claim, land, [land.noise.obstacle])
    helps = int(counting(land).sum())
    asked = [_valley(one, low, high, limit) for one, limit in windows(land)]
    remark = f"decay helps at {helps} of {len(land.lr)} learning rates"
    remark += "; in one split of the data" if land.noise.replicates == 1 else ""
    return _judged(replace(claim, remark=remark), land, asked)


def _valley(land: Landscape, low: float, high: float, limit: float) -> Found:
    surface = fit(land, limit, counting(land))
    if isinstance(surface, str) or surface.no_valley:
        return surface if isinstance(surface, str) else surface.no_valley
    return from_sign(surface.slope, surface.cells, surface.steeper, surface.freedom, low, high)


def _separable(results: BlockResults, map_: Map, land: Landscape, twin_map: Map, twin: Landscape) -> Claim:
    claim = Claim(
        "separable",
        f"{map_.arm}'s map is more separable than {twin_map.arm}'s",
        f"interaction's share of the variance around the bottom of a surface through log(error), {map_.arm} minus "
        f"{twin_map.arm}",
        None,
        (results,),
    )
    if map_.convention == "torch":
        return replace(claim, why="its grid is rectangular in torch units: search with wd_convention=paper")
    if land.noise.obstacle:
        return _judged(claim, land, [land.noise.obstacle])
    pairs = zip(windows(land), windows(twin), strict=True)
    return _judged(claim, land, [_shares(one, other, limit) for (one, limit), (other, _) in pairs])


def _shares(land: Landscape, twin: Landscape, limit: float) -> Found:
    """Whether the map's interaction is the smaller. Rates where decay does not help count: that too is its shape."""
    first, second = fit(land, limit), fit(twin, limit, stream=1)
    if isinstance(first, str) or isinstance(second, str):
        return first if isinstance(first, str) else str(second)
    (value, drawn), (of_twin, twins_drawn) = first.interaction, second.interaction
    if math.isnan(value - of_twin):
        return "a map's fitted surface has no curvature beyond its noise"
    n, freedom = first.cells + second.cells, min(first.freedom, second.freedom)
    return from_bootstrap(value - of_twin, drawn - twins_drawn, n, -math.inf, 0.0, freedom)
