"""A file of an older version gets the columns of today: `widen(path, table, width)`."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from runner.errors import UserError
from runner.records.lines import Rows, header
from runner.records.schema import COLUMNS
from runner.system.files import free_name, replacing


def widen(path: Path, table: str, width: int) -> None:
    """Put a file with today's columns in the place of one with the first `width` of them; the caller holds its lock.

    Every row keeps its cells, byte for byte, and gets an empty one for each column that was added since. Readers see
    the one file or the other, and a kill leaves the old one. Where lines are damaged these are left out, and the old
    file stays beside the new one under another name. The new one gets the old one's owner, group and permissions.

    Raises: UserError where the disk or the permissions forbid it; the file is then as it was.
    """
    real, old = path.resolve(), None  # where `path` is a link, the file that it leads to is replaced
    rows = Rows(real, table)
    try:
        with real.open("ab"):  # who may not append a row to the file may not replace it
            status = real.stat()
        with replacing(real, alone=True) as draft:
            with open(draft, "xb", opener=_private) as file:
                file.write(header(table))
                file.writelines(line for _, line in rows)
            if (status.st_uid, status.st_gid) != (draft.stat().st_uid, draft.stat().st_gid):
                os.chown(draft, status.st_uid, status.st_gid)
            draft.chmod(stat.S_IMODE(status.st_mode))
            if rows.damaged:
                # A copy and no rename, so that there is a file called `path` at every instant.
                old = free_name(real)
                shutil.copyfile(real, old)
                shutil.copymode(real, old)
    except BaseException as error:
        if old:
            old.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise UserError(
            f"{path}: an older version wrote it, and a file with today's columns cannot be put in its place "
            f"({error.strerror or error}); free space, give yourself the right to write the file and its folder, or "
            "choose another with results=...; no row is lost"
        ) from error
    damage = f"; {len(rows.damaged)} damaged lines are left out, and the file as it was is {old.name}" if old else ""
    new = ", ".join(COLUMNS[table][width:])
    print(f"note: {path}: an older version wrote it; it now has {new} too, and keeps its rows{damage}", flush=True)


def _private(path: str, flags: int) -> int:
    """Open the draft for its owner alone until it has the old file's permissions."""
    return os.open(path, flags, 0o600)
