"""The table of error rates: `python scripts/error_rates STUDY [--refined] [--out FOLDER]`.

STUDY has one block of several arms, with many replicates and 8 seeds for each cell. What it found about the arms does
not matter: each study that is judged here compares an arm with itself.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import pandas as pd

from runner.analysis.protocol import Protocol
from runner.errors import UserError
from runner.report.table import Table
from scripts.error_rates.better import rates_of_better
from scripts.error_rates.draws import Runs, made_up, noise_of, resplit, runs_of
from scripts.error_rates.judging import fixed, grouped, rates, row

COMPARISONS = (1, 2)  # primary ones of a study, which share alpha
MOST = 40  # replicates with a look after each
CALM = 0.15  # times the noise, so that there are enough studies in which arms are called equal


def old_way(runs: Runs, studies: int, rng: np.random.Generator) -> Iterator[dict[str, object]]:
    """One replicate judged over fresh seeds of its winners, as before there were replicates."""
    for fresh in (10, 60, 200):
        _, error, each = made_up(noise_of(runs), studies, 1, rng, search=4, fresh=fresh)
        judged = [fixed(d[None], e[None], fresh) for d, e in zip(each[:, 0], np.repeat(error, fresh, 1), strict=True)]
        yield row(f"made up from {runs.arm}", f"one replicate, {fresh} fresh seeds", 0, judged)


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
            one["source"],
            one["judged"],
            str(one["comparisons"]),
            str(one["effect_percent"]),
            f"{one['false_verdicts']:.1f} ± {1.96 * one['error_of_that']:.1f}",
            f"{one['equal']:.1f}",
            f"{one['higher']:.1f}" if one["effect_percent"] else "",
            f"{one['mean_replicates']:.1f}",
        )
        for one in shown.to_dict("records")
    ]
    return Table("Error rates", head, lines).markdown() + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--refined", action="store_true", help="every second rate and decay is one that refine=1 adds")
    given = parser.parse_args()
    if given.studies < 1:
        sys.exit(f"error_rates: --studies {given.studies}: must be at least 1")
    rng = np.random.default_rng(0)
    rows: list[dict[str, object]] = []
    try:
        found = runs_of(given.study)
    except UserError as error:
        sys.exit(f"error_rates: {error}")
    for fine in found:
        runs = fine.laid_down() if given.refined else fine
        most, noise = min(MOST, runs.val.shape[0]), noise_of(runs)
        for comparisons in COMPARISONS:
            count = comparisons * given.studies
            drawn = resplit(runs, count, most, rng)
            rows += rates(f"real splits, {runs.arm}", *(grouped(part, comparisons) for part in drawn))
            for source, scale in (("made up from", 1.0), (f"made up with {CALM:g} of the noise of", CALM)):
                drawn = made_up(noise.scaled(scale), count, MOST, rng)[:2]
                rows += rates(f"{source} {runs.arm}", *(grouped(part, comparisons) for part in drawn))
        if given.refined:
            drawn = resplit(fine, given.studies, most, rng, runs.at)
            rows += rates(f"real splits, {runs.arm}, refine=1", *(grouped(part, 1) for part in drawn))
        source = f"made up from {runs.arm}, compared with the better of two"
        rows += rates_of_better(source, noise, given.studies, MOST, rng)
        rows += old_way(runs, given.studies, rng)
    table = pd.DataFrame(rows).round(2)
    print(table.to_string(index=False))
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        table.to_csv(given.out / "error_rates.csv", index=False)
        (given.out / "error_rates.md").write_text(markdown(table))


if __name__ == "__main__":
    main()
