"""Large arrays: in memory that processes share, and a piece at a time.

`empty(shape, dtype)`, `shared(array)` and `packed(array)`: an array that worker processes map instead of copying lies
in a region, which is a file without a name, or one of the cache, mapped into memory. A process that is started gets the
file's descriptor, so that all processes together hold the array once. The system frees a file without a name when the
last process that has it open ends, however it ends.

`chunks(array)` goes through an array in pieces, so that what is computed from it takes little memory.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import reduction
from multiprocessing.context import get_spawning_popen
from typing import Any

import numpy as np

SMALL = 2**20  # bytes; a smaller array is not worth a file
CHUNK = 2**22  # bytes in a piece


class Region(mmap.mmap):
    """A mapped file whose descriptor stays open, to be handed to processes that this one starts."""

    descriptor: int

    @classmethod
    def of(cls, descriptor: int, private: bool) -> Region:
        """Map the whole file; the region closes `descriptor`. What is written to a `private` one stays here."""
        try:
            region = cls(descriptor, 0, access=mmap.ACCESS_COPY if private else mmap.ACCESS_WRITE)
        except BaseException:
            os.close(descriptor)
            raise
        region.descriptor = descriptor
        return region

    def array(self, dtype: np.dtype[Any], shape: Sequence[int], offset: int) -> np.ndarray:
        """The array of this `dtype` and `shape` that begins `offset` bytes from the start."""
        return np.frombuffer(self, dtype, math.prod(shape), offset).reshape(shape)

    def __reduce__(self) -> tuple[Callable[..., Region], tuple[Any]]:
        return _reopened, (reduction.DupFd(self.descriptor),)

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


def empty(shape: Sequence[int], dtype: Any) -> np.ndarray:
    """An array of this `shape` and `dtype` with arbitrary content, in a region unless it is small or there is none."""
    kind = np.dtype(dtype)
    size = math.prod(shape) * kind.itemsize
    if size >= SMALL:
        try:
            descriptor = _nameless()
            try:
                os.ftruncate(descriptor, size)
            except BaseException:
                os.close(descriptor)
                raise
            return Region.of(descriptor, private=False).array(kind, shape, 0)
        except (OSError, ValueError):  # too many open files, or no room for files
            pass
    return np.empty(shape, kind)


def shared(array: np.ndarray) -> np.ndarray:
    """The array itself if it is small or lies in a region, else a copy in one."""
    if array.nbytes < SMALL or region_of(array) is not None:
        return array
    copy = empty(array.shape, array.dtype)
    copy[...] = array
    return copy


def packed(array: np.ndarray) -> Any:
    """What to pickle for an array: where it lies, while a process is being started; else the array."""
    region = region_of(array)
    if region is None or get_spawning_popen() is None or not array.flags.c_contiguous:
        return array
    start = np.frombuffer(region, np.uint8)
    return _Reference(region, array.dtype, array.shape, _address(array) - _address(start))


class _Reference:
    """Pickles as an array of a region, and is one when it is unpickled."""

    def __init__(self, region: Region, *where: Any) -> None:
        self.region, self.where = region, where

    def __reduce__(self) -> tuple[Callable[..., np.ndarray], tuple[Any, ...]]:
        return Region.array, (self.region, *self.where)


def region_of(array: np.ndarray) -> Region | None:
    """The region that an array lies in."""
    base: Any = array
    while isinstance(base, np.ndarray | memoryview):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    return base if isinstance(base, Region) else None


def _address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


def _nameless() -> int:
    """The descriptor of a new file that no folder lists; memory on Linux, whatever the size of /dev/shm."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("dataset", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _reopened(descriptor: Any) -> Region:
    return Region.of(descriptor.detach(), private=True)


def chunks(array: np.ndarray) -> Iterator[np.ndarray]:
    """Pieces along the first axis, at least one example each; none of an empty array."""
    count = rows(array)
    return (array[start : start + count] for start in range(0, len(array), count))


def rows(array: np.ndarray) -> int:
    """Examples in a piece of `array`, along its first axis."""
    return max(1, CHUNK * len(array) // max(1, array.nbytes))
