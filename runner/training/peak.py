"""The most memory that a call holds, to the byte: `peak_bytes(call)` reads every allocation from a profile."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch


def peak_bytes(call: Callable[[], object]) -> int:
    """The most that `call` holds at a time of torch's CPU memory, beyond what was there before."""
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
