"""The table of error rates: `python scripts/error_rates STUDY [--out FOLDER] [--studies N]`.

STUDY has one block of several arms, with many replicates and 8 seeds for each cell. What it found about the arms does
not matter: each study that is judged here compares an arm with itself.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import pandas as pd

from runner.analysis.protocol import REPLICATES, Protocol
from runner.analysis.sequential import least
from runner.analysis.statistics import estimate
from runner.analysis.verdict import decision
from runner.errors import UserError
from runner.report.table import Table
from scripts.error_rates.draws import Runs, made_up, noise_of, resplit, runs_of

FIXED = (4, 8, 20)
COMPARISONS = (1, 2)  # primary ones of a study, which share alpha
MOST = 40  # replicates with a look after each
PRIORS = (0.25, 1.0, 4.0, 16.0)  # g
CALM = 0.15  # times the noise, so that there are enough studies in which arms are called equal
EFFECTS = (0, 5, 10, 20)  # percent of the reference's error
WRONG = {0: ("lower", "higher"), 5: ("equal", "lower")}  # an effect is an error that is higher; 5 is the margin


class Said(NamedTuple):
    """What one study says: a verdict for each of its comparisons, whether their intervals hold the truth that is 0 (at
    every look), and after how many replicates."""

    verdicts: tuple[str, ...]
    holds: bool
    replicates: int


def fixed(difference: np.ndarray, error: np.ndarray, replicates: int) -> Said:
    """One study judged by the t test; [comparisons, replicates] of one arm minus the other, and the other's error."""
    protocol = Protocol(replicates, comparisons=len(difference))
    return _said(difference[:, :replicates], error[:, :replicates], protocol)


def sequential(difference: np.ndarray, error: np.ndarray, g: float) -> Said:
    """The same of one study with a look after each replicate, until each of its comparisons is decided."""
    protocol, holds = Protocol(0, looks=True, g=g, comparisons=len(difference)), True
    for n in range(max(REPLICATES, least(g, 1 - protocol.level)), difference.shape[1] + 1):
        said = _said(difference[:, :n], error[:, :n], protocol)
        holds = holds and said.holds
        if "undecided" not in said.verdicts:
            break
    return said._replace(holds=holds)


def _said(difference: np.ndarray, error: np.ndarray, protocol: Protocol) -> Said:
    judged = [protocol.judged(estimate(one)) for one in difference]
    words = tuple(decision(one, float(e.mean()), protocol) for one, e in zip(judged, error, strict=True))
    return Said(words, all(one.low <= 0 <= one.high for one in judged), difference.shape[1])


def rates(source: str, difference: np.ndarray, error: np.ndarray) -> Iterator[dict[str, object]]:
    """A row for each way of judging and each effect; [studies, comparisons, replicates] without an effect."""
    for effect in EFFECTS:
        # A relative difference makes every error of the arm so much larger.
        shifted = difference + effect / 100 * (error + difference)
        most = difference.shape[2]
        for replicates in (R for R in FIXED if most >= R):
            judged = [fixed(d, e, replicates) for d, e in zip(shifted, error, strict=True)]
            yield _row(source, f"replicates={replicates}", effect, judged)
        for g in PRIORS:
            judged = [sequential(d, e, g) for d, e in zip(shifted, error, strict=True)]
            yield _row(source, f"auto, g={g:g}, at most {most}", effect, judged)


def _row(source: str, way: str, effect: int, judged: list[Said]) -> dict[str, object]:
    """Shares of the comparisons with each word, and of the studies in which any is wrong."""
    words = Counter(word for said in judged for word in said.verdicts)
    studies, comparisons = len(judged), len(judged[0].verdicts)
    row: dict[str, object] = {"source": source, "judged": way, "comparisons": comparisons}
    row |= {"effect_percent": effect, "studies": studies}
    row |= {word: 100 * words[word] / studies / comparisons for word in ("lower", "higher", "equal", "undecided")}
    wrong = sum(not set(WRONG.get(effect, ("lower", "equal"))).isdisjoint(said.verdicts) for said in judged)
    row |= {
        "false_verdicts": 100 * wrong / studies,
        "error_of_that": 100 * math.sqrt(max(wrong, 1) / studies / studies),
    }
    row["coverage"] = 100 * sum(said.holds for said in judged) / studies if effect == 0 else math.nan
    return row | {"mean_replicates": float(np.mean([said.replicates for said in judged]))}


def grouped(values: np.ndarray, comparisons: int) -> np.ndarray:
    """[studies * comparisons, replicates] as [studies, comparisons, replicates]: settings with runs of their own."""
    return values.reshape(-1, comparisons, values.shape[-1])


def old_way(runs: Runs, studies: int, rng: np.random.Generator) -> Iterator[dict[str, object]]:
    """One replicate judged over fresh seeds of its winners, as before there were replicates."""
    for fresh in (10, 60, 200):
        _, error, each = made_up(noise_of(runs), studies, 1, rng, search=4, fresh=fresh)
        judged = [fixed(d[None], e[None], fresh) for d, e in zip(each[:, 0], np.repeat(error, fresh, 1), strict=True)]
        yield _row(f"made up from {runs.arm}", f"one replicate, {fresh} fresh seeds", 0, judged)


def markdown(table: pd.DataFrame) -> str:
    """The table for readers, with the default of g alone."""
    shown = table[~table["judged"].str.startswith("auto") | table["judged"].str.contains(f"g={Protocol().g:g},")]
    head = (
        "studies made of",
        "judged by",
        "comparisons",
        "true difference (%)",
        "false verdicts (%)",
        "equal (%)",
        "found (%)",
        "replicates",
    )
    lines = [
        (
            row["source"],
            row["judged"],
            str(row["comparisons"]),
            str(row["effect_percent"]),
            f"{row['false_verdicts']:.1f} ± {1.96 * row['error_of_that']:.1f}",
            f"{row['equal']:.1f}",
            f"{row['higher']:.1f}" if row["effect_percent"] else "",
            f"{row['mean_replicates']:.1f}",
        )
        for row in shown.to_dict("records")
    ]
    return Table("Error rates", head, lines).markdown() + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--studies", type=int, default=2000)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    rows: list[dict[str, object]] = []
    try:
        found = runs_of(given.study)
    except UserError as error:
        sys.exit(f"error_rates: {error}")
    for runs in found:
        most, noise = min(MOST, runs.val.shape[0]), noise_of(runs)
        for comparisons in COMPARISONS:
            count = comparisons * given.studies
            drawn = resplit(runs, count, most, rng)
            rows += rates(f"real splits, {runs.arm}", *(grouped(part, comparisons) for part in drawn))
            for source, scale in (("made up from", 1.0), (f"made up with {CALM:g} of the noise of", CALM)):
                drawn = made_up(noise.scaled(scale), count, MOST, rng)[:2]
                rows += rates(f"{source} {runs.arm}", *(grouped(part, comparisons) for part in drawn))
        rows += old_way(runs, given.studies, rng)
    table = pd.DataFrame(rows).round(2)
    print(table.to_string(index=False))
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        table.to_csv(given.out / "error_rates.csv", index=False)
        (given.out / "error_rates.md").write_text(markdown(table))


if __name__ == "__main__":
    main()
