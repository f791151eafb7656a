"""Memory of this process: the C heap, `keep_freed_memory()`; the most that was held, `peak_mib`, `peak_bytes`.

glibc gives large blocks back to the system as soon as they are freed, and every training step then pays for getting
them again, page by page: measured as 3 to 8 % of the step. torch is imported only by what measures it.
"""

from __future__ import annotations

import ctypes
import json
import platform
import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # constants of malloc.h
_at_first = 0  # bytes that this process held when it began to keep memory


def keep_freed_memory() -> None:
    """Have malloc keep what is freed, for the next step; does nothing where the C library is not glibc."""
    global _at_first
    if platform.libc_ver()[0] == "glibc":
        _at_first = _at_first or _resident()
        heap = ctypes.CDLL(None)
        heap.mallopt(_MMAP_MAX, 0)
        heap.mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def kept() -> int:
    """Bytes that this process took since `keep_freed_memory`; between stacks nearly all are free for the next stack."""
    return max(0, _resident() - _at_first) if _at_first else 0


def _resident() -> int:
    """Bytes of memory that this process takes; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


def peak_bytes(call: Callable[[], object]) -> int:
    """The most bytes of torch's CPU memory that `call` holds at a time, beyond what was held before; from a profile."""
    import torch

    cpu = [torch.profiler.ProfilerActivity.CPU]
    with tempfile.TemporaryDirectory() as folder:
        with torch.profiler.profile(activities=cpu, profile_memory=True, acc_events=True) as profile:
            call()
        trace = Path(folder) / "trace.json"
        profile.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())["traceEvents"]
    changes = [e["args"] for e in events if e["name"] == "[memory]" and e["args"]["Device Type"] == 0]
    order = sorted(changes, key=lambda args: args["Ev Idx"])
    held = most = 0
    for args in order:
        held += args["Bytes"]
        most = max(most, held)
    return most


def peak_mib(device: torch.device) -> float:
    """Largest memory use so far in MiB: of a GPU `device` what was taken, of the CPU what this process had resident."""
    if device.type == "cuda":
        import torch

        # What is reserved, not only what is allocated of it: a CUDA graph gives nothing back.
        return torch.cuda.max_memory_reserved(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
