"""An optimizer's step against torch.optim.AdamW, interleaved in one run: `python scripts/bench step [SET]`.

Each set of tensors is stepped by every contestant in turn, and a large buffer is copied, round after round, so that
what else the machine does meets all of them alike; medians over rounds are reported. Gradients are there before the
clock starts. Warm: five steps in a row, after one that is not timed. Cold (--cold): each after a large buffer was
overwritten. On CUDA time is that between two events around the steps, so it holds the host's share where the GPU has
to wait for it; of ways in a graph it is that of 20 steps in one graph, shared out.

The floor is the time in which the copy would move the 28 bytes per parameter that a fused step has to move; the share
is the floor over the median. On a CPU a share can pass 1: a copy there may first read what it overwrites, which is not
counted, and a step does not. So can that of warm tensors that fit into a cache. `ratio` is the median over optim's.
"""

from __future__ import annotations

import statistics
from functools import partial

import torch

from scripts.bench.common import Row, Table, medians, options, refuse_unknown, turns, whole
from scripts.bench.devices import Memory, add_device, clocked, machine, refuse_unusable, stamps
from scripts.bench.step_ways import BYTES, FUSED, Way, contestants, sets

REPEAT = 5  # timings of a way in a round
WARM = 2  # rounds that allocate moments and compile
SHOWN = (
    "set:<10 trials parameters:, way:<17 median_us:,.1f min_us:,.1f ratio floor_us:,.1f share:.0% copy_gb_per_s:,.0f"
)


def stepped(way: Way, memory: Memory, cold: bool) -> float:
    """Microseconds of one step."""
    device = memory.device
    if cold and way.idle is None:
        times = []
        for _ in range(REPEAT):
            memory.evict()
            times.append(clocked(way.run, device))
        return statistics.mean(times) / way.steps
    way.run()  # the contestant before has left its own memory in the caches
    idle = clocked(way.idle, device, REPEAT) if way.idle else 0
    return (clocked(way.run, device, REPEAT) - idle) / way.steps


def measure(name: str, memory: Memory, rounds: int, cold: bool) -> list[Row]:
    """A row for each way to step the tensors of a set."""
    make, trials = sets(memory.device.type)[name]
    shapes = make()
    size = sum(torch.Size(s).numel() for s in shapes) * trials
    ways = contestants(shapes, trials, memory, cold)
    calls = {way: partial(stepped, how, memory, cold) for way, how in ways.items()}
    times = turns({"copy": partial(clocked, memory.copy, memory.device, 2)} | calls, rounds, WARM)
    bandwidth = memory.moved / statistics.median(times.pop("copy")) / 1e3
    floor = FUSED * size / bandwidth / 1e3
    middle = medians(times)
    return [
        {
            "set": name,
            "trials": trials,
            "tensors": len(shapes),
            "parameters": size,
            "way": way,
            "cache": "cold" if cold else "warm",
            "median_us": round(median, 2),
            "min_us": round(min(times[way]), 2),
            "ratio": round(median / middle["optim"], 2),
            "bytes": (moved := BYTES.get(way, FUSED)),
            "gb_per_s": round(moved * size / median / 1e3, 1),
            "copy_gb_per_s": round(bandwidth, 3),
            "floor_us": round(floor, 2),
            "share": round(floor / median, 3),
            "rounds": rounds,
            **stamps(memory.device),
        }
        for way, median in middle.items()
    ]


def main() -> None:
    parser = options(__doc__)
    on_cuda = ", ".join(sets("cuda"))
    parser.add_argument(
        "sets", nargs="*", metavar="SET", help=f"default: all; on the CPU {', '.join(sets('cpu'))}; on CUDA {on_cuda}"
    )
    add_device(parser)
    parser.add_argument("--threads", type=whole, help="of the CPU; default: torch's own choice")
    parser.add_argument("--rounds", type=whole, default=50, help="default: %(default)s")
    parser.add_argument("--cold", action="store_true", help="empty the caches before every step")
    chosen = parser.parse_args()
    refuse_unusable(parser, chosen)
    device = torch.device(chosen.device)
    known = sets(device.type)
    refuse_unknown(parser, "set", chosen.sets, known)
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    print(f"{machine(device)}, {'cold' if chosen.cold else 'warm'} caches, n = {chosen.rounds} rounds")
    table, memory = Table(SHOWN, chosen.csv), Memory(device)
    for name in chosen.sets or known:
        table.extend(measure(name, memory, chosen.rounds, chosen.cold))
