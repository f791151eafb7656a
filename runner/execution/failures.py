"""Where something failed: tracebacks for `.state/errors.log`, and each distinct one once for the terminal.

A process that trains calls `Failures(folder, tell).note(error, trials)`; `once(tell)` is for the process that shows.
"""

from __future__ import annotations

import hashlib
import os
import socket
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from runner.system.clock import now

Tell = Callable[[str, Any], None]  # how a process that trains tells what happens: the kind of event, and its content


class Failures:
    """What has failed in this process. `folder`: of the study; `tell` gets ("error", (name, text)) for each new one."""

    def __init__(self, folder: Path, tell: Tell = lambda kind, content: None) -> None:
        self.path, self.tell = folder / ".state" / "errors.log", tell
        self.seen: set[str] = set()

    def note(self, error: BaseException, trials: Iterable[str]) -> None:
        """Append to the log: when, where, which `trials` by id, and the traceback of `error`, unless this process has.

        A log that cannot be written stops nothing: what is new is shown all the same.
        """
        name, text = identity(error), "".join(traceback.format_exception(error)).rstrip()
        new = name not in self.seen
        self.seen.add(name)
        head = f"{now()} {socket.gethostname()} process {os.getpid()}, trial {' '.join(trials) or '-'}, error {name}"
        last = text.splitlines()[-1]
        entry = f"{head}:\n{text}\n\n" if new else f"{head}, as above: {last}\n\n"
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            log = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.write(log, entry.encode(errors="replace"))  # one write, because other processes append too
            finally:
                os.close(log)
        if new:
            self.tell("error", (name, f"{text}\n(error {name}, also in {self.path})"))


def identity(error: BaseException) -> str:
    """A short name of an error: the same for one that is raised by the same line along the same way."""
    frames = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    return hashlib.sha256(repr((type(error).__name__, frames)).encode()).hexdigest()[:8]


def once(tell: Tell) -> Tell:
    """`tell`, which hears of each distinct error once, as a note, whichever process it came from."""
    seen: set[str] = set()

    def told(kind: str, content: Any) -> None:
        if kind != "error":
            tell(kind, content)
        elif content[0] not in seen:
            seen.add(content[0])
            tell("note", content[1])

    return told
