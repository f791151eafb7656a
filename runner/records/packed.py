"""Tables of a study that were packed with gzip to be passed on: `trials.csv.gz` in the place of `trials.csv`.

Whoever reads a study reads them as they are, and a command that adds rows to one unpacks it first. Where a table is
there in both forms, the plain file counts.
"""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from typing import BinaryIO

from runner.errors import UserError
from runner.system.files import replacing


def packed(path: Path) -> Path:
    """The packed form of a table's file."""
    return path.with_name(f"{path.name}.gz")


def present(path: Path) -> bool:
    """Whether a table's file is there, plain or packed."""
    return path.exists() or packed(path).exists()


def opened(path: Path) -> BinaryIO:
    """A table's file, open for reading from its beginning; where there is none, what its packed form holds.

    Raises:
        OSError: as opening the plain file does.
        UserError: for a packed file that is cut or damaged, or that may not be read.
    """
    try:
        return path.open("rb")
    except FileNotFoundError:
        if not packed(path).exists():
            raise
    try:
        if content := gzip.decompress(packed(path).read_bytes()):
            return io.BytesIO(content)
        error: Exception = EOFError("it is empty")
    except (OSError, EOFError, zlib.error) as reason:
        error = reason
    raise UserError(f"{packed(path)}: cannot be unpacked ({error}); take it from a whole copy") from error


def unpack(path: Path) -> bool:
    """Put a plain file in the place of a packed one, so that rows can be added; the caller holds its lock.

    Args:
        path: of the plain file.

    Returns: whether the table was packed.

    Raises: UserError for a packed file that is damaged, or where the disk does not take the plain one.
    """
    if path.exists() or not packed(path).exists():
        return False
    try:
        with opened(path) as file, replacing(path, alone=True) as draft:
            draft.write_bytes(file.read())
        packed(path).unlink()
    except OSError as error:
        raise UserError(f"{path}: cannot be unpacked ({error.strerror or error}); free space there") from error
    print(f"note: {packed(path)}: is now {path.name}, so that rows can be added", flush=True)
    return True
