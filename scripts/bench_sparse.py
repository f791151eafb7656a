#!/usr/bin/env python3
"""Time the step of an embedding of which few rows have a gradient: `python scripts/bench_sparse.py --help`.

optim.SparseAdamW against torch.optim.SparseAdam (which does not decay, nor move rows at rest by their momentum) and
torch.optim.AdamW with fused=True on the same gradient made dense. They step in turn, round after round, on gradients
that are there before the clock starts, so that what else the machine does meets all alike; medians over rounds. All
begin at step 10,000 with moments in every row, so that every row is owed movement as well as decay, and SparseAdamW has
taken 300 steps before the clock starts, more than momentum lasts. A large buffer is overwritten before each timing, so
that tables of all sizes start outside the caches. `growth` is the median over that of the smallest table: untouched
rows cost nothing if it stays at 1.

`catch up` is SparseAdamW.catch_up() over all rows, as needed before a checkpoint; n = 3.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import root
import torch
from bench_step import device_name

from optim.sparse import SparseAdamW

OURS = "optim.SparseAdamW"
START, WARM, CATCH_UPS = 10_000, 300, 3
EVICTED = 2**26  # float32 elements: 256 MiB, more than the caches of any CPU of today
COLUMNS = "rows dim touched way median_us min_us ratio growth rounds device threads torch".split()
HEAD = f"{'rows':>11}{'threads':>9}  {'way':<24}{'median us':>13}{'min us':>13}{'/ ours':>9}{'growth':>9}{'n':>5}"


class Table:
    """An embedding [rows, dim] under each of the optimizers; they share its memory, and have moments of their own."""

    def __init__(self, rows: int, dim: int, touched: int) -> None:
        self.shape, self.touched = (rows, dim), touched
        self.generator = torch.Generator().manual_seed(0)
        weights = torch.randn(rows, dim, generator=self.generator)
        self.dense = torch.zeros(rows, dim)
        self.index = torch.zeros(0, dtype=torch.int64)
        self.parameters = {way: torch.nn.Parameter(weights) for way in (OURS, "torch SparseAdam", "torch AdamW fused")}
        made: list[torch.optim.Optimizer] = [
            SparseAdamW([self.parameters[OURS]]),
            torch.optim.SparseAdam([self.parameters["torch SparseAdam"]]),
            torch.optim.AdamW([self.parameters["torch AdamW fused"]], fused=True),
        ]
        self.optimizers = dict(zip(self.parameters, made, strict=True))
        for way, p in self.parameters.items():
            self.optimizers[way].state[p] = {
                "step": START if way == "torch SparseAdam" else torch.tensor(float(START)),
                "exp_avg": torch.randn(rows, dim, generator=self.generator).mul_(1e-3),
                "exp_avg_sq": torch.rand(rows, dim, generator=self.generator).mul_(1e-5),
            }

    def next_gradient(self) -> None:
        """The same for all: rows drawn evenly, once each (almost), values of size 0.1."""
        self.dense[self.index] = 0
        self.index = torch.randint(0, self.shape[0], (self.touched,), generator=self.generator).unique()
        values = torch.randn(len(self.index), self.shape[1], generator=self.generator).mul_(0.1)
        self.dense[self.index] = values
        for way, p in self.parameters.items():
            sparse = torch.sparse_coo_tensor(self.index[None], values, self.shape, check_invariants=False)
            p.grad = self.dense if way == "torch AdamW fused" else sparse


def clocked(call: Callable[[], object], large: torch.Tensor) -> float:
    large.add_(1)
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e6


def measure(rows: int, dim: int, touched: int, rounds: int) -> dict[str, list[float]]:
    """Microseconds of each way, round by round."""
    table, large = Table(rows, dim, touched), torch.zeros(EVICTED)
    ours = table.optimizers[OURS]
    assert isinstance(ours, SparseAdamW)
    for _ in range(WARM):
        table.next_gradient()
        ours.step()
    times: dict[str, list[float]] = {way: [] for way in table.optimizers}
    for turn in range(rounds + 2):
        table.next_gradient()
        for way, optimizer in table.optimizers.items():
            took = clocked(optimizer.step, large)
            if turn >= 2:
                times[way].append(took)
    times["catch up"] = []
    for _ in range(CATCH_UPS):
        times["catch up"].append(clocked(ours.catch_up, large))
        for _ in range(5):
            table.next_gradient()
            ours.step()
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = [100_000, 1_000_000, 10_000_000]
    parser.add_argument("--rows", type=int, nargs="+", default=sizes, help="10,000,000 of 16 take 5 GB")
    parser.add_argument("--dim", type=int, default=16)
    parser.add_argument("--touched", type=int, default=1000, help="rows with a gradient in each step")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--threads", type=int, nargs="+", default=[1], help="of the CPU")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the rows here")
    chosen = parser.parse_args()
    if min(*chosen.rows, chosen.dim, chosen.touched, chosen.rounds, *chosen.threads) < 1:
        parser.error("--rows, --dim, --touched, --rounds and --threads: 1 or more")
    device = device_name(torch.device("cpu"))
    print(f"{device}, torch {torch.__version__}, {chosen.touched} rows of {chosen.dim} touched\n{HEAD}")
    found: list[dict[str, object]] = []
    for threads in chosen.threads:
        torch.set_num_threads(threads)
        smallest: dict[str, float] = {}
        for rows in sorted(chosen.rows):
            times = measure(rows, chosen.dim, chosen.touched, chosen.rounds)
            medians = {way: statistics.median(took) for way, took in times.items()}
            smallest = smallest or medians
            for way, median in medians.items():
                row = {
                    "rows": rows,
                    "dim": chosen.dim,
                    "touched": chosen.touched,
                    "way": way,
                    "median_us": round(median, 1),
                    "min_us": round(min(times[way]), 1),
                    "ratio": round(median / medians[OURS], 2),
                    "growth": round(median / smallest[way], 2),
                    "rounds": len(times[way]),
                    "device": device,
                    "threads": threads,
                    "torch": torch.__version__,
                }
                found.append(row)
                print(
                    f"{rows:>11,}{threads:>9}  {way:<24}{median:>13,.1f}{min(times[way]):>13,.1f}{row['ratio']:>9}"
                    f"{row['growth']:>9}{row['rounds']:>5}",
                    flush=True,
                )
    if chosen.csv:
        chosen.csv.parent.mkdir(parents=True, exist_ok=True)
        with chosen.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(found)


if __name__ == "__main__":
    main()
