"""Which cell of each arm's grid wins: by the mean validation error over the search seeds, never by test.

`winners(trials)` is the call to know; it needs pandas only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from runner.report.arms import Block, split

NONE_BETTER = "no decay is better than any"
WINNER_COLUMNS = (
    "block block_label arm family optimizer wd_convention lr wd hyper cell trial n_seeds seeds selected_by "
    "score tie_score trials cells complete_cells on_edge edge not_searched"
).split()


def winners(trials: pd.DataFrame) -> pd.DataFrame:
    """The best cell per block and arm; an arm without a complete cell has no row.

    trials: rows of `trials.csv`; only those of phase 'search' count. A cell is an arm's (lr, wd, other
    hyperparameters); it takes part if each search seed of its block has a row that did not fail. Ties go to
    the smaller mean loss, then the smaller lr, then the smaller wd. A diverged run counts as the chance level
    in its row, where a loss decides as infinitely bad.

    Columns: `trial` is the id of the winning cell's row with the smallest seed; `seeds` a tuple of ints;
    `score` the mean of the column named by `selected_by` (val_error in percent; val_loss for text; test_error
    or test_loss without a validation split); `edge` says where the winner touches the edge of its grid ('' =
    nowhere), `not_searched` which axes have one value ('lr', 'wd', 'lr wd' or '').
    """
    found = [row for block in split(trials) for row in block_winners(block)]
    return pd.DataFrame(found, columns=WINNER_COLUMNS)


def block_winners(block: Block) -> list[dict[str, object]]:
    """The rows of `winners` for one block, in the order of `block.arms`."""
    table = cells(block)
    found = []
    for arm in block.arms:
        mine = table[table["arm"] == arm]
        whole = mine[mine["complete"]]
        if whole.empty:
            continue
        best = whole.sort_values(["score_key", "tie_key", "lr", "wd", "hyper"]).iloc[0]
        edge, not_searched = _edge(table, best)
        found.append(
            {name: best[name] for name in WINNER_COLUMNS if name in best.index}
            | {
                "block": block.id,
                "block_label": block.label,
                "selected_by": block.measure.select,
                "trials": int(mine["trials"].sum()),
                "cells": len(mine),
                "complete_cells": len(whole),
                "on_edge": bool(edge),
                "edge": edge,
                "not_searched": not_searched,
            }
        )
    return found


def replicated(trials: pd.DataFrame, count: int) -> list[str]:
    """Ids of rows of `count` cells of each block, evenly spaced among those up to twice the best score.

    They are trained with fresh seeds so that the noise of a map is known (`runner.report.claims.landscape`).
    """
    found: list[str] = []
    for block in split(trials):
        table = cells(block)
        good = table[table["complete"] & (table["score"] <= 2 * table.loc[table["complete"], "score"].min())]
        ranked = list(good.sort_values(["score_key", "tie_key", "arm", "lr", "wd", "hyper"])["trial"])
        step = max(1.0, len(ranked) / count) if count else 1.0
        found += [ranked[int(i * step)] for i in range(min(count, len(ranked)))]
    return found


def search_seeds(block: Block) -> tuple[list[int], list[int]]:
    """(seeds that a cell needs in order to take part, seeds given up because no cell has them and all others).

    The second list is empty but for stray runs: the rarest seeds go first, only until some cell has all the rest.
    """
    rows = block.rows[(block.rows["phase"] == "search") & _usable(block)]
    have = rows.groupby("cell")["seed"].agg(set)
    count = {seed: sum(seed in mine for mine in have) for seed in sorted(set(rows["seed"]))}
    needed, given_up = set(count), []
    while needed and not any(needed <= mine for mine in have):
        rarest = min(needed, key=lambda seed: (count[seed], -seed))
        needed.remove(rarest)
        given_up.append(rarest)
    return sorted(needed), sorted(given_up)


def cells(block: Block) -> pd.DataFrame:
    """One row per cell of the search: arm, lr, wd, ..., `seeds`, `n_seeds`, `trials`, `diverged`, `failed`, `score`.

    `score` and `tie_score` are means over the needed seeds that are there (inf where a diverged run has no
    number, NaN where nothing can be averaged); `complete` says whether all are there.
    """
    needed = set(search_seeds(block)[0])
    keep = "arm family decoupled optimizer wd_convention lr wd hyper wd_torch wd_paper cell".split()
    results = (block.measure.select, block.measure.tie)
    rows = block.rows[block.rows["phase"] == "search"].assign(usable=_usable(block)).sort_values("seed")
    groups: dict[str, list[dict[str, Any]]] = {}
    # Plain dictionaries: a frame per cell would take most of the report's time.
    for row in rows[[*keep, *results, "trial", "seed", "status", "usable"]].to_dict("records"):
        groups.setdefault(row["cell"], []).append({str(name): value for name, value in row.items()})
    found = []
    for group in groups.values():
        mine = list({row["seed"]: row for row in group if row["usable"] and row["seed"] in needed}.values())
        score, tie = (_mean(mine, name) for name in results)
        first = (mine or group)[0]
        found.append(
            {name: first[name] for name in [*keep, "trial"]}
            | {
                "seeds": tuple(int(row["seed"]) for row in mine),
                "n_seeds": len(mine),
                "trials": len(group),
                "diverged": sum(row["status"] == "diverged" for row in group),
                "failed": sum(row["status"] == "failed" for row in group),
                "score": score,
                "tie_score": tie,
                # Means of the same numbers in another order may differ in the last bit: that is a tie.
                # Where nothing converged chance is no result, though some networks that learn do worse.
                "score_key": math.inf if _none_converged(mine) else round(score, 9),
                "tie_key": math.inf if math.isnan(tie) else round(tie, 9),
                "complete": bool(needed) and len(mine) == len(needed),
            }
        )
    columns = [*keep, *"trial seeds n_seeds trials diverged failed score tie_score score_key tie_key complete".split()]
    return pd.DataFrame(found, columns=columns).astype({"complete": bool})


def _usable(block: Block) -> pd.Series:
    """A failed run has no numbers; a diverged one always counts."""
    rows = block.rows
    measured = rows[block.measure.select].notna() & (rows["status"] != "failed")
    return measured | (rows["status"] == "diverged")


def _mean(rows: Sequence[Mapping[str, Any]], column: str) -> float:
    """inf if a diverged run has no number; NaN if another has none, or there are no rows."""
    values = [math.inf if row["status"] == "diverged" and row[column] != row[column] else row[column] for row in rows]
    return math.fsum(values) / len(values) if values else math.nan


def _none_converged(rows: Sequence[Mapping[str, Any]]) -> bool:
    return bool(rows) and all(row["status"] == "diverged" for row in rows)


def _edge(table: pd.DataFrame, best: pd.Series) -> tuple[str, str]:
    """Where the winner touches its grid's edge, and the axes that were not searched at all.

    wd = 0 belongs to the grid of every arm of the family, so with it the smallest positive wd has a neighbour; where
    that is better still, no decay that was tried is the arm's best (`NONE_BETTER`).
    """
    mine = table[table["arm"] == best["arm"]]
    edge, single = [], []
    lrs = sorted(set(mine["lr"]))
    if len(lrs) == 1:
        single.append("lr")
    elif best["lr"] in (lrs[0], lrs[-1]):
        edge.append("lr smallest" if best["lr"] == lrs[0] else "lr largest")
    if best["wd"] > 0:
        zero = table[(table["family"] == best["family"]) & (table["wd"] == 0)]
        wds = [0.0] * (not zero.empty) + sorted(set(mine["wd"]))
        none_better = bool((zero.loc[zero["complete"], "score_key"] < best["score_key"]).any())
        if len(wds) == 1:
            single.append("wd")
        elif best["wd"] == wds[-1]:
            edge.append("wd largest")
        elif best["wd"] == wds[0]:
            edge.append("wd smallest")
        elif none_better:
            edge.append(NONE_BETTER)
    return ", ".join(edge), " ".join(single)


def seeds_text(seeds: Sequence[int]) -> str:
    """'0 to 4' or '0, 2, 5'."""
    ordered = sorted(seeds)
    if len(ordered) > 2 and ordered == list(range(ordered[0], ordered[-1] + 1)):
        return f"{ordered[0]} to {ordered[-1]}"
    return ", ".join(str(seed) for seed in ordered)
