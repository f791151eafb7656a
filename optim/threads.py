"""`threads_off()` and `threads_on()`: torch's operators on the calling thread alone, faster for small tensors.

`torch.set_num_threads` would do, but it also sets what threads see that first use torch meanwhile, and they keep that
for ever. The number that OpenMP keeps for each thread is the same one, and concerns no other thread.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def _openmp() -> Callable[[int], Any] | None:
    """OpenMP's function that sets the calling thread's number of threads; None where torch was built without."""
    for name in ("libtorch_cpu.so", "libtorch_cpu.dylib"):
        try:
            library = ctypes.PyDLL(str(Path(torch.__file__).parent / "lib" / name))  # keeps the interpreter's lock
            choose = library.omp_set_num_threads
        except (OSError, AttributeError):
            continue
        choose.argtypes, choose.restype = [ctypes.c_int], None
        return choose
    return None


_choose = _openmp()


_kept = threading.local()  # `before`: what this thread had, while it shares nothing out


def threads_off() -> None:
    """From now on this thread shares nothing out, until `threads_on`."""
    threads_on()  # an interrupt may have kept the last one from it
    threads = torch.get_num_threads()
    if threads > 1 and _choose is not None:
        _kept.before = threads
        _choose(1)


def threads_on() -> None:
    """Undo `threads_off`, if there was one."""
    before = getattr(_kept, "before", 0)
    if before and _choose is not None:
        _choose(before)
        _kept.before = 0
