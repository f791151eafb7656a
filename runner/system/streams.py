"""Standard output and error that never end a run: `with guarded("runner"):` around a command's main.

What a terminal cannot show is replaced, and what a closed pipe or a full disk does not take is dropped, so that rows
and reports are finished and the exit status is that of the run. One line on stderr says so, where that works; that a
reader has left, as `head` does when it has enough, is said only where something is trained.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any


class Stream:
    """A text stream whose `write` and `flush` do not raise; all else is that of the stream it wraps."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.problem = ""  # why nothing is written any more
        self.left = False  # whether that is because the reader of a pipe has left

    def write(self, text: str) -> int:
        """As a text stream's; what it cannot encode is replaced, what it does not take is dropped."""
        try:
            self._stream.write(text)
        except UnicodeEncodeError:
            encoding = self._stream.encoding or "ascii"
            with self._dropping():
                self._stream.write(text.encode(encoding, "replace").decode(encoding))
        except (OSError, ValueError) as error:  # ValueError: the stream is closed
            self._drop(error)
        return len(text)

    def writelines(self, lines: Any) -> None:
        """`write` for each of `lines`."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """As a text stream's; what it does not take is dropped."""
        with self._dropping():
            self._stream.flush()

    @contextlib.contextmanager
    def _dropping(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            self._drop(error)

    def _drop(self, error: Exception) -> None:
        """From now on to nowhere, what is still buffered too: Python would try again, and complain, at its end."""
        if not self.problem:
            self.left = getattr(error, "errno", None) == errno.EPIPE
        self.problem = self.problem or getattr(error, "strerror", None) or str(error)
        with contextlib.suppress(OSError, ValueError):
            _to_nowhere(self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def guarded(name: str, trains: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Within it `sys.stdout` and `sys.stderr` are such streams; `name` begins the line about output that was lost.

    `trains`: asked in the end whether this was more than a text for a reader, who may leave when it is enough.
    """
    before = sys.stdout, sys.stderr
    _open_missing()
    out, err = Stream(sys.stdout), Stream(sys.stderr)
    sys.stdout, sys.stderr = out, err
    try:
        yield
    finally:
        out.flush()
        if out.problem and (not out.left or trains()):
            err.write(f"{name}: standard output is lost from some line on ({out.problem}); nothing else is\n")
        err.flush()
        sys.stdout, sys.stderr = before


def _open_missing() -> None:
    """Nowhere in place of streams that were closed (`>&-`): the next file to be opened would get their numbers."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            _to_nowhere(number)
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8", closefd=False))


def _to_nowhere(number: int) -> None:
    """Lead a file descriptor to /dev/null."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere != number:
        os.dup2(nowhere, number)
        os.close(nowhere)
    os.set_inheritable(number, True)
