"""Claims about the mechanism and its consequences: 18, 19, 21 and 22 of the list."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from runner.analysis.exact import fewest
from runner.analysis.measures import number, short
from runner.analysis.select import cells
from runner.analysis.study_results import ArmResult, BlockResults, StudyResults
from runner.analysis.verdict import OPTIMISTIC
from runner.claims.claim import Claim
from runner.claims.comparison import differences
from runner.claims.evidence import above, apart, below, from_signs, within
from runner.claims.few import ONE_REPLICATE, few, percent_of
from runner.records import baseline

SETTLED = 1.5  # steps times decay per step after which weights have come to their equilibrium
GROKKED = 1.0  # percent of validation error


def claims(study: StudyResults) -> Iterator[Claim]:
    """What dynamics.csv, a loss multiplier or several training fractions allow."""
    for results in study.blocks:
        yield from _mechanism(study, results)
    for group in study.groups("loss_multiplier"):
        yield from _scale_free(group)
    for group in study.groups("dataset.fraction", "dataset.hash", "dataset.test_size"):
        yield from _grokking(study, [one for one in group if one.block.settings["dataset"] == "modular"])


def _mechanism(study: StudyResults, results: BlockResults) -> Iterator[Claim]:
    """Claims 18 and 19: what happens within networks. With one replicate they are about these networks, by their seeds.

    Trials of one replicate share its split, and those of one seed the data's order too, so neither are samples.
    """
    rows = results.block.rows
    rows = rows.loc[(rows["family"] == "adam") & (rows["wd"] > 0)]
    rows = rows[["trial", "seed", "replicate", "decoupled", "wd_paper", "steps"]]
    followed = study.dynamics.drop(columns=["seed", "replicate"], errors="ignore").merge(rows, on="trial", how="inner")
    followed["unit"] = followed["replicate" if results.parts else "seed"]
    decoupled = followed["decoupled"].astype(bool)
    late = followed["step"] > followed["steps"] / 2
    l2, w = followed[late & ~decoupled], followed[late & decoupled]
    what, remark = _units(results, "seeds")
    what += " with diagnostics=true"
    if len(l2):
        correlation = _means(l2[l2["kind"] == "all"], "decay_rank_correlation")
        yield Claim(
            "decay-by-gradient",
            "Adam + L2 decays weights with large gradients less",
            "rank correlation of a weight's relative decay with sqrt(v), second half of the run",
            below(correlation.values()),
            (results,),
            few(len(correlation), what),
            remark,
            sample=(len(correlation), what),
        )
    if len(w):
        yield _rotation(results, followed[decoupled], what, remark)
    if len(l2) and len(w):
        gap = differences(*(_means(one[one["kind"] == "normalised"], "angle_cv") for one in (l2, w)))
        yield Claim(
            "rotation-uneven",
            "Neurons rotate less alike under Adam + L2",
            "coefficient of variation of the angle per step over neurons, Adam + L2 minus AdamW",
            above(gap),
            (results,),
            few(len(gap), what),
            remark,
            sample=(len(gap), what),
        )


def _units(results: BlockResults, seeds: str) -> tuple[str, str]:
    """What the values are over, and what is to be said of it where that is seeds."""
    return ("replicates", "") if results.parts else (seeds, "over seeds in one split of the data")


def _means(rows: pd.DataFrame, column: str) -> dict[int, float]:
    """By unit: the mean over its trials of their means over layers and epochs."""
    by_unit = rows.groupby(["unit", "trial"])[column].mean().groupby("unit").mean().dropna()
    return {int(str(unit)): float(value) for unit, value in by_unit.items()}


def _rotation(results: BlockResults, w: pd.DataFrame, what: str, remark: str) -> Claim:
    settled = w[(w["kind"] == "normalised") & (w["step"] * w["wd_paper"] >= SETTLED)]
    ratio = _means(settled.assign(ratio=settled["update_angle"] / settled["predicted_angle"]), "ratio")
    why = few(len(ratio), what)
    if results.block.settings["schedule"] != "constant":
        why = "the rate is not constant, so weights are never in equilibrium"
    elif not ratio:
        why = "no trial ran for 3 / (2 wd) steps"
    return Claim(
        "rotation-predicted",
        "AdamW rotates weights as predicted",
        "angle per step of normalized layers over sqrt(2 eta lambda (1-beta1)/(1+beta1)) (within 0.2 of 1)",
        within(ratio.values(), 0.2, 1.0),
        (results,),
        why,
        remark,
        sample=(len(ratio), what),
    )


def _scale_free(group: list[BlockResults]) -> Iterator[Claim]:
    """Claim 21: the same cell with its loss multiplied."""
    by_factor = {float(results.block.settings.get("loss_multiplier", "1")): results for results in group}
    if 1.0 not in by_factor or len(by_factor) < 2:
        return
    base = by_factor[1.0]
    table = cells(base.block).sort_values(["score_key", "tie_key"])
    table = table[(table["family"] == "adam") & (table["wd"] > 0)]
    for decoupled in (False, True):
        ranked = table[table["decoupled"] == decoupled]
        for factor, results in sorted(by_factor.items()):
            # The best cell that was trained with every multiplier.
            common = ranked[ranked["cell"].isin(set(results.block.rows["cell"]))]
            if factor == 1 or common.empty:
                continue
            cell = common.iloc[0]
            gap = percent_of(*(_errors(one, str(cell["cell"])) for one in (results, base)))
            margin = base.protocol.equal_within
            units, of = _units(base, "seeds")
            yield Claim(
                "loss-scale",
                f"A loss times {factor:g} {'does not change' if decoupled else 'changes'} {cell['arm']}'s error",
                f"{base.block.measure.report_quantity}, loss times {factor:g} minus times 1, percent of the latter's "
                f"mean ({f'equal within {margin:g} %' if decoupled else 'not equal'})",
                within(gap, margin) if decoupled else apart(gap, margin),
                (base,),
                few(len(gap), f"common {units}"),
                f"at lr {short(float(cell['lr']))}, wd {short(float(cell['wd']))}{f'; {of}' if of else ''}",
                papers="0 (theory)" if decoupled else "not 0 (theory)",
                sample=(len(gap), units),
            )


def _errors(results: BlockResults, cell: str) -> dict[int, float]:
    """A cell's error by replicate, or by seed where there is one."""
    rows = results.block.rows
    rows = rows[(rows["cell"] == cell) & (rows["status"] != "failed")]
    means = rows.groupby("replicate" if results.parts else "seed")[results.block.measure.report].mean()
    return {int(str(unit)): float(mean) for unit, mean in means.items()}


def _grokking(study: StudyResults, group: list[BlockResults]) -> Iterator[Claim]:
    """Claim 22: the smallest training fraction with 99 % validation accuracy at any time, per replicate.

    One that never reached it needs a larger fraction than was tried, whatever that is. Two that never did are alike.
    Replicates share their split, and their seeds, between the arms, so that each is a pair.
    """
    fractions = sorted({_fraction(results) for results in group})
    if len(fractions) < 2:
        return
    of_adam = [arm for one in group for arm in one.arms if arm.family == "adam"]
    optimistic = any(OPTIMISTIC in arm.remark for arm in of_adam if arm.wd_convention)
    plain_arms, l2_arms = [one.no_decay("adam") for one in group], [one.l2("adam") for one in group]
    decoupled_arms = [next(iter(one.decoupled("adam")), None) for one in group]
    without = _least(study, group, plain_arms, fractions)
    for name, arms in (("AdamW", decoupled_arms), ("Adam + L2", l2_arms)):
        found = _least(study, group, arms, fractions)
        common = sorted(found.keys() & without.keys())
        least, plain = ([one[unit] for unit in common] for one in (found, without))
        evidence, protocol = from_signs(least, plain), group[0].protocol
        differ, needed = evidence.n if evidence else 0, fewest(protocol.alpha)
        why = "no fresh seeds (final_seeds=5)" if optimistic else ""
        if not why and not all(arm.replicates for arm in of_adam):
            why = ONE_REPLICATE
        if not why and common and all(map(math.isinf, [*least, *plain])):
            why = "neither reached it at any fraction"
        if not why and not protocol.looks and differ < needed:
            why = (
                f"{differ} of {len(common)} replicates differ: no exact test of so few reaches "
                f"{short(50 * protocol.alpha)} %; {needed} are needed"
            )
        medians = [_words(float(np.median(values)), fractions) for values in (least, plain) if values]
        never = [f"{sum(map(math.isinf, values))} of {len(values)}" for values in (least, plain)]
        yield Claim(
            "less-data",
            f"{name} generalizes from less data than Adam without decay",
            f"share of replicates in which {name} has 99 % validation accuracy from a smaller training fraction than "
            "Adam without decay, of those in which the fractions differ (above 0.5; exact sign test)",
            evidence,
            (group[0],),
            why,
            f"medians {' and '.join(medians)}; never reached: {' and '.join(never)}",
            among=f"fractions {', '.join(f'{f:g}' for f in fractions)}",
            sample=(differ, "differing replicates"),
        )


def _words(fraction: float, fractions: list[float]) -> str:
    return f"more than {number(fractions[-1])}" if math.isinf(fraction) else number(fraction)


def _fraction(results: BlockResults) -> float:
    usual = baseline.of("dataset", "modular")["dataset.fraction"]
    return float(results.block.settings.get("dataset.fraction", usual))


def _least(
    study: StudyResults, group: list[BlockResults], arms: list[ArmResult | None], fractions: list[float]
) -> dict[int, float]:
    """The smallest fraction at which the reported run of each block's arm reached it; inf where none did.

    By replicate, the median over its seeds; by seed where there is one replicate.
    """
    reached: dict[int, list[float]] = {}
    units: dict[int, int] = {}
    best = study.curves.groupby("trial")["val_error"].min() if len(study.curves) else pd.Series(dtype=float)
    for results, arm in zip(group, arms, strict=True):
        if arm is None or arm.rows is None:
            continue
        unit = "replicate" if arm.replicates else "seed"
        for trial, seed, of, end in zip(*(arm.rows[c] for c in ("trial", "seed", unit, "val_error")), strict=True):
            error = float(np.nanmin([best.get(trial, np.nan), end]))
            reached.setdefault(int(seed), []).append(_fraction(results) if error <= GROKKED else math.inf)
            units[int(seed)] = int(of)
    least = {seed: min(of_seed) for seed, of_seed in reached.items() if len(of_seed) == len(fractions)}
    by_unit: dict[int, list[float]] = {}
    for seed, fraction in least.items():
        by_unit.setdefault(units[seed], []).append(fraction)
    return {unit: float(np.median(values)) for unit, values in by_unit.items()}
