"""Claims that compare the best cells of two arms, paired by seed: 1 to 4, 9, 16 and 23 of the list."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from runner.analysis.arms import prose
from runner.analysis.measures import number
from runner.analysis.results import ArmResult
from runner.analysis.select import NONE_BETTER
from runner.claims.claim import ON_PAR, Claim, Evidence, above, below, jointly, within
from runner.claims.scene import Arena, Scene, by_seed, differences, groups, obstacle

# Figure 1, best colours: Adam + L2 and AdamW by schedule; Figure 2 is the cosine column.
_FIGURE_1 = {"constant": ("6.2 and 6.1", -0.1), "step": ("5.8 and 5.0", -0.8), "cosine": ("4.8 and 3.8", -1.0)}
NOT_THERE = "not in the paper"


def claims(scene: Scene) -> Iterator[Claim]:
    """All rows that the study's arms allow."""
    for arena in scene.arenas:
        for family in ("adam", "sgd"):
            yield from _better(arena, family)
            yield from _l2_gives(arena, family)
        yield from _on_par_with_sgd(arena)
    for group in groups(scene, "schedule"):
        yield from _schedules(group)
    yield from _long_constant(scene)
    for key, papers, changed in (("model.shake", "true", "false"), ("model.norm", "batch", "none")):
        for group in groups(scene, key):
            yield from _control(group, key, papers, changed)


def unit(arena: Arena) -> str:
    return "points" if arena.block.measure.is_error else "nats"


def _better(arena: Arena, family: str) -> Iterator[Claim]:
    schedule = arena.block.settings["schedule"]
    for w in arena.decoupled(family):
        l2 = arena.l2(family, beside=w)
        if l2 is None or max(l2.cells, w.cells) < 2:  # nothing was searched: these are no bests
            continue
        # Where no L2 is better than any, that is the best which L2 offers.
        plain = arena.no_decay(family) if l2.edge == NONE_BETTER else None
        rival = plain or l2
        mine, other = by_seed(arena, w), by_seed(arena, rival)
        instead = f"in place of {l2.arm}, none of which that was tried is better" if plain else ""
        reduced, papers, text = _reduction(mine, other), NOT_THERE, ""
        if family == "adam" and schedule in _FIGURE_1:
            papers = f"{_FIGURE_1[schedule][1]} points ({_FIGURE_1[schedule][0]} %)"
            text = "; the paper's text: 15 %"
        if family == "sgd" and schedule == "cosine":
            papers = "about 0 (both about 3.8 %)"
        yield Claim(
            "1" if family == "adam" else "1 (SGD)",
            f"{w.arm}'s best cell beats " + (f"that of {prose(plain.arm)}" if plain else f"{l2.arm}'s"),
            "Figures 1, 2, 3" if family == "adam" else "Figure 2",
            f"{arena.block.measure.report_name}, {w.arm} minus {rival.arm} ({unit(arena)})",
            below(differences(mine, other)),
            papers,
            arena.scope,
            obstacle([(arena, w), (arena, rival)]),
            "; ".join(remark for remark in (instead, reduced + text if reduced else "") if remark),
        )


def _reduction(mine: dict[int, float], other: dict[int, float]) -> str:
    """The relative reduction of the mean, as the paper gives it (15 % in its text, 21 % read off Figure 2)."""
    seeds = sorted(mine.keys() & other.keys())
    a, b = (float(np.mean([x[seed] for seed in seeds])) if seeds else float("nan") for x in (mine, other))
    return f"relative reduction {number(100 * (1 - a / b), 0, True)} %" if b > 0 else ""


def _l2_gives(arena: Arena, family: str) -> Iterator[Claim]:
    l2, plain = arena.l2(family), arena.no_decay(family)
    if l2 is None or plain is None or family != "adam" or max(l2.cells, plain.cells) < 2:
        return
    margin = arena.block.measure.is_error
    yield Claim(
        "4",
        "Adam gets nothing from L2",
        "Figure 2",
        f"{arena.block.measure.report_name}, {l2.arm} minus {plain.arm} ({unit(arena)}; equal within {ON_PAR})",
        within(differences(by_seed(arena, l2), by_seed(arena, plain))),
        "about 0 (three of the ten best cells have wd 0 or 1/32)",
        arena.scope,
        obstacle([(arena, l2), (arena, plain)], with_none=True) or ("" if margin else "no margin is known for losses"),
    )


def _on_par_with_sgd(arena: Arena) -> Iterator[Claim]:
    pairs = [(a, s) for a in arena.decoupled("adam") for s in arena.decoupled("sgd")]
    name = arena.block.measure.report_name
    margin = "" if arena.block.measure.is_error else "no margin is known for losses"
    for adamw, sgdw in pairs[:1] if max(r.cells for r in arena.results) > 1 else []:
        yield Claim(
            "9",
            "AdamW rivals SGDW",
            "Figure 2",
            f"{name}, {adamw.arm} minus {sgdw.arm} ({unit(arena)}; equal within {ON_PAR})",
            within(differences(by_seed(arena, adamw), by_seed(arena, sgdw))),
            "about 0 (both about 3.8 %)",
            arena.scope,
            obstacle([(arena, adamw), (arena, sgdw)]) or margin,
        )
    adam, sgd = arena.l2("adam"), arena.l2("sgd")
    if adam is not None and sgd is not None:
        yield Claim(
            "9",
            f"{adam.arm} is worse than {sgd.arm}",
            "Figure 2",
            f"{name}, {adam.arm} minus {sgd.arm} ({unit(arena)})",
            above(differences(by_seed(arena, adam), by_seed(arena, sgd))),
            "+1.0 points (4.8 and 3.8 %)",
            arena.scope,
            obstacle([(arena, adam), (arena, sgd)]),
        )


def _schedules(group: list[Arena]) -> Iterator[Claim]:
    """Claims 2 and 3: the same study under several schedules."""
    by_name = {arena.block.settings["schedule"]: arena for arena in group}
    gaps: dict[str, tuple[dict[int, float], list[tuple[Arena, ArmResult]]]] = {}
    what: dict[str, str] = {}
    for name, arena in by_name.items():
        l2, decoupled = arena.l2("adam"), arena.decoupled("adam")
        if l2 is not None and decoupled:
            a, b = by_seed(arena, l2), by_seed(arena, decoupled[0])
            gaps[name] = ({s: a[s] - b[s] for s in a.keys() & b.keys()}, [(arena, l2), (arena, decoupled[0])])
            what[name] = f"gain of {decoupled[0].arm} over {l2.arm}"
    for better, worse, papers in (("cosine", "step", "+0.2"), ("step", "constant", "+0.7")):
        if better in gaps and worse in gaps:
            yield Claim(
                "2",
                f"AdamW's gain is larger under {better} than under {worse}",
                "Figure 1",
                f"{what[better]}, {better} minus {worse} ({unit(by_name[better])})",
                above(differences(gaps[better][0], gaps[worse][0])),
                f"{papers} points",
                by_name[better].scope,
                obstacle(gaps[better][1] + gaps[worse][1]),
            )
    if "cosine" in by_name:
        yield from _cosine_best(by_name)


def _cosine_best(by_name: dict[str, Arena]) -> Iterator[Claim]:
    cosine = by_name["cosine"]
    for mine in cosine.results:
        rivals = [
            (name, arena, other)
            for name, arena in by_name.items()
            if name in ("constant", "step")
            for other in arena.results
            if other.arm == mine.arm and mine.wd_convention
        ]
        found = [below(differences(by_seed(cosine, mine), by_seed(arena, other))) for _, arena, other in rivals]
        tested = [e for e in found if e is not None]
        if not rivals:
            continue
        evidence: Evidence | None = None
        if tested and len(tested) == len(rivals):
            worst = max(tested, key=lambda e: e.value)
            p = jointly(tested)
            evidence = replace(worst, against_null=p[0], against_claim=p[1])
        yield Claim(
            "3",
            f"Cosine is the best schedule for {mine.arm}",
            "Figure 1",
            f"{cosine.block.measure.report_name}, cosine minus the best of {', '.join(n for n, *_ in rivals)} "
            f"({unit(cosine)})",
            evidence,
            f"-{1.0 if mine.wd_convention == 'l2' else 1.2} points" if mine.family == "adam" else NOT_THERE,
            cosine.scope,
            obstacle([(cosine, mine), *((arena, other) for _, arena, other in rivals)]),
        )


def _long_constant(scene: Scene) -> Iterator[Claim]:
    """Claim 16: Adam at a fixed rate with many more epochs against AdamW with a cosine; the networks may differ."""
    fixed = [a for a in scene.arenas if a.block.settings["schedule"] == "constant" and a.l2("adam")]
    cosines = [a for a in scene.arenas if a.block.settings["schedule"] == "cosine" and a.decoupled("adam")]
    for long in fixed:
        for short in cosines:
            times = float(long.block.settings["epochs"]) / float(short.block.settings["epochs"])
            same = all(long.block.settings.get(k) == short.block.settings.get(k) for k in ("dataset", "dataset.hash"))
            adam, adamw = long.l2("adam"), short.decoupled("adam")[0]
            if times < 4 or not same or adam is None:
                continue
            yield Claim(
                "16",
                f"Adam at a fixed rate does not replace AdamW with cosine in {number(times, 0)} times the epochs",
                "Supplementary Figure 2",
                f"{long.block.measure.report_name}, {adam.arm} at a fixed rate minus {adamw.arm} with cosine "
                f"({unit(long)}; not better by {ON_PAR})",
                above(differences(by_seed(long, adam), by_seed(short, adamw)), -ON_PAR),
                "at best comparable (18 times the epochs, a larger network)",
                f"{long.scope}; {short.scope}",
                obstacle([(long, adam), (short, adamw)]),
            )


def _control(group: list[Arena], key: str, papers: str, changed: str) -> Iterator[Claim]:
    """Claim 23: whether AdamW's gain is larger without shake, or without normalization."""
    by_value = {arena.block.settings.get(key, papers).lower(): arena for arena in group}
    if changed not in by_value or papers not in by_value:
        return
    gaps, pairs = [], []
    for value in (changed, papers):
        arena = by_value[value]
        l2, decoupled = arena.l2("adam"), arena.decoupled("adam")
        if l2 is None or not decoupled:
            return
        a, b = by_seed(arena, l2), by_seed(arena, decoupled[0])
        gaps.append({s: a[s] - b[s] for s in a.keys() & b.keys()})
        pairs += [(arena, l2), (arena, decoupled[0])]
    what = "shake regularization" if key == "model.shake" else "BatchNorm"
    yield Claim(
        "23",
        f"AdamW's gain is larger without {what}",
        "not in the paper (Zhuang et al. 2022)",
        f"gain of {pairs[1][1].arm} over {pairs[0][1].arm}, {key}={changed} minus {papers} ({unit(by_value[changed])})",
        above(differences(*gaps)),
        NOT_THERE,
        by_value[changed].scope,
        obstacle(pairs),
    )
