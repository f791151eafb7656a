#!/usr/bin/env python3
"""How cuDNN computes a stack's convolutions, alone: `python scripts/bench_conv.py [NET]`. Needs torch only.

For each convolution of the networks, number of trials R and way (`scripts/conv_ways.py` tells them): microseconds for
each trial of the forward pass (fwd) and of the gradients of input (dx) and weight (dw), each ten times in a CUDA graph
of its own, the median of five replays; and the kernel that took longest. +b: with `torch.backends.cudnn.benchmark`.
dense, for R = 1, has it too: it is what one trial takes alone. "first s": seconds of the first two calls, in which
cuDNN chooses and may compile.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import rows
import torch
from conv_ways import CUDA, KINDS, NETS, Call, Convolution, calls
from torch.profiler import ProfilerActivity, profile

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
REPEAT, REPLAYS = 10, 5
COLUMNS = "net C K kernel H stride trials way what us_per_trial tflops first_seconds top".split()
HEAD = f"{'net':<9}{'C':>4}{'K':>4} k  {'H':>3} s {'R':>3} {'way':<11}{'pass':<5}"
HEAD += f"{'us/trial':>9}{'TFLOP/s':>8}{'first s':>8}  kernel"


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
    took = []
    for _ in range(REPLAYS):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        took.append(begin.elapsed_time(end) * 1e3 / REPEAT)
    return statistics.median(took), first


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


def measured(shape: Convolution, trials: int, way: str, batch: int, dtype: torch.dtype) -> list[dict[str, object]]:
    """A row for each pass; what fails says so in its row, and costs the others nothing."""
    kind, _, more = way.partition("+")
    torch.backends.cudnn.benchmark = more == "b" or kind == "dense"
    try:
        passes = calls(kind, shape, trials, batch, dtype)
    except RuntimeError as error:
        return [{"way": way, "what": "all", "top": _why(error)}]
    found: list[dict[str, object]] = []
    for what, call in passes.items():
        try:
            us, first = timed(call)
            tflops = shape.flops(batch) * trials / us / 1e6
            row = {"way": way, "what": what, "us_per_trial": round(us / trials, 2), "tflops": round(tflops, 3)}
            found.append({**row, "first_seconds": round(first, 2), "top": longest(call)})
        except RuntimeError as error:
            found.append({"way": way, "what": what, "top": _why(error)})
    return found


def _why(error: RuntimeError) -> str:
    return f"{type(error).__name__}: {str(error)[:90]}"


def shown(row: dict[str, object]) -> str:
    times = f"{row['us_per_trial']:>9.1f}{row['tflops']:>8.1f}{row['first_seconds']:>8.2f}" if "tflops" in row else ""
    return (
        f"{row['net']:<9}{row['C']:>4}{row['K']:>4} {row['kernel']}  {row['H']:>3} {row['stride']} {row['trials']:>3} "
        f"{row['way']:<11}{row['what']:<5}{times or ' ' * 25}  {row['top']}"
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nets", nargs="*", metavar="NET", help=f"of {', '.join(NETS)}; default: all of them")
    parser.add_argument("--batch", type=int, default=128 if CUDA else 2, help="default: %(default)s")
    parser.add_argument("--trials", default="1,16", help="default: %(default)s")
    parser.add_argument("--ways", default="grouped,grouped+b,lanes,first,bmm", help="default: %(default)s")
    parser.add_argument("--limit", type=float, default=150, help="seconds after which none is begun (%(default)s)")
    parser.add_argument("--precision", choices=list(DTYPES), default="bf16" if CUDA else "fp32")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the rows here")
    chosen = parser.parse_args()
    chosen.nets = chosen.nets or list(NETS)
    if unknown := set(chosen.nets) - set(NETS):
        parser.error(f"unknown net {', '.join(sorted(unknown))}: choose from {', '.join(NETS)}")
    chosen.ways = chosen.ways.split(",")
    if unknown := {way for way in chosen.ways if way.removesuffix("+b") not in KINDS}:
        parser.error(f"unknown way {', '.join(sorted(unknown))}: choose from {', '.join(KINDS)}, each also with +b")
    return chosen


def main() -> None:
    chosen, began = arguments(), time.perf_counter()
    print(f"{torch.cuda.get_device_name() if CUDA else 'CPU'}, {chosen.precision}, torch {torch.__version__}\n{HEAD}")
    found: list[dict[str, object]] = []
    for net, shape in [(name, shape) for name in chosen.nets for shape in NETS[name]]:
        about = dict(zip(COLUMNS, (net, *shape), strict=False))
        for trials in map(int, chosen.trials.split(",")):
            for way in ["dense"] if trials == 1 else chosen.ways:
                if time.perf_counter() - began > chosen.limit:
                    continue
                for row in measured(shape, trials, way, chosen.batch, DTYPES[chosen.precision]):
                    found.append({**about, "trials": trials, **row})
                    print(shown(found[-1]), flush=True)
        rows.write(chosen.csv, COLUMNS, found)
        if CUDA:
            torch.cuda.empty_cache()  # graphs that are gone leave their pools


if __name__ == "__main__":
    main()
