"""How cuDNN computes a stack's convolutions, alone: `python scripts/bench conv [NET]`.

For each convolution of the networks, number of trials R and way (`conv_ways.py` tells them): microseconds for
each trial of the forward pass (fwd) and of the gradients of input (dx) and weight (dw), each ten times in a CUDA graph
of its own, the median of five replays; and the kernel that took longest. +b: with `torch.backends.cudnn.benchmark`.
dense, for R = 1, has it too: it is what one trial takes alone. `first_seconds`: of the first two calls, in which cuDNN
chooses and may compile.
"""

from __future__ import annotations

import statistics
import time
from argparse import Namespace

import torch
from torch.profiler import ProfilerActivity, profile

from runner.training.precision import DTYPES
from scripts.bench.common import Row, Table, options, refuse_unknown, whole, wholes, words
from scripts.bench.conv_ways import DEVICE, KINDS, NETS, Call, Convolution, calls
from scripts.bench.devices import CUDA, clocked, machine

REPEAT, REPLAYS = 10, 5
SHOWN = "net:<9 C K kernel H stride trials way:<11 what:<5 us_per_trial:.1f tflops:.1f first_seconds:.2f top:<40"


def timed(call: Call) -> tuple[float, float]:
    """Microseconds of a call in a CUDA graph, and seconds that the first two calls took outside of one."""
    start = time.perf_counter()
    if not CUDA:
        call()
        first = time.perf_counter() - start
        return first * 1e6, first
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        call()
        call()
    torch.cuda.synchronize()
    first = time.perf_counter() - start
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=side):
        for _ in range(REPEAT):
            call()
    graph.replay()
    return statistics.median(clocked(graph.replay, DEVICE) for _ in range(REPLAYS)) / REPEAT, first


def longest(call: Call) -> str:
    """How many kernels a call starts, and the name of the one that takes longest."""
    if not CUDA:
        return ""
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        call()
        torch.cuda.synchronize()
    events = [e for e in seen.events() or [] if e.device_type == torch.autograd.DeviceType.CUDA]
    top = max(events, key=lambda e: e.device_time, default=None)
    return "" if top is None else f"{len(events)}x {top.name[:110]}"


def measured(shape: Convolution, trials: int, way: str, batch: int, dtype: torch.dtype) -> list[Row]:
    """A row for each pass; what fails says so in its row, and costs the others nothing."""
    kind, _, more = way.partition("+")
    torch.backends.cudnn.benchmark = more == "b" or kind == "dense"
    # The columns of the CSV file, which rows of what fails leave empty.
    blank: Row = dict.fromkeys(("us_per_trial", "tflops", "first_seconds"))
    try:
        passes = calls(kind, shape, trials, batch, dtype)
    except RuntimeError as error:
        return [{"way": way, "what": "all", **blank, "top": _why(error)}]
    rows: list[Row] = []
    for what, call in passes.items():
        try:
            us, first = timed(call)
            tflops = shape.flops(batch) * trials / us / 1e6
            row = {"way": way, "what": what, "us_per_trial": round(us / trials, 2), "tflops": round(tflops, 3)}
            rows.append({**row, "first_seconds": round(first, 2), "top": longest(call)})
        except RuntimeError as error:
            rows.append({"way": way, "what": what, **blank, "top": _why(error)})
    return rows


def _why(error: RuntimeError) -> str:
    return f"{type(error).__name__}: {str(error)[:90]}"


def arguments() -> Namespace:
    parser = options(__doc__)
    parser.add_argument("nets", nargs="*", metavar="NET", help=f"of {', '.join(NETS)}; default: all of them")
    parser.add_argument("--batch", type=whole, default=128 if CUDA else 2, help="default: %(default)s")
    parser.add_argument("--trials", type=wholes, default=[1, 16], help="default: %(default)s")
    ways = "grouped,grouped+b,lanes,first,bmm"
    parser.add_argument("--ways", type=words, default=words(ways), help=f"default: {ways}")
    parser.add_argument("--limit", type=float, default=150, help="seconds after which none is begun (%(default)s)")
    parser.add_argument("--precision", choices=list(DTYPES), default="bf16" if CUDA else "fp32", help="%(default)s")
    chosen = parser.parse_args()
    refuse_unknown(parser, "net", chosen.nets, NETS)
    refuse_unknown(parser, "way", [way.removesuffix("+b") for way in chosen.ways], KINDS)
    return chosen


def main() -> None:
    chosen, began = arguments(), time.perf_counter()
    print(f"{machine(DEVICE)}, {chosen.precision}")
    table = Table(SHOWN, chosen.csv)
    for net, shape in [(name, shape) for name in chosen.nets or NETS for shape in NETS[name]]:
        about = dict(zip(("net", "C", "K", "kernel", "H", "stride"), (net, *shape), strict=True))
        for trials in chosen.trials:
            for way in ["dense"] if trials == 1 else chosen.ways:
                if time.perf_counter() - began > chosen.limit:
                    continue
                for row in measured(shape, trials, way, chosen.batch, DTYPES[chosen.precision]):
                    table.add({**about, "trials": trials, **row})
        if CUDA:
            torch.cuda.empty_cache()  # graphs that are gone leave their pools
