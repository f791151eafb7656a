"""Many files to one array, by several threads: `decoded(paths, shape, decode)`.

Libraries that decode images release Python's lock while they do, and each image is written straight to its place.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from runner.data.arrays import empty

SOME = 64  # files that a thread decodes before it takes more


def decoded(paths: Sequence[Any], shape: Sequence[int], decode: Callable[[Any], np.ndarray], what: str) -> np.ndarray:
    """uint8 [len(paths), *shape]: what `decode` makes of each path.

    Args:
        paths: in the order of the array.
        shape: of what `decode` gives.
        decode: called from several threads at once; the error that stops it first ends all.
        what: the name of the progress bar, which is shown where there is a terminal.
    """
    from tqdm import tqdm

    x = empty((len(paths), *shape), np.uint8)
    stopped = False

    def fill(start: int) -> int:
        some = paths[start : start + SOME]
        for i, path in enumerate(some, start):
            if not stopped:
                x[i] = decode(path)
        return len(some)

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with (
        tqdm(total=len(paths), desc=what, disable=None, leave=False) as bar,
        ThreadPoolExecutor(cores, "decode") as threads,
    ):
        try:
            for count in threads.map(fill, range(0, len(paths), SOME)):
                bar.update(count)
        finally:  # after an error or Ctrl-C the others end at once
            stopped = True
    return x
