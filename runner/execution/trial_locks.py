"""Who trains what: a process locks a trial, which is one byte of a file, while it trains it.

So any number of processes may work on one study. Each trial is trained once, and the system frees the trials of a
process that is killed at once. All locks of a process need one open file. On Linux they belong to that open file and
not to the process, so nothing else that the process opens and closes can drop them.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import struct
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from runner.system.locks import lacking, local, refused

_OF_FILE: tuple[int, int] = (getattr(fcntl, "F_OFD_SETLK", 0), getattr(fcntl, "F_OFD_SETLKW", 0))  # on Linux alone
_HELD = (errno.EACCES, errno.EAGAIN)
# This byte is locked while a process locks trials: two that want the same stack do not get half of it each.
_TURN = 2**62


def _byte(trial: str) -> int:
    """The place of the byte that stands for a trial, from 0 to before `_TURN`."""
    return int.from_bytes(hashlib.sha256(trial.encode()).digest()[:8], "big") >> 2


class TrialLocks:
    """The trials that this process has locked.

    Args:
        folder: of the study.

    Raises: UserError where the file of the locks cannot be written or locked.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / ".state" / "claims.lock"
        self.held: set[str] = set()
        self.of_file = all(_OF_FILE)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                self._try_out()
            except (OSError, NotImplementedError) as error:
                os.close(self.file)
                if not lacking(error):
                    raise
                self.file = os.open(local(self.path, error), os.O_RDWR | os.O_CREAT, 0o600)
                self._try_out()
        except (OSError, NotImplementedError) as error:
            raise refused(self.path, error) from error

    def _try_out(self) -> None:
        """Find out which kind of lock the system has; OSError where it has none."""
        try:
            self._lock(0, _TURN, fcntl.F_UNLCK)
        except OSError as error:
            if error.errno != errno.EINVAL or not self.of_file:
                raise
            self.of_file = False  # this kernel has no locks of an open file
            self._lock(0, _TURN, fcntl.F_UNLCK)

    def __del__(self) -> None:
        if hasattr(self, "file"):
            with suppress(OSError):
                os.close(self.file)

    def acquire(self, trials: Iterable[str], whole: bool = False) -> set[str]:
        """Lock those of `trials`, ids, that nobody else holds; the ids of what was locked. `whole`: all or none."""
        wanted = [trial for trial in trials if trial not in self.held]
        try:
            self._lock(_TURN, 1, fcntl.F_WRLCK, wait=True)
            try:
                acquired = self._acquired(wanted, whole)
            finally:
                self._lock(_TURN, 1, fcntl.F_UNLCK)
        except OSError as error:
            raise refused(self.path, error) from error
        return acquired

    def _acquired(self, wanted: Sequence[str], whole: bool) -> set[str]:
        acquired: set[str] = set()
        for trial in wanted:
            if self._lock(_byte(trial), 1, fcntl.F_WRLCK):
                self.held.add(trial)
                acquired.add(trial)
            elif whole:
                self.release(acquired)
                return set()
        return acquired

    def release(self, trials: Iterable[str]) -> None:
        """Let others have these trials."""
        for trial in trials:
            self._lock(_byte(trial), 1, fcntl.F_UNLCK)
            self.held.discard(trial)

    def alone(self) -> bool:
        """Whether no other process has locked a trial of this study."""
        assert not self.held, "a lock of this process would be given up"
        if not self._lock(0, _TURN, fcntl.F_WRLCK):
            return False
        self._lock(0, _TURN, fcntl.F_UNLCK)
        return True

    def _lock(self, start: int, length: int, kind: int, wait: bool = False) -> bool:
        """Lock or unlock a range of bytes; False where somebody else has a lock in it."""
        try:
            if self.of_file:
                fcntl.fcntl(self.file, _OF_FILE[wait], struct.pack("hhqqi4x", kind, os.SEEK_SET, start, length, 0))
            else:
                operation = fcntl.LOCK_UN if kind == fcntl.F_UNLCK else fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB)
                fcntl.lockf(self.file, operation, length, start)
        except OSError as error:
            if error.errno in _HELD and not wait:
                return False
            raise
        return True
