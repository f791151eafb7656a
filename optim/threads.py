"""`threads_off()` and `threads_on(...)`: torch's operators on the calling thread alone, faster for small tensors.

`torch.set_num_threads` would do, but it also sets what threads see that first use torch meanwhile, and they keep that
for ever. The number that OpenMP keeps for each thread is the same one, and concerns no other thread.
"""

from __future__ import annotations

import ctypes
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


def threads_off() -> int:
    """From now on this thread shares nothing out. Returns what `threads_on` takes; 0 where nothing was changed."""
    threads = torch.get_num_threads()
    if threads == 1 or _choose is None:
        return 0
    _choose(1)
    return threads


def threads_on(threads: int) -> None:
    """Undo `threads_off`, whose result this takes."""
    if threads and _choose is not None:
        _choose(threads)
