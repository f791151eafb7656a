"""The lock of a study, shared by every process that works on it: `with Lock(path):`."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock

from runner.errors import UserError


class Lock:
    """The file lock of a study; what the system refuses while it is held is the user's to mend."""

    def __init__(self, path: Path) -> None:
        self.path, self.lock = path, FileLock(path)

    def __enter__(self) -> None:
        try:
            self.lock.acquire()
        except OSError as error:
            raise UserError(f"{self.path}: cannot write there ({error.strerror}); set results=...") from error

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self.lock.release()
        if isinstance(error, OSError):
            raise UserError(f"{error.filename or self.path}: {error.strerror or error}") from error
