"""Regular files alone: `check_files(folder)` refuses a study in which reading one of its files would never end."""

from __future__ import annotations

import stat
from pathlib import Path

from runner.errors import UserError
from runner.records import parts
from runner.records.schema import FILES, RESULT_TABLES

_NAMES = (*FILES.values(), *(f"{FILES[table]}.gz" for table in RESULT_TABLES), "study.yaml", "report.html", "claims.md")
_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def check_files(folder: Path) -> None:
    """UserError for the first of the study's files that is there and is none, such as a named pipe or /dev/zero."""
    for path in [place / name for place in (folder, *parts.of(folder)) for name in _NAMES]:
        try:
            mode = path.stat().st_mode
        except (OSError, ValueError):  # no such file, or reading it will say what is wrong
            continue
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # to read a folder fails at once and does not hang
            raise UserError(f"{path}: is {_KINDS.get(stat.S_IFMT(mode), 'no file')}, must be a file; move it away")
