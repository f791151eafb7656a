"""How this runner's time and memory grow with a sweep of 1 to 1,024 trials: `python scripts/bench growth`.

Digits, a small ResNet, two epochs. `first_epoch_s` and `first_trial_s` are what a user waits for to see that it works:
the first rows of curves.csv and of trials.csv. Memory is the resident set of the command and its children, pages that
they share counted in each.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from scripts.bench.common import ROOT, Table, options, wholes

SIZES = [1, 8, 64, 512, 1024]
EPOCHS = 2
SAMPLED, LOOKED = 0.2, 0.02  # seconds between samples of the memory, and looks at the files


def sweep(trials: int) -> list[str]:
    """Of two optimizers, four rates, four decays and as many seeds as it takes."""
    if trials == 1:
        return ["optimizer=adamw", "lr=1e-2", "wd=1e-2"]
    words = ["-m", "optimizer=adam,adamw", "lr=5e-3,1e-2,2e-2,4e-2"]
    if trials <= 8:
        return [*words, "wd=1e-2"]
    return [*words, "wd=5e-3,1e-2,2e-2,4e-2", f"seed={','.join(map(str, range(trials // 32)))}"]


def watched(command: list[str], files: list[Path]) -> tuple[float, list[float], float]:
    """Wall seconds of a command, those until each file had a row, and the largest memory in MiB."""
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    first: dict[Path, float] = {}
    memory, sampled = 0.0, 0.0
    while process.poll() is None:
        now = time.perf_counter() - start
        first |= {path: now for path in files if path not in first and has_row(path)}
        if now - sampled >= SAMPLED:
            sampled, memory = now, max(memory, resident(process.pid))
        time.sleep(LOOKED)
    seconds = time.perf_counter() - start
    return seconds, [first.get(path, seconds) for path in files], memory


def has_row(path: Path) -> bool:
    return path.exists() and path.read_bytes().count(b"\n") > 1


def resident(root: int) -> float:
    """MiB of a process and all below it; 0 where there is no /proc."""
    parents, pages = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            pages[int(folder.name)] = int((folder / "statm").read_text().split()[1])
        except OSError:  # it has ended
            continue
    family, more = set(), {root}
    while more:
        family |= more
        more = {pid for pid, parent in parents.items() if parent in more} - family
    return sum(pages.get(pid, 0) for pid in family) * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--trials", type=wholes, default=SIZES, help=f"1, 8, or multiples of 32 (default: {SIZES})")
    parser.add_argument("--device", default="cpu", help="default: %(default)s")
    chosen = parser.parse_args()
    if any(trials not in (1, 8) and trials % 32 for trials in chosen.trials):
        parser.error("--trials: 1, 8, or multiples of 32")
    print(f"digits, {EPOCHS} epochs")
    table = Table("trials seconds:.1f s_per_trial:.3f first_epoch_s:.2f first_trial_s:.2f peak_mib:,.0f", chosen.csv)
    for trials in chosen.trials:
        with tempfile.TemporaryDirectory() as results:
            study = Path(results) / "bench"
            words = [*sweep(trials), "wd_convention=paper", f"epochs={EPOCHS}", f"device={chosen.device}"]
            command = [sys.executable, "-m", "runner", *words, f"results={results}", "study=bench"]
            seconds, first, memory = watched(command, [study / f"{name}.csv" for name in ("curves", "trials")])
            rows = (study / "trials.csv").read_text().count("\n") - 1
        if rows != trials:
            raise SystemExit(f"{rows} rows, not {trials}: {' '.join(command)}")
        row = {"trials": trials, "seconds": seconds, "s_per_trial": seconds / trials}
        table.add(row | {"first_epoch_s": first[0], "first_trial_s": first[1], "peak_mib": memory})
