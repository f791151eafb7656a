"""The tables of results/protocol-cpu/README.md, from error_rates.csv: `tables(path)` has them by name.

Where a cell has two numbers, they are of the two arms that were compared with themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from runner.analysis.protocol import Protocol
from scripts.error_rates.judging import EFFECTS, FIXED, PRIORS

ARMS = ("Adam + L2", "AdamW")
AUTO = f"auto, g={Protocol().g:g}, "
WAYS = {**{f"replicates={number}": f"replicates={number}" for number in FIXED}, "replicates=auto": AUTO}
Row = Any


def tables(path: Path) -> dict[str, str]:
    """Each table as Markdown; `path` is of error_rates.csv."""
    rates = pd.read_csv(path)

    def of(source: str, way: str, effect: int = 0, comparisons: int = 1) -> Row:
        """The row of one way of judging: `way` is how its name begins, up to a comma or the end."""
        same = (rates["judged"] == way) | rates["judged"].str.startswith(way if way.endswith(", ") else f"{way}, ")
        (row,) = rates[
            (rates["source"] == source)
            & same
            & (rates["effect_percent"] == effect)
            & (rates["comparisons"] == comparisons)
        ].itertuples()
        return row

    def both(text: Callable[[Row], str], source: str, way: str, **more: int) -> str:
        """What is to be said of either arm."""
        return " and ".join(text(of(source.format(arm), way, **more)) for arm in ARMS)

    real, calm = "real splits, {}", "made up with 0.15 of the noise of Adam + L2"
    wrong = [
        [
            f"`{name}`",
            both(_wrong, real, way),
            both(_wrong, real, way, comparisons=2),
            both(_wrong, real + ", refine=1", way),
            both(_wrong, "made up from {}, compared with the better of two", way),
        ]
        for name, way in WAYS.items()
    ]
    power = [
        [
            f"`{name}`",
            *(both(_found, real, way, effect=effect) + " %" for effect in EFFECTS[1:]),
            both(_replicates, real, way, effect=20),
        ]
        for name, way in WAYS.items()
    ]
    before = [
        [str(fresh), both(_wrong, "made up from {}", f"one replicate, {fresh} fresh seeds")] for fresh in (10, 60, 200)
    ]
    equal = [
        [f"`{name}`", f"{of(calm, way).equal:.1f}", f"{of(calm, way, effect=5).equal:.1f}"]
        for name, way in WAYS.items()
    ]
    priors = [
        [
            f"{g:g}",
            both(lambda row: f"{row.false_verdicts:.1f}", real, f"auto, g={g:g}, "),
            both(_found, real, f"auto, g={g:g}, ", effect=20) + " %",
            both(_replicates, real, f"auto, g={g:g}, ", effect=20),
        ]
        for g in PRIORS
    ]
    two = ("one comparison", "two that share alpha", "with `refine=1`", "beside the better of two arms (made up)")
    return {
        "false verdicts": _table(("judged by", *two), wrong),
        "power": _table(("judged by", *(f"{e} % found" for e in EFFECTS[1:]), "replicates at 20 %"), power),
        "one replicate": _table(("one replicate, fresh seeds", "false verdicts (%)"), before),
        "equal": _table(("judged by", "equal arms called equal (%)", "arms 5 % apart called equal (%)"), equal),
        "priors": _table(("g", "false verdicts (%)", "20 % found", "replicates at 20 %"), priors),
    }


def _wrong(row: Row) -> str:
    return f"{row.false_verdicts:.1f} ± {1.96 * row.error_of_that:.1f}"


def _found(row: Row) -> str:
    return f"{row.higher:.0f}"


def _replicates(row: Row) -> str:
    return f"{row.mean_replicates:.1f}"


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---", *["---:"] * (len(head) - 1)], *lines]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)
