"""Claims that compare the best cells of two arms, paired by replicate: 1 to 4, 9, 16 and 23 of the list."""

from __future__ import annotations

import math
from collections.abc import Iterator

from runner.analysis import paper
from runner.analysis.measures import number
from runner.analysis.select import NONE_BETTER
from runner.analysis.study_results import BlockResults, StudyResults
from runner.claims.claim import Claim
from runner.claims.comparison import by_unit, compared, differences, gain, margin_of, obstacle, share
from runner.claims.evidence import Evidence, above, below, jointly, no_higher, no_lower
from runner.claims.listed import LISTED
from runner.claims.relative import between, mean_change, on_its_data, ours, papers, relative


def claims(study: StudyResults) -> Iterator[Claim]:
    """All rows that the study's arms allow."""
    for results in study.blocks:
        for family in ("adam", "sgd"):
            yield from _better(results, family)
        yield from _l2_gives(results)
        yield from _on_par_with_sgd(results)
    for group in study.groups("schedule"):
        yield from _schedules({results.block.settings["schedule"]: results for results in group})
    yield from _long_constant(study)
    for key, usual, changed in (("model.shake", "true", "false"), ("model.norm", "batch", "none")):
        for group in study.groups(key):
            yield from _control(group, key, usual, changed)


def _figure_1(schedule: str) -> tuple[float, float]:
    """The best errors of AdamW and of Adam in the paper's Figure 1."""
    return paper.FIGURE_1["adamw", schedule], paper.FIGURE_1["adam", schedule]


def _figure_1_gains(results: BlockResults, more: str, less: str) -> str:
    """How much larger AdamW's gain is in Figure 1 under one schedule than under another.

    '+0.2 points', and on other data the difference between two gains, each in percent of Adam's error.
    """
    both = {name: _figure_1(name) for name in (more, less)}
    if on_its_data(results):
        gain, other = (adam - adamw for adamw, adam in both.values())
        return f"{gain - other:+.1f} points"
    first, second = (relative(*errors) for errors in both.values())
    parts = [f"{name} {number(relative(*one), 0, True)} %, {between(*one)}" for name, one in both.items()]
    return f"{number(second - first, 0, True)} % ({'; '.join(parts)})"


def _better(results: BlockResults, family: str) -> Iterator[Claim]:
    block, schedule = results.block, results.block.settings["schedule"]
    for decoupled in results.decoupled(family):
        l2 = results.l2(family, beside=decoupled)
        if l2 is None or max(l2.cells, decoupled.cells) < 2:  # Nothing was searched: these are no bests.
            continue
        # Where no L2 is better than any, that is the best which L2 offers.
        plain = results.no_decay(family) if l2.edge == NONE_BETTER else None
        rival = plain or l2
        change, value = ours(results, decoupled, rival), ""
        if family == "adam" and ("adam", schedule) in paper.FIGURE_1:
            value = papers(results, *_figure_1(schedule))
            change += "; the paper's text: -15 %" if change else ""
        if family == "sgd" and schedule == paper.SCHEDULE:
            value = LISTED["adamw-rivals-sgdw"].value
        instead = f"in place of {l2.arm}, none of which that was tried is better" if plain else ""
        beaten = f"that of {block.arm_of[plain.arm].prose}" if plain else f"{l2.arm}'s"
        yield compared(
            "best-cell" if family == "adam" else "best-cell-sgd",
            f"{decoupled.arm}'s best cell beats {beaten}",
            results,
            (decoupled, rival),
            below,
            remark="; ".join(remark for remark in (instead, change) if remark),
            variant="" if family == "adam" else "SGD",
            papers=value,
            family=family,
        )


def _l2_gives(results: BlockResults) -> Iterator[Claim]:
    l2, plain = results.l2("adam"), results.no_decay("adam")
    if l2 is None or plain is None or max(l2.cells, plain.cells) < 2:
        return
    yield compared("l2-gives-nothing", "Adam gets nothing from L2", results, (l2, plain), no_lower)


def _on_par_with_sgd(results: BlockResults) -> Iterator[Claim]:
    adamw, sgdw = (next(iter(results.decoupled(family)), None) for family in ("adam", "sgd"))
    if adamw and sgdw and max(arm.cells for arm in results.arms) > 1:
        remark = ours(results, adamw, sgdw)
        yield compared("adamw-rivals-sgdw", "AdamW rivals SGDW", results, (adamw, sgdw), no_higher, remark=remark)
    adam, sgd = results.l2("adam"), results.l2("sgd")
    if adam is not None and sgd is not None:
        value = papers(results, *(paper.FIGURE_2[family].best_error for family in ("adam", "sgd")))
        name, remark = f"{adam.arm} is worse than {sgd.arm}", ours(results, adam, sgd)
        yield compared("adam-worse-than-sgd", name, results, (adam, sgd), above, papers=value, remark=remark)


def _schedules(by_name: dict[str, BlockResults]) -> Iterator[Claim]:
    """Claims 2 and 3: the same study under several schedules."""
    gains = {name: both for name, results in by_name.items() if (both := gain(results))}
    for better, worse in (("cosine", "step"), ("step", "constant")):
        if better in gains and worse in gains:
            (more, (l2, decoupled)), (less, (l2_less, decoupled_less)) = gains[better], gains[worse]
            changes = [ours(by_name[name], *reversed(gains[name][1])) for name in (better, worse)]
            yield Claim(
                "gain-by-schedule",
                f"AdamW's gain is larger under {better} than under {worse}",
                f"gain of {decoupled.arm} over {l2.arm}, {better} minus {worse} ({by_name[better].unit})",
                above(differences(more, less)),
                (by_name[better],),
                obstacle([(by_name[name], arm) for name in (better, worse) for arm in gains[name][1]]),
                f"{better} {changes[0]}; {worse} {changes[1]}" if all(changes) else "",
                plus=(l2, decoupled_less),
                minus=(decoupled, l2_less),
                papers=_figure_1_gains(by_name[better], better, worse),
            )
    if "cosine" in by_name:
        yield from _cosine_best(by_name)


def _cosine_best(by_name: dict[str, BlockResults]) -> Iterator[Claim]:
    cosine = by_name["cosine"]
    for arm in cosine.arms:
        rivals = [
            (name, results, other)
            for name, results in by_name.items()
            if name in ("constant", "step")
            for other in results.arms
            if other.arm == arm.arm and arm.wd_convention
        ]
        if not rivals:
            continue
        errors = by_unit(cosine, arm)
        compared = [below(differences(errors, by_unit(results, other))) for _, results, other in rivals]
        tested = [e for e in compared if e is not None]
        evidence: Evidence | None = None
        if len(tested) == len(rivals):
            evidence = jointly(*sorted(tested, key=lambda e: e.value, reverse=True))
        figure_1 = {name: best for (optimizer, name), best in paper.FIGURE_1.items() if optimizer == arm.optimizer}
        value = papers(cosine, figure_1.pop("cosine"), min(figure_1.values())) if figure_1 else ""
        changes = [mean_change(errors, by_unit(results, other)) for _, results, other in rivals]
        change = number(max(changes), 0, True) if all(map(math.isfinite, changes)) else ""
        yield Claim(
            "cosine-best",
            f"Cosine is the best schedule for {arm.arm}",
            f"{cosine.block.measure.report_name}, cosine minus the best of {', '.join(name for name, *_ in rivals)} "
            f"({cosine.unit})",
            evidence,
            (cosine,),
            obstacle([(cosine, arm), *((results, other) for _, results, other in rivals)]),
            f"{change} % of the best other's {cosine.block.measure.kind}" if change else "",
            plus=(arm,),
            minus=tuple(other for *_, other in rivals),
            papers=value,
        )


def _long_constant(study: StudyResults) -> Iterator[Claim]:
    """Claim 16: Adam at a fixed rate with many more epochs against AdamW with a cosine; the networks may differ."""
    fixed = [a for a in study.blocks if a.block.settings["schedule"] == "constant"]
    cosines = [a for a in study.blocks if a.block.settings["schedule"] == "cosine"]
    for long in fixed:
        for short in cosines:
            times = float(long.block.settings["epochs"]) / float(short.block.settings["epochs"])
            same = all(long.block.settings.get(k) == short.block.settings.get(k) for k in ("dataset", "dataset.hash"))
            adam, adamw = long.l2("adam"), next(iter(short.decoupled("adam")), None)
            if times < 4 or not same or adam is None or adamw is None:
                continue
            margin = margin_of(short, adamw)
            yield Claim(
                "long-constant",
                f"Adam at a fixed rate does not replace AdamW with cosine in {number(times, 0)} times the epochs",
                f"{long.block.measure.report_name}, {adam.arm} at a fixed rate minus {adamw.arm} with cosine "
                f"({long.unit}; not lower by {number(margin, long.block.measure.digits)}, {share(long)})",
                no_lower(differences(by_unit(long, adam), by_unit(short, adamw)), margin),
                (long, short),
                obstacle([(long, adam), (short, adamw)]),
                plus=(adam,),
                minus=(adamw,),
            )


def _control(group: list[BlockResults], key: str, papers: str, changed: str) -> Iterator[Claim]:
    """Claim 23: whether AdamW's gain is larger without shake, or without normalization."""
    by_value = {results.block.settings.get(key, papers).lower(): results for results in group}
    if changed not in by_value or papers not in by_value:
        return
    gains = [gain(by_value[value]) for value in (changed, papers)]
    if gains[0] is None or gains[1] is None:
        return
    (more, (l2, decoupled)), (less, arms) = gains[0], gains[1]
    what = "shake regularization" if key == "model.shake" else "BatchNorm"
    yield Claim(
        "gain-in-control",
        f"AdamW's gain is larger without {what}",
        f"gain of {decoupled.arm} over {l2.arm}, {key}={changed} minus {papers} ({by_value[changed].unit})",
        above(differences(more, less)),
        (by_value[changed],),
        obstacle([*((by_value[changed], arm) for arm in (l2, decoupled)), *((by_value[papers], arm) for arm in arms)]),
        plus=(l2, arms[1]),
        minus=(decoupled, arms[0]),
    )
