#!/usr/bin/env python3
"""Whether a study comes to the same verdicts again: `python scripts/repeats.py STUDY [STUDY ...] SIZE`.

STUDY has many replicates, say `python -m runner +experiment=digits replicates=60 study=digits-60`. Replicates 0 to
SIZE - 1 are what the experiment itself would have trained, the next SIZE are the same experiment with other splits and
other seeds, and so on: no two of them share a seed, a search or a split. Each is judged as if it were the whole study:
its headline comparison, or with `--claims` every claim of claims.csv.

Instead of one study there may be several of SIZE replicates or more, with the same settings but for `dataset.split` and
`seed`. The first one lays down how all are judged.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pandas as pd

from runner.analysis.blocks import split
from runner.analysis.primary import own_results, primary
from runner.analysis.protocol import Protocol, protocol_of
from runner.analysis.study_results import StudyResults
from runner.claims.judge import judge
from runner.errors import UserError
from runner.records.commands import entries
from runner.records.read import read
from runner.report.claims_table import frame


def repeats(studies: Sequence[pd.DataFrame], size: int, protocol: Protocol) -> pd.DataFrame:
    """A row for each repetition and each block: what the headline comparison came to.

    Args:
        studies: the rows of each, `read(folder)`, in all with several times `size` replicates.
        size: replicates of one repetition.
        protocol: of the study as it is when run once.

    Returns:
        Columns `run` (from 1), `replicates` ("0-5"), `block` (model, epochs, schedule), `arm`, `reference`,
        `test_error` and `reference_error` (percent), `difference` (points) with its
        interval `low` to `high`, `verdict`.

    Raises:
        UserError: where there are not two repetitions of that size.
    """
    found = [row for run, of, own in runs(studies, size) for row in _run(own, run, of, protocol)]
    if not found:
        raise UserError("no two arms of this study can be compared")
    return pd.DataFrame(found)


def runs(studies: Sequence[pd.DataFrame], size: int) -> list[tuple[int, str, pd.DataFrame]]:
    """The repetitions: number (from 1), replicates ("0-5") and rows of each. Raises as `repeats` does."""
    numbers = [pd.to_numeric(trials["replicate"]).fillna(0) for trials in studies]
    there = [int(number.max()) + 1 for number in numbers]
    if size < 1 or sum(count // size for count in there) < 2:
        counted = " and ".join(map(str, there))
        raise UserError(f"{counted} replicates are no two runs of {size}: SIZE must fit twice into them")
    found = [
        (f"{first}-{first + size - 1}", trials[number.between(first, first + size - 1)])
        for trials, number, count in zip(studies, numbers, there, strict=True)
        for first in range(0, count - size + 1, size)
    ]
    return [(run, of, own) for run, (of, own) in enumerate(found, 1)]


def claims_again(folders: Sequence[Path], size: int, comparisons: int = 0) -> pd.DataFrame:
    """A row for each repetition and each claim: what it came to, by the alpha and the margins of the first command.

    Args:
        folders: of the study or studies, in all with several times `size` replicates.
        size: replicates of one repetition, as if a command had asked for so many.
        comparisons: primary ones of the experiment, which share alpha; 0 for those of this study.

    Returns:
        Columns `run` (from 1), `replicates` ("0-5"), and of claims.csv `claim`, `name`, `scope`, `value`, `low`,
        `high`, `n`, `verdict`, `why`.

    Raises:
        UserError: where there are not two repetitions of that size, or no study.
    """
    first = folders[0]
    more = [pd.concat([read(folder, name) for folder in folders]) for name in ("curves", "cycles", "dynamics")]
    if not entries(first):
        raise UserError(f"{first}: has no study.yaml that says what was laid down")
    tables = []
    for run, of, own in runs([read(folder) for folder in folders], size):
        parts = split(own)
        protocol = run_once(first, size, comparisons or max(1, sum(block.compares for block in parts)))
        blocks = tuple(own_results(block, protocol) for block in parts)
        curves, cycles, dynamics = (table[table["trial"].isin(own["trial"])] for table in more)
        claims = judge(StudyResults(blocks, curves, cycles, dynamics))
        tables.append(frame(claims).assign(run=run, replicates=of))
    if all(table.empty for table in tables):
        raise UserError(f"{first}: speaks to none of the claims")
    return pd.concat(tables)["run replicates claim name scope value low high n verdict why".split()]


def run_once(folder: Path, size: int, comparisons: int) -> Protocol:
    """What the study's first command laid down, for a study of `size` replicates at which nobody looks."""
    found = protocol_of(folder, comparisons)
    return replace(found, replicates=size, looks=False, afterwards=(), raised=(), unknown=())


def _run(own: pd.DataFrame, run: int, replicates: str, protocol: Protocol) -> Iterator[dict[str, object]]:
    for block in split(own):
        found = own_results(block, protocol)
        main = primary(found)
        if main is None or main.difference is None:
            continue
        (reference,) = [arm for arm in found.arms if arm.arm == main.reference]
        measure, judged = block.measure.report, main.difference.difference
        names = (str(block.settings[name]) for name in ("model", "dataset", "epochs", "schedule"))
        yield {
            "run": run,
            "replicates": replicates,
            "block": " ".join(names),
            "arm": main.arm,
            "reference": main.reference,
            "test_error": main.values[measure].mean,
            "reference_error": reference.values[measure].mean,
            "difference": judged.mean,
            "low": judged.low,
            "high": judged.high,
            "verdict": main.verdict,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", type=Path, nargs="+", metavar="STUDY", help="folder of a study; of several each")
    parser.add_argument("size", type=int, metavar="SIZE", help="replicates of one repetition")
    parser.add_argument(
        "--comparisons",
        type=int,
        default=0,
        metavar="N",
        help="primary ones of the experiment, which share alpha; those of STUDY where it is not given",
    )
    parser.add_argument("--claims", action="store_true", help="every claim in place of the headline comparison")
    parser.add_argument("--out", type=Path, metavar="FILE.csv", help="where the table goes besides the terminal")
    chosen = parser.parse_args()
    try:
        if chosen.claims:
            found = claims_again(chosen.studies, chosen.size, chosen.comparisons)
        else:
            studies = [read(folder) for folder in chosen.studies]
            comparisons = chosen.comparisons or sum(block.compares for block in split(studies[0]))
            found = repeats(studies, chosen.size, run_once(chosen.studies[0], chosen.size, comparisons))
    except UserError as error:
        sys.exit(f"repeats: {error}")
    if chosen.out:
        found.to_csv(chosen.out, index=False, float_format="%.6g")
    print(found.round(2).to_string(index=False))
    judged = found["name"] + ", " + found["scope"] if chosen.claims else found["block"]
    for name, group in found.groupby(judged, sort=False):
        print(f"{name}: {group['verdict'].value_counts().to_dict()}")


if __name__ == "__main__":
    main()
