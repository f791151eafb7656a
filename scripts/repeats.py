#!/usr/bin/env python3
"""Whether a study comes to the same verdict again: `python scripts/repeats.py STUDY SIZE [--out FILE.csv]`.

STUDY has many replicates, say `python -m runner +experiment=digits replicates=60 study=digits-60`. Replicates 0 to
SIZE - 1 are what the experiment itself would have trained, the next SIZE are the same experiment with other splits and
other seeds, and so on: no two of them share a seed, a search or a split. Each is judged as if it were the whole study.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pandas as pd

from runner.analysis.blocks import split
from runner.analysis.primary import primary
from runner.analysis.protocol import Protocol
from runner.analysis.results import results
from runner.errors import UserError
from runner.records.read import read


def repeats(trials: pd.DataFrame, size: int, protocol: Protocol) -> pd.DataFrame:
    """A row for each repetition and each block: what the headline comparison came to.

    Args:
        trials: a study's rows, `read(folder)`, with several times `size` replicates.
        size: replicates of one repetition.
        protocol: of the study as it is when run once.

    Returns:
        Columns `run` (from 1), `replicates` ("0-5"), `block` (model, epochs, schedule), `arm`, `reference`,
        `test_error` and `reference_error` (percent), `difference` (points) with its
        interval `low` to `high`, `verdict`.

    Raises:
        UserError: where there are not two repetitions of that size.
    """
    highest = int(pd.to_numeric(trials["replicate"]).fillna(0).max())
    runs = (highest + 1) // size if size > 0 else 0
    if runs < 2:
        raise UserError(
            f"{highest + 1} replicates are no two runs of {size}: SIZE is at least 1 and at most half of them"
        )
    return pd.DataFrame([row for run in range(runs) for row in _run(trials, run, size, protocol)])


def _run(trials: pd.DataFrame, run: int, size: int, protocol: Protocol) -> Iterator[dict[str, object]]:
    first, last = run * size, (run + 1) * size - 1
    own = trials[pd.to_numeric(trials["replicate"]).fillna(0).between(first, last)]
    for block in split(own):
        found = results(block, "", protocol)
        main = primary(found.arms)
        if main is None or main.difference is None:
            continue
        (reference,) = [arm for arm in found.arms if arm.arm == main.reference]
        measure, judged = block.measure.report, main.difference.difference
        names = (str(block.settings[name]) for name in ("model", "dataset", "epochs", "schedule"))
        yield {
            "run": run + 1,
            "replicates": f"{first}-{last}",
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
    parser.add_argument("study", type=Path, metavar="STUDY", help="its folder")
    parser.add_argument("size", type=int, metavar="SIZE", help="replicates of one repetition")
    parser.add_argument(
        "--comparisons",
        type=int,
        default=0,
        metavar="N",
        help="primary ones of the experiment, which share alpha; those of STUDY where it is not given",
    )
    parser.add_argument("--out", type=Path, metavar="FILE.csv", help="where the table goes besides the terminal")
    chosen = parser.parse_args()
    try:
        trials = read(chosen.study)
        comparisons = chosen.comparisons or sum(block.compares for block in split(trials))
        found = repeats(trials, chosen.size, Protocol(chosen.size, comparisons=max(1, comparisons)))
    except UserError as error:
        sys.exit(f"repeats: {error}")
    if chosen.out:
        found.to_csv(chosen.out, index=False, float_format="%.6g")
    print(found.round(2).to_string(index=False))
    for name, group in found.groupby("block"):
        print(f"{name}: {group['verdict'].value_counts().to_dict()}")


if __name__ == "__main__":
    main()
