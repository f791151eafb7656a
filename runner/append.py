"""Changes of a study's files that a full disk or a kill cannot leave half-done: `append`, `replace`, `set_aside`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import count
from pathlib import Path

from runner.errors import UserError


def append(path: Path, data: bytes) -> None:
    """Write `data` behind what is there, with one write if the disk takes it, and flush it to the disk.

    The caller holds the study's lock. A disk that is full leaves the file as it was (UserError); a kill may leave a
    part of `data`, which is the reader's to recognise.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        before = os.fstat(descriptor).st_size
        try:
            written = 0
            while written < len(data):  # the write that follows a short one says what is wrong
                written += os.write(descriptor, data[written:])
            os.fsync(descriptor)
        except OSError:
            with suppress(OSError):
                os.ftruncate(descriptor, before)
            raise
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _refused(path, error) from error


def replace(path: Path, lines: Iterable[bytes], keep: Callable[[], bool]) -> Path | None:
    """Put a file of these lines in the place of `path`: who opens it sees the old one or the new one, whole.

    Args:
        path: a file that is there; the new one gets its permissions.
        lines: of the new file, each with its newline; may be read from the old one.
        keep: asked when all lines are written, whether the old file stays under another name.

    Returns: the old file's new path, if it was to stay.

    Raises: UserError if the disk does not take the new file; then the old one is as it was. The caller holds its lock.
    """
    draft = path.with_name(f".{path.name}.part")
    try:
        try:
            with draft.open("wb") as file:
                file.writelines(lines)
                file.flush()
                os.fsync(file.fileno())
            shutil.copymode(path, draft)
            old = _free(path) if keep() else None
            if old:
                shutil.copyfile(path, old)  # a copy, so that there is a file called `path` at every instant
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _refused(path, error) from error
    return old


def set_aside(path: Path) -> Path:
    """Rename a file or folder to the first of `<name>.old1`, `<name>.old2`, ... that is free; its new path."""
    old = _free(path)
    path.rename(old)
    return old


def _free(path: Path) -> Path:
    return next(p for i in count(1) if not (p := path.with_name(f"{path.name}.old{i}")).exists())


def _refused(path: Path, error: OSError) -> UserError:
    return UserError(
        f"{path}: cannot append ({error.strerror or error}); free space or choose another folder with "
        "results=..., then run the same command again: it goes on from the last row"
    )
