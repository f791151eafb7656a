"""How long a command takes that trains nothing, with many trials: `python scripts/bench plan [--sizes 5000,10000]`.

A dry run of so many trials; and a command for a study in which every trial has its row and whose report is drawn, until
it says so and ends. Seconds from process start to end, peak memory, and how the seconds grow from size to size: 2.0 is
linear where sizes double. The rows are made up, from a committed one, under the trials' own ids.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from scripts.bench.common import ROOT, Row, Table, command, options, wholes
from scripts.bench.made_up import study


def run(expected: str, words: list[str]) -> Row:
    """Seconds and peak MiB of the runner with these words; ends the benchmark unless it says what is expected."""
    ended = command([sys.executable, "-m", "runner", *words], cwd=ROOT)
    if expected not in ended.text:
        raise SystemExit(f"runner {' '.join(words)[:200]} did not say {expected}: {ended.text[-500:]}")
    return {"seconds": ended.seconds, "mib": ended.mib}


def planned(trials: int) -> Row:
    """A dry run of so many trials, as typed: a multiple of 100."""
    seeds = ",".join(str(seed) for seed in range(trials // 100))
    lrs, wds = (",".join(f"{base * 1.1**k:.6g}" for k in range(10)) for base in (1e-3, 1e-2))
    typed = ["-m", "dry_run=true", "optimizer=adamw", f"lr={lrs}", f"wd={wds}", f"seed={seeds}"]
    with tempfile.TemporaryDirectory() as empty:
        return {
            "what": "dry run, process start to end",
            "rows": trials,
            **run(f"{trials} trials", [*typed, f"results={empty}"]),
        }


def done(trials: int) -> Row:
    """A command whose trials all have their rows."""
    with tempfile.TemporaryDirectory() as folder:
        study(Path(folder) / "s", trials, 1)
        typed = ["-m", f"seed=range(0,{trials})", "epochs=1", "study=s", f"results={folder}"]
        run("already done", typed)  # draws the report, which the next one finds
        return {"what": "already done, process start to end", "rows": trials, **run("already done", typed)}


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--sizes", type=wholes, default=[5000, 10_000, 20_000], help="trials (default: %(default)s)")
    chosen = parser.parse_args()
    table = Table("what:<34 rows:, seconds:.2f mib:.0f growth:.2f", chosen.csv)
    last: dict[str, float] = {}
    for trials in chosen.sizes:
        for row in (planned(trials), done(trials)):
            table.add(row | {"growth": row["seconds"] / last[row["what"]] if row["what"] in last else None})
            last[row["what"]] = row["seconds"]
