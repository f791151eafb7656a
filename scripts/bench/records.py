"""How planning and reading grow with the records: `python scripts/bench records [--quick]`.

A dry run of 100, 1,000 and 10,000 trials; reading trials.csv of up to 100,000 rows, and curves.csv of up to 10 million;
and what a run does before it trains, with so many rows there. Each in a process of its own: seconds and peak memory,
imports included in the memory. --quick stops at a hundredth.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from scripts.bench.common import ROOT, Row, Table, command, options
from scripts.bench.made_up import study
from scripts.bench.plan import planned

MEASURED = """
import sys, time
from pathlib import Path
import pandas as pd
from runner.records import read, records
folder = Path(sys.argv[1])
start = time.perf_counter()
{work}
print(time.perf_counter() - start, count)
"""
DONE, ENDS = "what is done (trials.csv, under the lock)", "where curves.csv ends (before an append)"


def read(what: str, work: str, folder: Path, rows: int) -> Row:
    """A row about one of the calls below, in its own process; `work` sets `count` to the rows that it has seen."""
    ended = command([sys.executable, "-c", MEASURED.format(work=work), str(folder)], cwd=ROOT)
    seconds, count = ended.text.split()
    if int(count) != rows:
        raise SystemExit(f"{what}: {count} of {rows} rows were read")
    return {"what": what, "rows": rows, "seconds": float(seconds), "mib": ended.mib}


def measured(quick: bool) -> Iterator[Row]:
    for trials in (100, 1000) if quick else (100, 1000, 10_000):
        yield planned(trials)
    sizes = ((100, 10), (1000, 100)) if quick else ((1000, 100), (10_000, 100), (100_000, 100))
    with tempfile.TemporaryDirectory() as place:
        for trials, epochs in sizes:
            folder = Path(place) / str(trials)
            ids = study(folder, trials, epochs)[:100]
            yield read("read trials.csv", "count = len(read.read(folder))", folder, trials)
            yield read("read curves.csv", "count = len(read.read(folder, 'curves'))", folder, trials * epochs)
            yield read(
                "read curves.csv, 100 trials of it",
                f"count = len(read.read(folder, 'curves', only={ids}))",
                folder,
                100 * epochs,
            )
            yield read(DONE, "count = len(records.Records(folder).done())", folder, trials)
            ends = f"records.Records(folder).has_curves({ids[:1]}, {{1}}); count = {trials * epochs}"
            yield read(ENDS, ends, folder, trials * epochs)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--quick", action="store_true", help="stop at a hundredth of the rows")
    chosen = parser.parse_args()
    table = Table("what:<42 rows:, seconds mib", chosen.csv)
    for row in measured(chosen.quick):
        table.add(row | {"seconds": round(row["seconds"], 3), "mib": round(row["mib"], 1)})
