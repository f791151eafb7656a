"""The verdicts on the paper's claims: `frame(claims)` for CSV, `tables(claims)` and `markdown(claims)` for readers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from runner.analysis.measures import NOTHING, short
from runner.analysis.protocol import REPLICATES
from runner.claims.claim import CONFIRMED, REFUTED, UNDECIDED, Claim
from runner.claims.evidence import Evidence
from runner.report.setting import names_of
from runner.report.table import Table

COLUMNS = (
    "claim name figure statistic value low high n verdict why paper_value scope windows_low windows_high windows"
).split()
HEAD = ("claim", "says", "verdict", "value [{} %]", "n", "the paper's", "figure")


def frame(claims: Sequence[Claim]) -> pd.DataFrame:
    """claims.csv: one row per claim; `why` is the reason of an undecided one and whatever else is to be said."""
    rows = []
    for claim in claims:
        e = claim.evidence
        row: dict[str, object] = {name: getattr(claim, name) for name in COLUMNS if hasattr(claim, name)}
        row |= {"value": e.value, "low": e.low, "high": e.high, "n": e.n} if e else {}
        row |= dict(zip(("windows_low", "windows_high", "windows"), claim.windows or (None,) * 3, strict=True))
        rows.append(row | {"why": claim.because})
    return pd.DataFrame(rows, columns=COLUMNS).astype({"n": "Int64", "windows": "Int64"})


def summary(claims: Sequence[Claim]) -> str:
    """'3 confirmed, 1 refuted, 5 undecided'."""
    counts = {word: sum(claim.verdict == word for claim in claims) for word in (CONFIRMED, REFUTED, UNDECIDED)}
    return ", ".join(f"{count} {word}" for word, count in counts.items())


def shown(claims: Sequence[Claim], asked: bool) -> list[Claim]:
    """Those for report.html: all where they were asked for, else on the paper's data, and what the study is for."""
    return [claim for claim in claims if asked or claim.is_primary or claim.is_on_the_papers_data]


def tables(claims: Sequence[Claim]) -> list[Table]:
    """One for each scope. A name that stands in several has its setting behind it."""
    names = list(zip(claims, names_of(claims), strict=True))
    return [
        Table(f"On {scope}", _head(some[0][0]), [_cells(*one) for one in some], words=(1, 2, 5, 6))
        for scope in dict.fromkeys(claim.scope for claim in claims)
        if (some := [one for one in names if one[0].scope == scope])
    ]


def markdown(claims: Sequence[Claim]) -> str:
    """claims.md: a table for each scope, and the rules by which they were judged."""
    head = f"# The paper's claims, judged on this study\n\n{summary(claims).capitalize()}."
    parts = [f"## {table.caption}\n\n{table.markdown()}" for table in tables(claims)]
    return "\n\n".join([head, *parts, f"## Rules\n\n{RULES}"]) + "\n"


def _head(claim: Claim) -> list[str]:
    return [text.format(short(100 * claim.level)) for text in HEAD]


def _cells(claim: Claim, name: str) -> list[str]:
    e = claim.evidence
    verdict = claim.verdict if claim.verdict == UNDECIDED else f"**{claim.verdict}**"
    if claim.is_primary:
        verdict += ", primary"
    return [
        claim.claim,
        f"{name}: {claim.statistic}",
        f"{verdict}: {claim.because}" if claim.because else verdict,
        f"{_with_interval(e)}{_elsewhere(claim)}" if e else NOTHING,
        str(e.n) if e else NOTHING,
        claim.paper_value,
        claim.figure,
    ]


def _with_interval(e: Evidence) -> str:
    """'0.11 [0.10, 0.12]'; the value alone where nothing bounds it: so few replicates exclude none."""
    bounded = math.isfinite(e.low) or math.isfinite(e.high)
    return f"{short(e.value, 3)} [{short(e.low, 3)}, {short(e.high, 3)}]" if bounded else short(e.value, 3)


def _elsewhere(claim: Claim) -> str:
    """'; -1.9 to -1.2 in 5 other windows': a map's statistic where the grid or its good cells end elsewhere."""
    if claim.windows is None:
        return ""
    low, high, count = claim.windows
    return f"; {short(low, 3)} to {short(high, 3)} in {count} other {'window' if count == 1 else 'windows'}"


RULES = (
    f"Cells are selected by validation error; bests are compared over at least {REPLICATES} replicates of the whole "
    "study, each with a split, a search and fresh seeds of its own, paired by replicate. So are curves, restarts, "
    "clouds of cells and tuning budgets, all by Student's t, and grokking by the exact sign test, which takes as "
    "many as its level needs. Where replicates were added one by one, e-values that allow it stand for both tests, "
    "and what is read off maps, for which there is none, stays undecided. A selection on test leaves a comparison "
    "undecided, and so does a best cell on its grid's edge where a better one beyond it could take the verdict "
    "back; 'equal' needs the whole interval within a share of the other error, and 'as good', 'rivals' and 'gets "
    "nothing' need it on one side of that. The slope and the separability of a map are read off a smooth surface "
    "through its good cells, and a verdict on them, as on tuning, holds in other windows of the grid too. The best "
    "decay of a budget is the lowest point of the grid itself, between its cells by a parabola, in the one window "
    f"that was searched. The noise of maps is that over replicates, of which they need {REPLICATES} as well; with "
    "one it is that over seeds, which describes that search and decides nothing about optimizers. What happens "
    "within networks, and what a multiplied loss does to one cell, is judged over replicates too, and with one over "
    "its seeds: then it is about that split. A claim is confirmed or refuted at the one-sided alpha / 2 level after "
    "Holm's correction, over the primary claims that the study named beforehand and over all others, which are "
    "exploratory; the intervals are not corrected. A claim about the primary comparison of a setting is read off "
    "the interval in its table instead, so that both say the same. Other rows of a table are not corrected for "
    "being many, so their claims may be undecided. The paper's values were read off its figures, of one run each "
    "and selected on test."
)
