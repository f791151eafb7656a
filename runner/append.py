"""`append(path, data)`: to the end of a file, all of it or nothing. `set_aside(path)`: what is not ours, kept."""

from __future__ import annotations

import os
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
        raise UserError(
            f"{path}: cannot append ({error.strerror or error}); free space or choose another folder with "
            "results=..., then run the same command again: it goes on from the last row"
        ) from error


def set_aside(path: Path) -> Path:
    """Rename a file or folder to the first of `<name>.old1`, `<name>.old2`, ... that is free; its new path."""
    old = next(p for i in count(1) if not (p := path.with_name(f"{path.name}.old{i}")).exists())
    path.rename(old)
    return old
