"""Ctrl-C and SIGTERM: noted at once, obeyed where nothing is lost by it, and never swallowed.

An exception that a handler raises inside a weak reference's callback or a `__del__` is printed and dropped, and the
signal with it. So the handler of `install()` raises nothing: it notes the signal. Under `with deferred():` a loop looks
at `requested()`, saves, and raises `Interrupted`; anywhere else the handler itself ends the process, with one line and
the status of the signal. No file is harmed by that: rows are appended whole, and other files are renamed into place.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

AGAIN = 0.5  # seconds after which another Ctrl-C is a person's: `timeout` sends each signal twice, at once


class Interrupted(BaseException):
    """The training has stopped because of signal `number`; no Exception, so that nobody takes it for a failure."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def leave(number: int, at_once: bool = False) -> NoReturn:
    """End this process, and those that it has started, now: one line on stderr, and the status of signal `number`.

    Children are told to end by SIGTERM, or by SIGKILL `at_once`.
    """
    with suppress(Exception):
        if processes := sys.modules.get("multiprocessing"):
            for child in processes.active_children():
                child.kill() if at_once else child.terminate()
            _remove_socket(processes)
    with suppress(Exception):
        sys.stdout.flush()
    with suppress(Exception):
        word = "terminated" if number == signal.SIGTERM else "\ninterrupted"
        kept = "recorded rows and saved states are kept" if at_once else "nothing is lost"
        text = f"{word}: {kept}; {_advice or AGAIN_SAME}\n"
        os.write(sys.stderr.fileno(), text.encode())  # below the file object, which may be in the middle of a write
    os._exit(128 + number)


def _remove_socket(processes: Any) -> None:
    """The folder of the fork server's socket, which multiprocessing removes where a process ends in its own time."""
    folder = processes.current_process()._config.get("tempdir")
    if folder and processes.parent_process() is None:
        import shutil

        shutil.rmtree(folder, ignore_errors=True)


AGAIN_SAME = "the same command goes on from there"
_advice = ""  # what to do instead, where another command goes on
_number = 0  # the signal that came first, 0 while none has
_since = 0.0  # when it came, in time.monotonic()
_depth = 0  # how many `with deferred()` are open
_end: Callable[[int], object] = leave
_owner = 0  # the process that installed the handler, which a process forked from it inherits


def advise(text: str) -> None:
    """Have `text` say what a person is to do after an interruption; "": to give the same command again."""
    global _advice
    _advice = text


def requested() -> int:
    """The signal that asks for an end, or 0."""
    return _number


def check() -> None:
    """Raise Interrupted if an end is asked for: in loops that wait and have nothing to save."""
    if _number:
        raise Interrupted(_number)


def install(end: Callable[[int], object] = leave, numbers: Sequence[int] = ()) -> None:
    """Have the handler note signals, and call `end(number)` for the first that comes outside of `deferred`.

    `numbers`: by default SIGTERM, and SIGINT unless it is ignored, as by what a shell starts in the background.
    """
    global _end, _owner
    if threading.current_thread() is not threading.main_thread():  # Python delivers signals to the main thread alone
        return
    _end, _owner = end, os.getpid()
    for number in numbers or _heeded():
        signal.signal(number, _note)


@contextmanager
def installed(end: Callable[[int], object], numbers: Sequence[int]) -> Iterator[None]:
    """`install(end, numbers)`, and how it was before when the block is left."""
    global _number, _end, _owner
    outer = _end, _owner
    before = {number: signal.getsignal(number) for number in numbers}
    install(end, numbers)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        (_end, _owner), _number = outer, 0


def _heeded() -> list[int]:
    """SIGTERM, and SIGINT unless whoever started this process has it ignored."""
    return [n for n in (signal.SIGTERM, signal.SIGINT) if n == signal.SIGTERM or signal.getsignal(n) != signal.SIG_IGN]


def _note(number: int, frame: FrameType | None) -> None:
    """The handler. A repeat changes nothing, but for a person's second Ctrl-C, which ends everything at once."""
    global _number, _since
    if os.getpid() != _owner:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    elif not _number:
        _number, _since = number, time.monotonic()
        if not _depth:
            _end(number)
    elif number == signal.SIGINT and time.monotonic() - _since > AGAIN:
        leave(number, at_once=True)


def _nothing(number: int) -> None:
    """Where `deferred` is all that there is to heed the signal."""


@contextmanager
def deferred() -> Iterator[None]:
    """Leave it to the block to look at `requested()`; what it has not seen when it ends is raised as Interrupted."""
    global _depth
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    if not _depth and signal.getsignal(signal.SIGTERM) is not _note:  # a process without `install`
        with installed(_nothing, _heeded()), deferred():
            yield
        return
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
    if not _depth:
        check()


def to_the_end(main: Callable[[], object]) -> NoReturn:
    """Call `main`, and end the process with its status as the interpreter would, but for what it would take apart.

    While it takes itself apart the interpreter drops what a handler raises, and in the end the handlers too.
    """
    code: object = 0
    try:
        main()
    except SystemExit as error:
        code = error.code
    except Interrupted as error:
        leave(error.number)
    except KeyboardInterrupt:
        leave(signal.SIGINT)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(code or 0)
