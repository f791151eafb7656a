"""The C heap of a process that trains on the CPU: `keep_freed_memory()`.

glibc gives large blocks back to the system as soon as they are freed, and every training step then pays for getting
them again, page by page: measured as 3 to 8 % of the step.
"""

from __future__ import annotations

import ctypes
import platform
import resource
from pathlib import Path

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of malloc.h
_at_first = 0  # bytes that this process had when it began to keep memory


def keep_freed_memory() -> None:
    """Have malloc keep what is freed, for the next step; does nothing where the C library is not glibc."""
    global _at_first
    if platform.libc_ver()[0] == "glibc":
        _at_first = _at_first or _resident()
        heap = ctypes.CDLL(None)
        heap.mallopt(_MMAP_MAX, 0)
        heap.mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def kept() -> int:
    """Bytes that this process took since then, which the next stack can have; between stacks it holds little else."""
    return max(0, _resident() - _at_first) if _at_first else 0


def _resident() -> int:
    """Bytes of memory that this process takes; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return 0
