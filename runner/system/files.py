"""Changes of files that a full disk or a kill cannot leave half-done: `append`, `replacing`, `set_aside`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from runner.errors import UserError
from runner.system.locks import advice


def append(path: Path, data: bytes) -> None:
    """Write `data` behind what the file `path` holds, with one write if the disk takes it, and flush it to the disk.

    The caller holds the study's lock. A disk that is full leaves the file as it was (UserError); a kill may leave a
    part of `data`, which is the reader's to recognise.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        before = os.fstat(descriptor).st_size
        try:
            written = 0
            while written < len(data):  # after a short write the next one raises what is wrong
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


@contextmanager
def replacing(path: Path, alone: bool = False) -> Iterator[Path]:
    """`with replacing(path) as draft:` writes a draft beside `path`, which then takes its place.

    Who opens `path` at whatever instant sees the old file or the new one, whole. Where the draft cannot be written it
    is removed, and `path` stays as it was.

    Args:
        path: of the file, which need not exist; its folder must.
        alone: no other process replaces it meanwhile. The draft then has the same name each time, so that what a kill
            has left of one is written over, and it is flushed to the disk before it is renamed. Otherwise its name has
            this process's number.

    Yields: the draft's path, where no file is.

    Raises: OSError.
    """
    draft = draft_of(path) if alone else path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        draft.unlink(missing_ok=True)
        yield draft
        if alone:
            _flush(draft)
        draft.replace(path)
        if alone:
            _flush(path.parent)  # without it a power cut may undo the rename
    except BaseException:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise


def draft_of(path: Path) -> Path:
    """The draft of the file `path`, where one process alone replaces it."""
    return path.with_name(f".{path.name}.part")


def _flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def set_aside(path: Path) -> Path:
    """Rename a file or folder to the first of `<name>.old1`, `<name>.old2`, ... that is free; its new path."""
    old = free_name(path)
    path.rename(old)
    return old


def free_name(path: Path) -> Path:
    """The first of `<name>.old1`, `<name>.old2`, ... beside `path` that is free."""
    return next(p for i in count(1) if not (p := path.with_name(f"{path.name}.old{i}")).exists())
