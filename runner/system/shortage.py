"""Running out of memory, whatever library says so: `is_shortage(error)`; and how long to wait for some: `Patience`.

That memory is short says nothing about a trial: it gets no row, and is trained when there is memory again.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator

WAITS = (2.0, 4.0, 8.0, 16.0)  # seconds before a trial that had no room even alone is tried again, and again

_WORDS = (
    "out of memory",
    "not enough memory",
    "allocate memory",  # "can't allocate memory" of torch, "Cannot allocate memory" of the system
    "unable to allocate",
    "bad_alloc",
    "alloc_failed",  # CUBLAS_STATUS_ALLOC_FAILED, CUDNN_STATUS_ALLOC_FAILED
    "could not create a memory",  # oneDNN
    "could not create a primitive",
    "failed to map segment",  # the dynamic loader
    "failed to allocate",
    "unable to mmap",
    "can't start new thread",
)


class ShortError(Exception):
    """A trial has no room even alone."""


def is_shortage(error: BaseException) -> bool:
    """Whether `error` says, itself or by what has caused it, that there was no memory."""
    return any(map(_says_so, _chain(error)))


def _says_so(error: BaseException) -> bool:
    """Whether this error itself says that there was no memory."""
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError | OSError | ImportError | SystemError) and any(w in text for w in _WORDS)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, what has caused it, what has caused that, and so on."""
    seen: list[BaseException] = []
    inner: BaseException | None = error
    while inner is not None and inner not in seen:
        yield inner
        seen.append(inner)
        inner = inner.__cause__ or inner.__context__


def reason(error: BaseException) -> str:
    """The type of `error` and the first line of its text, at most 300 characters."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:300].rstrip(": ")


class Patience:
    """How long to wait for memory; it begins anew whenever something could be trained."""

    def __init__(self) -> None:
        self.waited = 0

    def next(self) -> float | None:
        """Seconds to wait before the next try; None when there should be none."""
        self.waited += 1
        return WAITS[self.waited - 1] if self.waited <= len(WAITS) else None
