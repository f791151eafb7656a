"""Ctrl-C and SIGTERM while a stack trains: noted at once, obeyed where its state can be saved.

`with deferred():` around the training, in which `requested()` says the signal that has come; who has saved then raises
`Interrupted`.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(BaseException):
    """The training has stopped because of signal `number`; no Exception, so that nobody takes it for a failure."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


_number = 0


def requested() -> int:
    """The signal that asks for an end, or 0."""
    return _number


@contextmanager
def deferred() -> Iterator[None]:
    """Note SIGINT and SIGTERM instead of obeying them; a second one is obeyed at once. What is ignored stays so."""
    global _number
    if threading.current_thread() is not threading.main_thread():  # where Python delivers no signal
        yield
        return
    _number = 0
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    taken = [s for s, handler in before.items() if handler is not signal.SIG_IGN]

    def note(number: int, frame: FrameType | None) -> None:
        global _number
        if _number:
            raise Interrupted(number)
        _number = number

    for s in taken:
        signal.signal(s, note)
    try:
        yield
    finally:
        for s in taken:
            signal.signal(s, before[s])
