"""The most memory held: by a call, to the byte, `peak_bytes(call)`; or so far, `peak_mib(device)`."""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch


def peak_bytes(call: Callable[[], object]) -> int:
    """The most that `call` holds at a time of torch's CPU memory, beyond what was there before, from a profile."""
    cpu = [torch.profiler.ProfilerActivity.CPU]
    with tempfile.TemporaryDirectory() as folder:
        with torch.profiler.profile(activities=cpu, profile_memory=True, acc_events=True) as profile:
            call()
        trace = Path(folder) / "trace.json"
        profile.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())["traceEvents"]
    found = [e["args"] for e in events if e["name"] == "[memory]" and e["args"]["Device Type"] == 0]
    order = sorted(found, key=lambda args: args["Ev Idx"])
    held = most = 0
    for args in order:
        held += args["Bytes"]
        most = max(most, held)
    return most


def peak_mib(device: torch.device) -> float:
    """Largest memory use so far in MiB: taken from the GPU, or resident in this process on the CPU."""
    if device.type == "cuda":  # not only what was allocated of it: a CUDA graph gives nothing back
        return torch.cuda.max_memory_reserved(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
