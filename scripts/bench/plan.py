"""How long a command takes before it trains, with many trials: `python scripts/bench plan [--sizes 5000,10000]`.

`-m seed=range(0,N) epochs=1` on a study that has no row yet, until it says what it is going to train, and on one in
which every trial has its row, until it ends. Prints seconds from process start, the CPU seconds of the second, and how
they grow from size to size: 2.0 is linear. The rows are made up, from a committed one, under the trials' own ids.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from scripts.bench.common import ROOT, Row, Table, children_cpu, options, wholes

MADE = """
import csv, sys
from pathlib import Path
from runner.records.schema import TRIALS
from runner.config.compose import from_config
from runner.data.load import load
from runner.trials.described import described
from runner.records.records import Records
from runner.trials.trial import Facts
from runner.trials.trial import expand
from hydra import compose
from hydra import initialize_config_module
with initialize_config_module("configs", version_base="1.3"):
    settings = from_config(compose("config", [f"seed=[{','.join(map(str, range(int(sys.argv[2]))))}]", "epochs=1"]))
row = next(csv.DictReader(open(sys.argv[3])))
trials = expand(settings, Facts.of(load(settings.dataset)))
own = lambda t: described(t) | {"study": "s", "phase": "search", "status": "ok", "val_error": 3 + t.seed % 17 / 16}
known = {name: cell for name, cell in row.items() if name in TRIALS}
records = Records(Path(sys.argv[1]))
records.append_curves([{"trial": t.id, "epoch": 1, "step": 13} for t in trials])
records.append_trials([known | own(t) for t in trials])
"""
ROW = ROOT / "results" / "digits-cpu" / "trials.csv"


def command(folder: Path, count: int) -> list[str]:
    return [sys.executable, "-m", "runner", "-m", f"seed=range(0,{count})", "epochs=1", "study=s", f"results={folder}"]


def planned(count: int) -> tuple[float, float]:
    """Seconds until the command says how many trials it is about to train, and CPU seconds (until it is stopped)."""
    with tempfile.TemporaryDirectory() as folder:
        start, before = time.perf_counter(), children_cpu()
        words = [*command(Path(folder), count), "workers=1"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            assert process.stdout is not None
            announced = any(f"{count} search trials" in line for line in process.stdout)
            took = time.perf_counter() - start
            process.kill()
    if not announced:
        raise SystemExit(f"{count} trials: ended with status {process.returncode} before it said what it trains")
    return took, children_cpu() - before


def done(count: int) -> tuple[float, float]:
    """Seconds, and CPU seconds, of a command whose trials all have their rows and whose report is drawn."""
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "s"
        subprocess.run([sys.executable, "-c", MADE, str(study), str(count), str(ROW)], check=True)
        for draw in (True, False):  # the first command draws the report, which the second finds
            start, before = time.perf_counter(), children_cpu()
            said = subprocess.run(command(Path(folder), count), capture_output=True, text=True)
            took, spent = time.perf_counter() - start, children_cpu() - before
            if "already done" not in said.stdout:
                raise SystemExit(f"{count} trials, drawing {draw}: {said.stdout[-300:]}{said.stderr[-300:]}")
    return took, spent


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--sizes", type=wholes, default=[5000, 10_000, 20_000], help="trials (default: %(default)s)")
    chosen = parser.parse_args()
    names = ("planned_s", "planned_cpu_s", "done_s", "done_cpu_s")
    table = Table("trials " + " ".join(f"{name}:.2f" for name in names) + " growth:<24", chosen.csv)
    last: tuple[float, ...] = ()
    for count in chosen.sizes:
        seconds = (*planned(count), *done(count))
        row: Row = {"trials": count, **dict(zip(names, seconds, strict=True))}
        table.add(row | {"growth": "  ".join(f"{new / old:.2f}" for new, old in zip(seconds, last, strict=False))})
        last = seconds
