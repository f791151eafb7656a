"""Changes of a study's files that a full disk or a kill cannot leave half-done: `append`, `replace`, `set_aside`."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import count
from pathlib import Path

from runner.errors import UserError
from runner.system.locks import advice


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
        raise UserError(
            f"{path}: cannot append ({error.strerror or error}); "
            f"{advice(error) or 'free space or choose another folder with results=...'}, then run the same command "
            "again: it goes on from the last row"
        ) from error


def replace(path: Path, lines: Iterable[bytes], keep: Callable[[], bool]) -> Path | None:
    """Put a file of these lines in the place of `path`: who opens it sees the old one or the new one, whole.

    Args:
        path: a file that is there and may be written; where it is a link, the file that it leads to is replaced. The
            new one gets its owner, group and permissions.
        lines: of the new file, each with its newline; may be read from the old one.
        keep: asked when all lines are written, whether the old file stays under another name.

    Returns: the old file's copy, if it was to stay.

    Raises: UserError if the disk or the permissions do not let it be replaced; then it is as it was, and nothing else
    is left. The caller holds its lock.
    """
    real = path.resolve()
    draft, old = real.with_name(f".{real.name}.part"), None
    try:
        with real.open("ab"):  # refused where a row could not be appended either
            status = real.stat()
        try:
            draft.unlink(missing_ok=True)
            with open(draft, "xb", opener=_private) as file:
                file.writelines(lines)
                file.flush()
                os.fsync(file.fileno())
            if (status.st_uid, status.st_gid) != (draft.stat().st_uid, draft.stat().st_gid):
                os.chown(draft, status.st_uid, status.st_gid)
            draft.chmod(stat.S_IMODE(status.st_mode))
            if keep():
                old = _free(real)  # a copy, so that there is a file called `path` at every instant
                shutil.copyfile(real, old)
                shutil.copymode(real, old)
            draft.replace(real)
        except BaseException:
            for leftover in (draft, old):
                if leftover:
                    leftover.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UserError(
            f"{path}: an older version wrote it, and a file with today's columns cannot be put in its place "
            f"({error.strerror or error}); free space, give yourself the right to write the file and its folder, or "
            "choose another with results=...; no row is lost"
        ) from error
    return old


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def set_aside(path: Path) -> Path:
    """Rename a file or folder to the first of `<name>.old1`, `<name>.old2`, ... that is free; its new path."""
    old = _free(path)
    path.rename(old)
    return old


def _free(path: Path) -> Path:
    return next(p for i in count(1) if not (p := path.with_name(f"{path.name}.old{i}")).exists())
