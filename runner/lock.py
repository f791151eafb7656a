"""The lock of a study, shared by every process that works on it: `with Lock(path):`."""

from __future__ import annotations

import sys
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from runner.errors import UserError

PATIENCE = 3.0  # seconds of waiting before a word about it; a study's own processes hold its lock for milliseconds


def acquire(lock: BaseFileLock, path: Path) -> None:
    """Take `lock`, however long another process holds it; who waits for more than a few seconds is told for what."""
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        print(f"note: waiting for {path}, which another process holds; this goes on when it is free", file=sys.stderr)
        sys.stderr.flush()
        lock.acquire(timeout=-1)


def refused(path: Path, error: OSError | NotImplementedError) -> UserError:
    """What to raise where `path` cannot be locked; NotImplementedError is of a file system that has no locks."""
    reason = getattr(error, "strerror", None) or error
    return UserError(f"{path}: cannot write there ({reason}); free space, or set results=... to another folder")


class Lock:
    """The file lock of a study; what the system refuses while it is held is the user's to mend."""

    def __init__(self, path: Path) -> None:
        self.path, self.lock = path, FileLock(path)

    def __enter__(self) -> None:
        try:
            acquire(self.lock, self.path)
        except (OSError, NotImplementedError) as error:
            raise refused(self.path, error) from error

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self.lock.release()
        if isinstance(error, OSError):
            raise UserError(
                f"{error.filename or self.path}: {error.strerror or error}; mend it or move it away, then run the "
                "same command again"
            ) from error
