"""Which cell of each arm's grid wins: by the mean validation error over the search seeds.

`winners(trials)` is the call to know; it needs pandas only. `runner.analysis.choice.choose` decides between cells. The
test error decides only where the data has no validation part.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any

import pandas as pd

from runner.analysis.blocks import Block, per_block, replicates, split
from runner.analysis.choice import Cell, Choice, Run, choose, mean

NONE_BETTER = "no decay is better than any"
WINNER_COLUMNS = (
    "block block_label arm family optimizer wd_convention lr wd hyper cell trial n_seeds seeds selected_by "
    "score tie_score trials cells complete_cells on_edge edge not_searched"
).split()
_KEPT = "arm family decoupled optimizer wd_convention lr wd hyper wd_torch wd_paper cell".split()


def winners(trials: pd.DataFrame) -> pd.DataFrame:
    """The best cell per block and arm; an arm without a usable row has none.

    trials: rows of `trials.csv`; those of phase 'search' and 'refine' count, in whatever order. A cell is an arm's (lr,
    wd, other hyperparameters); cells are compared on the seeds that both have (`runner.analysis.choice.choose`). Ties
    go to the smaller mean loss, then the smaller lr, then the smaller wd. A diverged run counts as the chance level in
    its row, where a loss decides as infinitely bad; a failed one does not count.

    Columns: `trial` is the id of the winning cell's row with the smallest of `seeds`; `seeds` a tuple of ints;
    `score` the mean of the column named by `selected_by` (val_error in percent; val_loss for text; test_error
    or test_loss without a validation split); `edge` says where the winner touches the edge of its grid ('' =
    nowhere), `not_searched` which axes have one value ('lr', 'wd', 'lr wd' or '').
    """
    return pd.DataFrame([row for block in split(trials) for row in block_winners(block)], columns=WINNER_COLUMNS)


def block_winners(block: Block) -> list[dict[str, object]]:
    """The rows of `winners` for one block, in the order of `block.arms`."""
    table, rows = cells(block), []
    for arm, choice in choices(block).items():
        of_arm = table[table["arm"] == arm]
        best = of_arm[of_arm["cell"] == choice.winner.name].iloc[0]
        runs = [choice.winner.runs[seed] for seed in choice.seeds]
        edge, not_searched = _edge(block, table, best, choice.winner)
        rows.append(
            {name: best[name] for name in WINNER_COLUMNS if name in best.index}
            | {
                "block": block.id,
                "block_label": block.label,
                "trial": runs[0].trial,
                "n_seeds": len(choice.seeds),
                "seeds": choice.seeds,
                "selected_by": block.measure.select,
                "score": mean([run.score for run in runs]),
                "tie_score": mean([run.tie for run in runs]),
                "trials": of_arm["trials"].sum(),
                "cells": len(of_arm),
                "complete_cells": of_arm["complete"].sum(),
                "on_edge": bool(edge),
                "edge": edge,
                "not_searched": not_searched,
            }
        )
    return rows


def replicated(block: Block, count: int) -> list[str]:
    """Ids of rows of `count` cells of a block, evenly spaced among those up to twice the best score.

    They are trained with fresh seeds so that the noise of a map is known (`runner.analysis.landscape`).
    """
    table = cells(block)
    good = table[table["complete"] & (table["score"] <= 2 * table.loc[table["complete"], "score"].min())]
    ranked = list(good.sort_values(["score_key", "tie_key", "arm", "lr", "wd", "hyper"])["trial"])
    wanted = min(count, len(ranked))
    return [ranked[i * len(ranked) // wanted] for i in range(wanted)]


@per_block
def choices(block: Block) -> dict[str, Choice]:
    """The choice among each arm's cells, for the arms that have a usable search run, in the order of `block.arms`."""
    return {arm: choice for arm, of_arm in runs(block).items() if (choice := choose(of_arm))}


@per_block
def runs(block: Block) -> dict[str, list[Cell]]:
    """The search cells of each arm, with their usable runs: a failed run has no numbers, a diverged one always counts.

    A diverged run without a number is infinitely bad.
    """
    select, tie = block.measure.select, block.measure.tie
    by_arm: dict[str, dict[str, Cell]] = {arm: {} for arm in block.arms}
    # Plain dictionaries: a frame per cell would take most of the report's time.
    for row in _search_rows(block):
        cell = by_arm[row["arm"]].setdefault(row["cell"], Cell(row["cell"], row["lr"], row["wd"], row["hyper"], {}))
        diverged = row["status"] == "diverged"
        if diverged or (row["status"] != "failed" and row[select] == row[select]):
            score, second = (math.inf if diverged and row[name] != row[name] else row[name] for name in (select, tie))
            assert isinstance(cell.runs, dict)
            cell.runs[row["seed"]] = Run(score, second, diverged, row["trial"])
    return {arm: list(of_arm.values()) for arm, of_arm in by_arm.items()}


def search_seeds(block: Block) -> tuple[list[int], list[int]]:
    """(seeds that the winners are chosen by, seeds of search runs that no arm's choice rests on)."""
    needed = {seed for choice in choices(block).values() for seed in choice.shared}
    searched = {seed for of_arm in runs(block).values() for cell in of_arm for seed in cell.runs}
    return sorted(needed), sorted(searched - needed)


def seed_count(block: Block) -> str:
    """How many seeds the arms' cells are averaged over: '3', or '2 to 3' where arms differ; '0' without a search."""
    counts = [len(choice.shared) for choice in choices(block).values()] or [0]
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"


@per_block
def cells(block: Block) -> pd.DataFrame:
    """One row per cell of the search: arm, lr, wd, ..., `seeds`, `n_seeds`, `trials`, `diverged`, `failed`, `score`.

    `score` and `tie_score` are means over those of the arm's shared seeds (`runner.analysis.choice`) that the cell has
    (inf where a diverged run has no number, NaN where nothing can be averaged); `complete` says whether it has all,
    `on_grid` whether it was laid down before, and not added near a winner.
    """
    chosen, by_name = choices(block), {cell.name: cell for of_arm in runs(block).values() for cell in of_arm}
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in _search_rows(block):
        groups.setdefault(row["cell"], []).append(row)
    rows = []
    for name, group in groups.items():
        cell, choice = by_name[name], chosen.get(group[0]["arm"])
        seeds = tuple(seed for seed in choice.shared if seed in cell.runs) if choice else ()
        key = cell.key(seeds)
        rows.append(
            {name: group[0][name] for name in _KEPT}
            | {
                "trial": cell.runs[seeds[0]].trial if seeds else group[0]["trial"],
                "seeds": seeds,
                "n_seeds": len(seeds),
                "trials": len(group),
                "on_grid": any(row["phase"] == "search" for row in group),
                "diverged": sum(row["status"] == "diverged" for row in group),
                "failed": sum(row["status"] == "failed" for row in group),
                "score": mean([cell.runs[seed].score for seed in seeds]),
                "tie_score": mean([cell.runs[seed].tie for seed in seeds]),
                "score_key": key[0],
                "tie_key": key[1],
                "complete": choice is not None and seeds == choice.shared,
            }
        )
    columns = [
        *_KEPT,
        *"trial seeds n_seeds trials on_grid diverged failed score tie_score score_key tie_key complete".split(),
    ]
    numbers = dict.fromkeys(("lr", "wd", "score", "tie_score", "score_key", "tie_key"), float)
    return pd.DataFrame(rows, columns=columns).astype(numbers | {"complete": bool, "on_grid": bool})


def _search_rows(block: Block) -> list[dict[str, Any]]:
    """The search's rows as plain dictionaries, in the order of their seeds.

    Cells that were added near a winner belong to its replicate alone: where several are taken together, the search is
    the grid that all of them have.
    """
    names = [*_KEPT, *"trial seed status phase".split(), block.measure.select, block.measure.tie]
    # Sorted, so that nothing depends on the order in which processes appended their rows.
    phases = ["search"] if len(replicates(block)) > 1 else ["search", "refine"]
    rows = block.rows.loc[block.rows["phase"].isin(phases), names].sort_values(["seed", "trial"])
    return [{str(name): value for name, value in row.items()} for row in rows.to_dict("records")]


def _edge(block: Block, table: pd.DataFrame, best: pd.Series, winner: Cell) -> tuple[str, str]:
    """Where the winner touches its grid's edge, and the axes that were not searched at all.

    wd = 0 belongs to the grid of every arm of the family, so with it the smallest positive wd of several has a
    neighbour; where that is better still, no decay that was tried is the arm's best (`NONE_BETTER`). A cell without a
    usable run of a seed of the winner's was not compared with it, and is no neighbour.
    """
    searched = list(chain(*runs(block).values()))
    table = table[table["cell"].isin({cell.name for cell in searched if winner.common(cell)})]
    of_arm = table[table["arm"] == best["arm"]]
    edge, single = [], []
    lrs = sorted(set(of_arm["lr"]))
    if len(lrs) == 1:
        single.append("lr")
    elif best["lr"] in (lrs[0], lrs[-1]):
        edge.append("lr smallest" if best["lr"] == lrs[0] else "lr largest")
    if best["wd"] > 0:
        zero = table[(table["family"] == best["family"]) & (table["wd"] == 0)]
        wds = sorted(set(of_arm["wd"]))
        if len(wds) == 1:
            single.append("wd")
        elif best["wd"] == wds[-1]:
            edge.append("wd largest")
        elif best["wd"] == wds[0] and zero.empty:
            edge.append("wd smallest")
        elif any(_better(cell, winner) for cell in searched if cell.name in set(zero["cell"])):
            edge.append(NONE_BETTER)  # Some positive decay won among the arm's own cells, but none is better.
    return ", ".join(edge), " ".join(single)


def _better(one: Cell, other: Cell) -> bool:
    """By the score alone, on the seeds that both have."""
    seeds = one.common(other)
    return one.key(seeds)[0] < other.key(seeds)[0]


def seeds_text(seeds: Sequence[int]) -> str:
    """'0 to 4' or '0, 2, 5'."""
    ordered = sorted(seeds)
    if len(ordered) > 2 and ordered == list(range(ordered[0], ordered[-1] + 1)):
        return f"{ordered[0]} to {ordered[-1]}"
    return ", ".join(str(seed) for seed in ordered)
