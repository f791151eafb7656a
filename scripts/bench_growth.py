"""How this runner's time and memory grow with a sweep: `growth(device, folder)` prints a line for each size.

Digits, a small ResNet, two epochs. The first row is what a user waits for to see that it works: the first of
curves.csv and of trials.csv. Memory is the resident set of the command and its children, pages that they share counted
in each.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SIZES = (1, 8, 64, 512, 1024)
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


def growth(device: str, folder: Path) -> None:
    print(f"digits, {EPOCHS} epochs\n{'trials':>6}{'seconds':>9}{'s / trial':>11}{'first epoch s':>15}"
          f"{'first trial s':>15}{'peak MiB':>10}")  # fmt: skip
    for trials in SIZES:
        results = folder / f"growth-{trials}"
        words = [*sweep(trials), "wd_convention=paper", f"epochs={EPOCHS}", f"device={device}"]
        command = [sys.executable, "-m", "runner", *words, f"results={results}", "study=bench"]
        seconds, first, memory = watched(command, [results / "bench" / f"{name}.csv" for name in ("curves", "trials")])
        rows = (results / "bench" / "trials.csv").read_text().count("\n") - 1
        if rows != trials:
            raise SystemExit(f"{rows} rows, not {trials}: {' '.join(command)}")
        print(
            f"{trials:>6}{seconds:>9.1f}{seconds / trials:>11.3f}{first[0]:>15.2f}{first[1]:>15.2f}{memory:>10,.0f}",
            flush=True,
        )


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
