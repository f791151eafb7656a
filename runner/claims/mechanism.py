"""Claims about the mechanism and its consequences: 18, 19, 21 and 22 of the list."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from runner.analysis.measures import number, short
from runner.analysis.results import OPTIMISTIC
from runner.analysis.select import cells
from runner.analysis.study_results import ArmResult, BlockResults, StudyResults
from runner.claims.claim import ON_PAR, SEEDS, Claim, above, apart, below, within
from runner.claims.comparison import differences
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


def _too_few(n: int, what: str) -> str:
    return "" if n >= SEEDS else f"{n} {what}; {SEEDS} are needed"


def _few(n: int) -> str:
    return _too_few(n, f"{'trial' if n == 1 else 'trials'} with diagnostics=true")


def _mechanism(study: StudyResults, results: BlockResults) -> Iterator[Claim]:
    rows = results.block.rows
    rows = rows.loc[(rows["family"] == "adam") & (rows["wd"] > 0), ["trial", "seed", "decoupled", "wd_paper", "steps"]]
    followed = study.dynamics.merge(rows, on="trial", how="inner")
    decoupled = followed["decoupled"].astype(bool)
    late = followed["step"] > followed["steps"] / 2
    l2, w = followed[late & ~decoupled], followed[late & decoupled]
    if len(l2):
        correlation = l2[l2["kind"] == "all"].groupby("trial")["decay_rank_correlation"].mean()
        yield Claim(
            "decay-by-gradient",
            "Adam + L2 decays weights with large gradients less",
            "rank correlation of a weight's relative decay with sqrt(v), second half of the run",
            below(correlation),
            (results,),
            _few(len(correlation)),
        )
    if len(w):
        variation = w[w["kind"] == "all"].groupby("trial")["decay_cv"].mean()
        yield Claim(
            "decay-alike",
            "AdamW decays all weights alike",
            "coefficient of variation of the relative decay (below 0.01)",
            below(variation, 0.01),
            (results,),
            _few(len(variation)),
        )
        yield _rotation(results, followed[decoupled])
    if len(l2) and len(w):
        gap = differences(_uneven(l2), _uneven(w))
        yield Claim(
            "rotation-uneven",
            "Neurons rotate less alike under Adam + L2",
            "coefficient of variation of the angle per step over neurons, Adam + L2 minus AdamW",
            above(gap),
            (results,),
            _few(len(gap)),
        )


def _uneven(rows: pd.DataFrame) -> dict[int, float]:
    """By seed: how differently neurons rotate, averaged over layers and epochs."""
    variation = rows[rows["kind"] == "normalised"].groupby("seed")["angle_cv"].mean().dropna()
    return {int(str(seed)): float(value) for seed, value in variation.items()}


def _rotation(results: BlockResults, w: pd.DataFrame) -> Claim:
    settled = w[(w["kind"] == "normalised") & (w["step"] * w["wd_paper"] >= SETTLED)]
    ratio = (settled["update_angle"] / settled["predicted_angle"]).groupby(settled["trial"]).mean()
    why = _few(len(ratio))
    if results.block.settings["schedule"] != "constant":
        why = "the rate is not constant, so weights are never in equilibrium"
    elif not len(ratio):
        why = "no trial ran for 3 / (2 wd) steps"
    return Claim(
        "rotation-predicted",
        "AdamW rotates weights as predicted",
        "angle per step of normalized layers over sqrt(2 eta lambda (1-beta1)/(1+beta1)) (within 0.2 of 1)",
        within(ratio, 0.2, 1.0),
        (results,),
        why,
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
            gap = differences(*(_errors(one, str(cell["cell"])) for one in (results, base)))
            yield Claim(
                "loss-scale",
                f"A loss times {factor:g} {'does not change' if decoupled else 'changes'} {cell['arm']}'s error",
                f"{base.block.measure.report_name}, loss times {factor:g} minus times 1 ({base.unit}; "
                f"{f'equal within {ON_PAR}' if decoupled else 'not equal'})",
                within(gap) if decoupled else apart(gap),
                (base,),
                _too_few(len(gap), "common seeds"),
                f"at lr {short(float(cell['lr']))}, wd {short(float(cell['wd']))}",
                papers="0 (theory)" if decoupled else "not 0 (theory)",
            )


def _errors(results: BlockResults, cell: str) -> dict[int, float]:
    rows = results.block.rows
    rows = rows[(rows["cell"] == cell) & (rows["status"] != "failed")]
    return {int(seed): float(v) for seed, v in zip(rows["seed"], rows[results.block.measure.report], strict=True)}


def _grokking(study: StudyResults, group: list[BlockResults]) -> Iterator[Claim]:
    """Claim 22: the smallest training fraction with 99 % validation accuracy at any time, per seed."""
    fractions = sorted({_fraction(results) for results in group})
    if len(fractions) < 2:
        return
    optimistic = any(
        OPTIMISTIC in arm.remark for one in group for arm in one.arms if arm.family == "adam" and arm.wd_convention
    )
    plain_arms, l2_arms = [one.no_decay("adam") for one in group], [one.l2("adam") for one in group]
    decoupled_arms = [next(iter(one.decoupled("adam")), None) for one in group]
    plain = _least(study, group, plain_arms, fractions)
    for name, arms in (("AdamW", decoupled_arms), ("Adam + L2", l2_arms)):
        least = _least(study, group, arms, fractions)
        common = sorted(least.keys() & plain.keys())
        never, never_plain = (sum(math.isinf(by_seed[s]) for s in common) for by_seed in (least, plain))
        # A seed that never reached it counts as one step of the fractions more than was tried.
        top = fractions[-1] + (fractions[-1] - fractions[-2])
        gap = [min(least[s], top) - min(plain[s], top) for s in common]
        why = "no fresh seeds (final_seeds=5)" if optimistic else _too_few(len(common), "common seeds")
        if not why and never == never_plain == len(common):
            why = "neither reached it at any fraction"
        yield Claim(
            "less-data",
            f"{name} generalizes from less data than Adam without decay",
            f"smallest training fraction with 99 % validation accuracy, {name} minus Adam without decay",
            below(gap),
            (group[0],),
            why,
            f"never reached: {never} of {len(common)} and {never_plain} of {len(common)} seeds, "
            f"counted as {number(top)}",
            among=f"fractions {', '.join(f'{f:g}' for f in fractions)}",
        )


def _fraction(results: BlockResults) -> float:
    usual = baseline.of("dataset", "modular")["dataset.fraction"]
    return float(results.block.settings.get("dataset.fraction", usual))


def _least(
    study: StudyResults, group: list[BlockResults], arms: list[ArmResult | None], fractions: list[float]
) -> dict[int, float]:
    """The smallest fraction at which the reported run of each block's arm reached it, by seed; inf where none did."""
    reached: dict[int, list[float]] = {}
    best = study.curves.groupby("trial")["val_error"].min() if len(study.curves) else pd.Series(dtype=float)
    for results, arm in zip(group, arms, strict=True):
        if arm is None or arm.rows is None:
            continue
        for trial, seed, end in zip(*(arm.rows[c] for c in ("trial", "seed", "val_error")), strict=True):
            error = float(np.nanmin([best.get(trial, np.nan), end]))
            reached.setdefault(int(seed), []).append(_fraction(results) if error <= GROKKED else math.inf)
    return {seed: min(of_seed) for seed, of_seed in reached.items() if len(of_seed) == len(fractions)}
