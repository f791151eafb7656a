"""The step of an embedding of which few rows have a gradient: `python scripts/bench sparse`.

optim.SparseAdamW against torch.optim.SparseAdam (which does not decay, nor move rows at rest by their momentum) and
torch.optim.AdamW with fused=True on the same gradient made dense. They step in turn, round after round, on gradients
that are there before the clock starts, so that what else the machine does meets all alike; medians over rounds. All
begin at step 10,000 with moments in every row, so that every row is owed movement as well as decay, and SparseAdamW has
taken 300 steps before the clock starts, more than momentum lasts. A large buffer is overwritten before each timing, so
that tables of all sizes start outside the caches. `ratio` is the median over that of SparseAdamW, `growth` that over
the median of the smallest table: untouched rows cost nothing if it stays at 1.

`catch up` is SparseAdamW.catch_up() over all rows, as needed before a checkpoint; n = 3.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial

import torch

from optim.sparse import SparseAdamW
from scripts.bench.common import Table, medians, options, turns, whole, wholes
from scripts.bench.devices import Memory, clocked, machine, stamps

OURS = "optim.SparseAdamW"
START, WARM, CATCH_UPS = 10_000, 300, 3
SHOWN = "rows:, threads way:<24 median_us:,.1f min_us:,.1f ratio growth rounds"


class Embedding:
    """An embedding [rows, dim] under each of the optimizers, which have moments of their own.

    torch's share the weights. SparseAdamW has its own, for it refuses rows that others change while they rest.
    """

    def __init__(self, rows: int, dim: int, touched: int) -> None:
        self.shape, self.touched = (rows, dim), touched
        self.generator = torch.Generator().manual_seed(0)
        weights = torch.randn(rows, dim, generator=self.generator)
        self.dense = torch.zeros(rows, dim)
        self.index = torch.zeros(0, dtype=torch.int64)
        self.parameters = {
            OURS: torch.nn.Parameter(weights.clone()),
            "torch SparseAdam": torch.nn.Parameter(weights),
            "torch AdamW fused": torch.nn.Parameter(weights),
        }
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


def measure(memory: Memory, rows: int, dim: int, touched: int, rounds: int) -> dict[str, list[float]]:
    """Microseconds of each way, round by round."""
    table = Embedding(rows, dim, touched)
    ours = table.optimizers[OURS]
    assert isinstance(ours, SparseAdamW)

    def cold(call: Callable[[], object]) -> float:
        memory.evict()
        return clocked(call, memory.device)

    def steps(count: int) -> None:
        for _ in range(count):
            table.next_gradient()
            ours.step()

    steps(WARM)
    calls = {way: partial(cold, optimizer.step) for way, optimizer in table.optimizers.items()}
    times = turns(calls, rounds, warm=2, before=table.next_gradient)
    return times | turns({"catch up": partial(cold, ours.catch_up)}, CATCH_UPS, before=partial(steps, 5))


def main() -> None:
    parser = options(__doc__)
    sizes = [100_000, 1_000_000, 10_000_000]
    parser.add_argument("--rows", type=wholes, default=sizes, help="such as 1000,2000; 10,000,000 of 16 take 6 GB")
    parser.add_argument("--dim", type=whole, default=16, help="numbers in a row (%(default)s)")
    parser.add_argument("--touched", type=whole, default=1000, help="rows with a gradient in each step (%(default)s)")
    parser.add_argument("--rounds", type=whole, default=50, help="default: %(default)s")
    parser.add_argument("--threads", type=wholes, default=[1], help="of the CPU, such as 1,2 (default: %(default)s)")
    chosen = parser.parse_args()
    # SparseAdamW warns that rows rest unseen by forward passes; this benchmark makes no forward pass.
    warnings.filterwarnings("ignore", "rows of a parameter")
    memory = Memory(torch.device("cpu"))
    print(f"{machine(memory.device)}, {chosen.touched} rows of {chosen.dim} touched")
    table = Table(SHOWN, chosen.csv)
    for threads in chosen.threads:
        torch.set_num_threads(threads)
        smallest: dict[str, float] = {}
        for rows in sorted(chosen.rows):
            times = measure(memory, rows, chosen.dim, chosen.touched, chosen.rounds)
            middle = medians(times)
            smallest = smallest or middle
            for way, median in middle.items():
                table.add(
                    {
                        "rows": rows,
                        "dim": chosen.dim,
                        "touched": chosen.touched,
                        "way": way,
                        "median_us": round(median, 1),
                        "min_us": round(min(times[way]), 1),
                        "ratio": round(median / middle[OURS], 2),
                        "growth": round(median / smallest[way], 2),
                        "rounds": len(times[way]),
                        **stamps(memory.device),
                    }
                )
