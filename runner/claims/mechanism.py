"""Claims about the mechanism and its consequences: 18, 19, 21 and 22 of the list."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from runner.analysis.measures import number, short
from runner.analysis.results import OPTIMISTIC
from runner.analysis.select import cells
from runner.claims.best_cells import unit
from runner.claims.claim import ON_PAR, SEEDS, Claim, above, apart, below, within
from runner.claims.scene import Arena, Scene, differences, groups
from runner.records import baseline

SETTLED = 1.5  # steps times decay per step after which weights have come to their equilibrium
GROKKED = 1.0  # percent of validation error


def claims(scene: Scene) -> Iterator[Claim]:
    """What dynamics.csv, a loss multiplier or several training fractions allow."""
    for arena in scene.arenas:
        yield from _mechanism(scene, arena)
    for group in groups(scene, "loss_multiplier"):
        yield from _scale_free(group)
    for group in groups(scene, "dataset.fraction", "dataset.hash", "dataset.test_size"):
        yield from _grokking(scene, group)


def _few(n: int) -> str:
    return "" if n >= SEEDS else f"{n} {'trial' if n == 1 else 'trials'} with diagnostics=true; {SEEDS} are needed"


def _mechanism(scene: Scene, arena: Arena) -> Iterator[Claim]:
    rows = arena.block.rows[(arena.block.rows["family"] == "adam") & (arena.block.rows["wd"] > 0)]
    followed = scene.dynamics.merge(
        rows[["trial", "seed", "decoupled", "wd_paper", "schedule", "steps"]], on="trial", how="inner"
    )
    late = followed[followed["step"] > followed["steps"] / 2]
    l2, w = late[~late["decoupled"].astype(bool)], late[late["decoupled"].astype(bool)]
    if len(l2):
        found = l2[l2["kind"] == "all"].groupby("trial")["decay_rank_correlation"].mean()
        yield Claim(
            "18",
            "Adam + L2 decays weights with large gradients less",
            "Proposition 3",
            "rank correlation of a weight's relative decay with sqrt(v), second half of the run",
            below(found),
            "negative (theory)",
            arena.scope,
            _few(len(found)),
        )
    if len(w):
        found = w[w["kind"] == "all"].groupby("trial")["decay_cv"].mean()
        yield Claim(
            "18",
            "AdamW decays all weights alike",
            "Proposition 3",
            "coefficient of variation of the relative decay (below 0.01)",
            below(found, 0.01),
            "0 (theory)",
            arena.scope,
            _few(len(found)),
        )
        yield _rotation(arena, followed[followed["decoupled"].astype(bool)])
    if len(l2) and len(w):
        gap = differences(_uneven(l2), _uneven(w))
        yield Claim(
            "19",
            "Neurons rotate less alike under Adam + L2",
            "not in the paper (Kosson et al. 2024)",
            "coefficient of variation of the angle per step over neurons, Adam + L2 minus AdamW",
            above(gap),
            "above 0 (theory)",
            arena.scope,
            _few(len(gap)),
        )


def _uneven(rows: pd.DataFrame) -> dict[int, float]:
    """By seed: how differently neurons rotate, averaged over layers and epochs."""
    found = rows[rows["kind"] == "normalised"].groupby("seed")["angle_cv"].mean().dropna()
    return {int(str(seed)): float(value) for seed, value in zip(found.index, found, strict=True)}


def _rotation(arena: Arena, w: pd.DataFrame) -> Claim:
    settled = w[(w["kind"] == "normalised") & (w["step"] * w["wd_paper"] >= SETTLED)]
    ratio = (settled["update_angle"] / settled["predicted_angle"]).groupby(settled["trial"]).mean()
    why = _few(len(ratio))
    if arena.block.settings["schedule"] != "constant":
        why = "the rate is not constant, so weights are never in equilibrium"
    elif not len(ratio):
        why = "no trial ran for 3 / (2 wd) steps"
    return Claim(
        "19",
        "AdamW rotates weights as predicted",
        "not in the paper (Kosson et al. 2024)",
        "angle per step of normalized layers over sqrt(2 eta lambda (1-beta1)/(1+beta1)) (within 0.2 of 1)",
        within(ratio, 0.2, 1.0),
        "1 (theory)",
        arena.scope,
        why,
    )


def _scale_free(group: list[Arena]) -> Iterator[Claim]:
    """Claim 21: the same cell with its loss multiplied."""
    by_factor = {float(arena.block.settings.get("loss_multiplier", "1")): arena for arena in group}
    if 1.0 not in by_factor or len(by_factor) < 2:
        return
    base = by_factor[1.0]
    table = cells(base.block).sort_values(["score_key", "tie_key"])
    for arm, wanted in (("Adam + L2", apart), ("AdamW", within)):
        mine = table[(table["arm"].str.startswith(arm)) & (table["wd"] > 0)]
        for factor, arena in sorted(by_factor.items()):
            # The best cell that was trained with every multiplier.
            common = mine[mine["cell"].isin(set(arena.block.rows["cell"]))]
            if factor == 1 or common.empty:
                continue
            cell = common.iloc[0]
            values = [_errors(one, str(cell["cell"])) for one in (arena, base)]
            gap = differences(*values)
            yield Claim(
                "21",
                f"A loss times {factor:g} {'changes' if wanted is apart else 'does not change'} {cell['arm']}'s error",
                "Proposition 2",
                f"{base.block.measure.report_name}, loss times {factor:g} minus times 1 ({unit(base)}; "
                f"{'not equal' if wanted is apart else f'equal within {ON_PAR}'})",
                wanted(gap),
                "not 0 (theory)" if wanted is apart else "0 (theory)",
                base.scope,
                "" if len(gap) >= SEEDS else f"{len(gap)} common seeds; {SEEDS} are needed",
                f"at lr {short(float(cell['lr']))}, wd {short(float(cell['wd']))}",
            )


def _errors(arena: Arena, cell: str) -> dict[int, float]:
    rows = arena.block.rows[(arena.block.rows["cell"] == cell) & (arena.block.rows["status"] != "failed")]
    return {int(seed): float(v) for seed, v in zip(rows["seed"], rows[arena.block.measure.report], strict=True)}


def _grokking(scene: Scene, group: list[Arena]) -> Iterator[Claim]:
    """Claim 22: the smallest training fraction with 99 % validation accuracy at any time, per seed."""
    arenas = [arena for arena in group if arena.block.settings["dataset"] == "modular"]
    fractions = sorted({_fraction(arena) for arena in arenas})
    if len(fractions) < 2:
        return
    plain = _least(scene, arenas, "", fractions)
    for kind, name in (("decoupled", "AdamW"), ("l2", "Adam + L2")):
        mine = _least(scene, arenas, kind, fractions)
        common = sorted(mine.keys() & plain.keys())
        optimistic = any(
            OPTIMISTIC in r.remark for a in arenas for r in a.results if r.family == "adam" and r.wd_convention
        )
        never = sum(math.isinf(plain[s]) for s in common), sum(math.isinf(mine[s]) for s in common)
        top = fractions[-1] + (fractions[-1] - fractions[-2])  # never: at least one step more than was tried
        gap = [min(mine[s], top) - min(plain[s], top) for s in common]
        why = "no fresh seeds (final_seeds=5)" if optimistic else ""
        if len(common) < SEEDS:
            why = why or f"{len(common)} common seeds; {SEEDS} are needed"
        if common and all(math.isinf(plain[s]) and math.isinf(mine[s]) for s in common):
            why = why or "neither reached it at any fraction"
        yield Claim(
            "22",
            f"{name} generalizes from less data than Adam without decay",
            "not in the paper (Power et al. 2022)",
            f"smallest training fraction with 99 % validation accuracy, {name} minus Adam without decay",
            below(gap),
            "not in the paper",
            f"{arenas[0].scope}; fractions {', '.join(f'{f:g}' for f in fractions)}",
            why,
            f"never reached: {never[1]} of {len(common)} and {never[0]} of {len(common)} seeds, "
            f"counted as {number(top)}",
        )


def _fraction(arena: Arena) -> float:
    return float(arena.block.settings.get("dataset.fraction", baseline.of("dataset", "modular")["dataset.fraction"]))


def _least(scene: Scene, arenas: list[Arena], kind: str, fractions: list[float]) -> dict[int, float]:
    """The smallest fraction at which an arm's reported run reached it, by seed; inf where none did."""
    found: dict[int, list[float]] = {}
    best = scene.curves.groupby("trial")["val_error"].min() if len(scene.curves) else pd.Series(dtype=float)
    for arena in arenas:
        result = arena.no_decay("adam") if not kind else arena.l2("adam") if kind == "l2" else None
        if kind == "decoupled":
            result = next(iter(arena.decoupled("adam")), None)
        if result is None or result.rows is None:
            continue
        for trial, seed, end in zip(*(result.rows[c] for c in ("trial", "seed", "val_error")), strict=True):
            error = float(np.nanmin([best.get(trial, np.nan), end]))
            found.setdefault(int(seed), []).append(_fraction(arena) if error <= GROKKED else math.inf)
    return {seed: min(mine) for seed, mine in found.items() if len(mine) == len(fractions)}
