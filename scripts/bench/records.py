"""How planning and reading grow with the records: `python scripts/bench records [--quick]`.

A dry run of 100, 1,000 and 10,000 trials; reading trials.csv of up to 100,000 rows, and curves.csv of up to 10 million;
and what a run does before it trains, with so many rows there. Each in a process of its own: seconds and peak memory,
imports included in the memory. --quick stops at a hundredth.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from scripts.bench.common import ROOT, Row, Table, options

MEASURED = """
import resource, sys, time
{imports}
start = time.perf_counter()
{work}
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, count)
"""
READ = """
from pathlib import Path
import pandas as pd
from runner.records import read, records
folder = Path(sys.argv[1])
"""
DRY = """
import resource, subprocess, sys
subprocess.run([sys.executable, "-m", "runner", *sys.argv[1:]])
print("MIB", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
"""
DONE, ENDS = "what is done (trials.csv, under the lock)", "where curves.csv ends (before an append)"


def planned(trials: int) -> Row:
    """A dry run of so many trials, as typed."""
    seeds = ",".join(str(seed) for seed in range(trials // 100))
    lrs, wds = (",".join(f"{base * 1.1**k:.6g}" for k in range(10)) for base in (1e-3, 1e-2))
    typed = ["-m", "dry_run=true", "optimizer=adamw", f"lr={lrs}", f"wd={wds}", f"seed={seeds}"]
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as empty:
        done = subprocess.run([sys.executable, "-c", DRY, *typed, f"results={empty}"], capture_output=True, text=True)
    if f"{trials} trials" not in done.stdout:
        raise SystemExit(f"the dry run of {trials} trials said: {done.stdout[-300:]} {done.stderr[-300:]}")
    mib = float(done.stdout.split("MIB ")[1])
    return {"what": "dry run, process start to end", "rows": trials, "seconds": time.perf_counter() - start, "mib": mib}


def read(what: str, work: str, folder: Path, rows: int) -> Row:
    """One of the calls below, in its own process."""
    code = MEASURED.format(imports=READ, work=work)
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    seconds, mib, count = done.stdout.splitlines()[-1].split()  # notes on the study come before
    if int(float(count)) != rows:
        raise SystemExit(f"{what}: {count} of {rows} rows were read")
    return {"what": what, "rows": rows, "seconds": float(seconds), "mib": float(mib)}


def made_up(folder: Path, trials: int, epochs: int) -> Path:
    """A study with so many rows, made from one row of the committed digits study; the first 100 ids stand in `ids`."""
    from runner.records import identity
    from runner.records.schema import CURVES, TRIALS

    folder.mkdir(parents=True)
    with (ROOT / "results" / "digits-cpu" / "trials.csv").open() as file:
        row = next(csv.DictReader(file))
    settings = [json.loads(row["settings"]) | {"seed": seed} for seed in range(trials)]
    ids = [identity.id_of(flat) for flat in settings]
    (folder / "ids").write_text("\n".join(ids[:100]))
    with (folder / "trials.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, TRIALS, lineterminator="\n")
        writer.writeheader()
        for name, flat in zip(ids, settings, strict=True):
            writer.writerow(row | {"trial": name, "seed": flat["seed"], "settings": identity.text(flat)})
    tail = "0.01,0.001,0.12345678901234567,,,0.2345678901234567,3.4068136272545093,,,18.757717408857665,0.02558,0.41\n"
    with (folder / "curves.csv").open("w") as file:
        file.write(",".join(CURVES) + "\n")
        for name in ids:
            file.write("".join(f"{name},{epoch},{13 * epoch},{tail}" for epoch in range(1, epochs + 1)))
    return folder


def measured(quick: bool) -> Iterator[Row]:
    for trials in (100, 1000) if quick else (100, 1000, 10_000):
        yield planned(trials)
    sizes = ((100, 10), (1000, 100)) if quick else ((1000, 100), (10_000, 100), (100_000, 100))
    with tempfile.TemporaryDirectory() as place:
        for trials, epochs in sizes:
            folder = made_up(Path(place) / str(trials), trials, epochs)
            yield read("read trials.csv", "count = len(read.read(folder))", folder, trials)
            yield read("read curves.csv", "count = len(read.read(folder, 'curves'))", folder, trials * epochs)
            yield read(
                "read curves.csv, 100 trials of it",
                "count = len(read.read(folder, 'curves', only=(folder / 'ids').read_text().split()))",
                folder,
                100 * epochs,
            )
            yield read(DONE, "count = len(records.Records(folder).done())", folder, trials)
            yield read(
                ENDS,
                "r = records.Records(folder); r.has_curves(['0000000000'], {1}); "
                "count = sum(map(len, r.own['curves'].seen.values()))",
                folder,
                trials * epochs,
            )


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--quick", action="store_true", help="stop at a hundredth of the rows")
    chosen = parser.parse_args()
    table = Table("what:<42 rows:, seconds mib", chosen.csv)
    for row in measured(chosen.quick):
        table.add(row | {"seconds": round(row["seconds"], 3), "mib": round(row["mib"], 1)})
