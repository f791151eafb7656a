"""A dataset as one file of arrays that is mapped, not read: `write(dataset, descriptor)`, `mapped(descriptor)`.

The file begins with JSON that says what the arrays are and where they begin, and the rest of the dataset. It says how
long the file is and when it was made too, so that one that was cut short or written to is not taken for the dataset.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np

from optim.arithmetic import ceil_div
from runner.data.arrays import Region, chunks
from runner.data.dataset import SPLITS, Dataset, Split

ALIGNED = 4096  # arrays begin at multiples of this
HEAD = 16  # digits of the length of the JSON, in front of it
PLAIN = tuple(f.name for f in fields(Dataset) if f.name not in SPLITS)


def write(dataset: Dataset, descriptor: int) -> None:
    """Write `dataset` to an empty file, open as `descriptor`, and to the disk (OSError)."""
    arrays: list[dict[str, Any]] = []
    size = 0
    for array in _arrays(dataset):
        arrays.append({"dtype": array.dtype.str, "shape": array.shape, "offset": size})
        size += _aligned(array.nbytes)
    made = int(time.time()) // 2 * 2 * 10**9  # every file system can keep a time of even seconds
    head = {name: getattr(dataset, name) for name in PLAIN} | {"arrays": arrays, "size": size, "made": made}
    text = json.dumps(head).encode()
    first = _aligned(HEAD + len(text))
    os.truncate(descriptor, first + size)
    _write(descriptor, f"{len(text):{HEAD}d}".encode() + text, 0)
    for place, array in zip(arrays, _arrays(dataset), strict=True):
        offset = first + place["offset"]
        for part in chunks(array):
            _write(descriptor, np.ascontiguousarray(part).reshape(-1).view(np.uint8).data, offset)
            offset += part.nbytes
    os.fsync(descriptor)
    os.utime(descriptor, ns=(time.time_ns(), made))


def mapped(descriptor: int) -> Dataset:
    """The dataset of a file, whose descriptor is closed or kept by its arrays. ValueError if it is damaged."""
    region = Region.of(descriptor, private=True)
    try:
        end = HEAD + int(region[:HEAD])
        head, first, status = json.loads(region[HEAD:end]), _aligned(end), os.fstat(descriptor)
        if (status.st_size, status.st_mtime_ns) != (first + head["size"], head["made"]):
            raise ValueError("was cut short or written to")
        arrays = [region.array(np.dtype(a["dtype"]), a["shape"], first + a["offset"]) for a in head["arrays"]]
        known: dict[str, Any] = {name: Split(*arrays[2 * i : 2 * i + 2]) for i, name in enumerate(SPLITS)}
        known |= {name: tuple(head[name]) if isinstance(head[name], list) else head[name] for name in PLAIN}
        return Dataset(**known)
    except (LookupError, TypeError, RecursionError, OverflowError, OSError) as error:
        raise ValueError(f"is no file of arrays ({error})") from error


def _arrays(dataset: Dataset) -> Iterator[np.ndarray]:
    for split in dataset.splits.values():
        yield from (split.x, split.y)


def _aligned(size: int) -> int:
    return ceil_div(size, ALIGNED) * ALIGNED


def _write(descriptor: int, data: Any, offset: int) -> None:
    view = memoryview(data)
    while len(view):  # a write may take a part only
        count = os.pwrite(descriptor, view, offset)
        view, offset = view[count:], offset + count
