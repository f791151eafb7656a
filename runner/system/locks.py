"""The locks of a study, shared by the processes that work on it: `with Lock(path):`.

Where the file system has no locks (some network file systems), they are taken in this machine's own temporary folder.
What runs on several machines does not depend on them: see runner/records/parts.py.
"""

from __future__ import annotations

import errno
import functools
import getpass
import hashlib
import sys
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

from runner.errors import UserError
from runner.system import signals

PATIENCE = 3.0  # seconds of waiting before a word about it; a study's own processes hold its lock for milliseconds
LOOK = 1.0  # seconds between two looks, after that, at whether an end is asked for
LACKING = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


_ADVICE = {
    errno.EMFILE: "raise the number of files that a process may have open (ulimit -n 4096)",
    errno.ENFILE: "this machine has as many files open as it may (sysctl fs.file-max): close other programs",
    errno.ENOMEM: "free memory, or raise the limit (ulimit -v)",
    errno.ENOSPC: "free space, or set results=... to another folder",
    errno.EDQUOT: "free space below your quota, or set results=... to another folder",
    errno.ENAMETOOLONG: "give a shorter study=... or results=...",
}


def advice(error: OSError) -> str:
    """What would help against `error`, by the number of its reason (errno); "" where nothing is known."""
    return _ADVICE.get(error.errno or 0, "")


def refused(path: Path, error: OSError | NotImplementedError) -> UserError:
    """What to raise where `path` cannot be locked, as `error` says."""
    reason = getattr(error, "strerror", None) or error
    help = advice(error) if isinstance(error, OSError) else ""
    help = help or "give yourself the right to write there, or set results=... to another folder"
    return UserError(f"{path}: cannot write there ({reason}); {help}")


def lacking(error: OSError | NotImplementedError) -> bool:
    """Whether `error` says that a file system has no locks."""
    return isinstance(error, NotImplementedError) or error.errno in LACKING


def local(path: Path, error: OSError | NotImplementedError) -> Path:
    """The lock file of this machine alone that stands for `path`, whose file system has none, as `error` says."""
    _note(path.parent, str(getattr(error, "strerror", None) or error))
    folder = Path(tempfile.gettempdir()) / f"adamw-runner-{getpass.getuser()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / f"{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:20]}.lock"


class Lock:
    """A file lock; what the system refuses while it is held is the user's to mend.

    `path`: of the lock's own file, in a folder that is there. UserError where it cannot be taken, and at the end of a
    `with` block for an OSError within it.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.lock, self.shared = path, FileLock(path), True

    def take(self, timeout: float = -1) -> bool:
        """Whether it is ours now, after at most `timeout` seconds; -1: however long it takes."""
        try:
            self.lock.acquire(timeout=timeout)
        except Timeout:
            return False
        except (OSError, NotImplementedError) as error:
            if not lacking(error) or not self.shared:
                raise refused(self.path, error) from error
            self.lock, self.shared = FileLock(local(self.path, error)), False
            return self.take(timeout)
        return True

    def release(self) -> None:
        """Let others have it."""
        self.lock.release()

    def wait(self) -> None:
        """Take it, however long that takes; who waits for more than a few seconds is told for what."""
        if not self.take(PATIENCE):
            text = f"note: waiting for {self.path}, which another process holds; this goes on when it is free"
            print(text, file=sys.stderr, flush=True)
            while not self.take(LOOK):
                signals.check()

    def __enter__(self) -> None:
        self.wait()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self.release()
        if isinstance(error, OSError):
            raise UserError(
                f"{error.filename or self.path}: {error.strerror or error}; "
                f"{advice(error) or 'mend it or move it away'}, then run the same command again"
            ) from error


@functools.cache
def _note(folder: Path, reason: str) -> None:
    """Said once by each process."""
    print(
        f"note: {folder}: a file system without locks ({reason}); they are taken in {tempfile.gettempdir()}, which "
        "other machines do not see: give one command at a time for this study",
        file=sys.stderr,
        flush=True,
    )
