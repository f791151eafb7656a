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

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import pandas as pd

from runner.analysis.protocol import REPLICATES, Protocol
from runner.analysis.sequential import least
from runner.analysis.statistics import estimate
from runner.analysis.verdict import decision
from runner.report.table import Table
from scripts.error_rates.draws import Runs, made_up, noise_of, resplit, runs_of

FIXED = (4, 8, 20)
MOST = 40  # replicates with a look after each
PRIORS = (0.25, 1.0, 4.0, 16.0)  # g
CALM = 0.15  # times the noise, so that there are enough studies in which arms are called equal
EFFECTS = (0, 5, 10, 20)  # percent of the reference's error
WRONG = {0: ("lower", "higher"), 5: ("equal", "lower")}  # an effect is an error that is higher; 5 is the margin


def fixed(difference: np.ndarray, error: np.ndarray, replicates: int) -> tuple[str, bool, int]:
    """(verdict, whether the interval holds the truth that is 0, replicates) of one study judged by the t test."""
    judged = estimate(difference[:replicates])
    return (
        decision(judged, float(error[:replicates].mean()), Protocol(replicates)),
        judged.low <= 0 <= judged.high,
        replicates,
    )


def sequential(difference: np.ndarray, error: np.ndarray, g: float) -> tuple[str, bool, int]:
    """The same of one study with a look after each replicate; whether the interval holds 0 at every look."""
    protocol, holds, verdict = Protocol(0, looks=True, g=g), True, "undecided"
    first = max(REPLICATES, least(g, protocol.alpha))
    for n in range(first, len(difference) + 1):
        judged = protocol.judged(estimate(difference[:n]))
        holds = holds and judged.low <= 0 <= judged.high
        verdict = decision(judged, float(error[:n].mean()), protocol)
        if verdict != "undecided":
            return verdict, holds, n
    return verdict, holds, len(difference)


def rates(source: str, difference: np.ndarray, error: np.ndarray) -> Iterator[dict[str, object]]:
    """A row for each way of judging and each effect; [studies, replicates] without an effect."""
    for effect in EFFECTS:
        # A relative difference makes every error of the arm so much larger.
        shifted = difference + effect / 100 * (error + difference)
        for replicates in (R for R in FIXED if difference.shape[1] >= R):
            judged = [fixed(d, e, replicates) for d, e in zip(shifted, error, strict=True)]
            yield _row(source, f"replicates={replicates}", effect, judged)
        for g in PRIORS:
            judged = [sequential(d, e, g) for d, e in zip(shifted, error, strict=True)]
            yield _row(source, f"auto, g={g:g}, at most {difference.shape[1]}", effect, judged)


def _row(source: str, way: str, effect: int, judged: list[tuple[str, bool, int]]) -> dict[str, object]:
    words = Counter(verdict for verdict, _, _ in judged)
    studies = len(judged)
    row: dict[str, object] = {"source": source, "judged": way, "effect_percent": effect, "studies": studies}
    row |= {word: 100 * words[word] / studies for word in ("lower", "higher", "equal", "undecided")}
    wrong = sum(words[word] for word in WRONG.get(effect, ("lower", "equal")))
    row |= {
        "false_verdicts": 100 * wrong / studies,
        "error_of_that": 100 * math.sqrt(max(wrong, 1) / studies / studies),
    }
    row["coverage"] = 100 * sum(holds for _, holds, _ in judged) / studies if effect == 0 else math.nan
    return row | {"mean_replicates": float(np.mean([n for _, _, n in judged]))}


def old_way(runs: Runs, studies: int, rng: np.random.Generator) -> Iterator[dict[str, object]]:
    """One replicate judged over fresh seeds of its winners, as before there were replicates."""
    for fresh in (10, 60, 200):
        _, error, each = made_up(noise_of(runs), studies, 1, rng, search=4, fresh=fresh)
        judged = [fixed(d, e, fresh) for d, e in zip(each[:, 0], np.repeat(error, fresh, 1), strict=True)]
        yield _row(f"made up from {runs.arm}", f"one replicate, {fresh} fresh seeds", 0, judged)


def markdown(table: pd.DataFrame) -> str:
    """The table for readers, with the default of g alone."""
    shown = table[~table["judged"].str.startswith("auto") | table["judged"].str.contains(f"g={Protocol().g:g},")]
    head = (
        "studies made of",
        "judged by",
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
    for runs in runs_of(given.study):
        most = min(MOST, runs.val.shape[0])
        rows += rates(f"real splits, {runs.arm}", *resplit(runs, given.studies, most, rng))
        noise = noise_of(runs)
        for source, scale in (("made up from", 1.0), (f"made up with {CALM:g} of the noise of", CALM)):
            difference, error, _ = made_up(noise.scaled(scale), given.studies, MOST, rng)
            rows += rates(f"{source} {runs.arm}", difference, error)
        rows += old_way(runs, given.studies, rng)
    table = pd.DataFrame(rows).round(2)
    print(table.to_string(index=False))
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        table.to_csv(given.out / "error_rates.csv", index=False)
        (given.out / "error_rates.md").write_text(markdown(table))


if __name__ == "__main__":
    main()
