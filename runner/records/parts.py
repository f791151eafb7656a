"""Part files: each job of a launcher writes tables of its own, so jobs on several machines need no lock in common.

A part is a folder `.state/parts/LAUNCH-SHARD-HOST-PID/` with `trials.csv`, `curves.csv`, ... like the study's own. It
is written by one job alone (whose processes share a lock of their machine), read by everybody together with the
study's tables, and merged into these by the command that launched it (runner/execution/cluster/merge.py).
"""

from __future__ import annotations

import os
import re
import socket
import time
from contextlib import suppress
from pathlib import Path

LONG = 7 * 24 * 3600.0  # seconds without a write after which a job on another machine is taken to be dead
SHORT = 60.0  # the same for a job of this machine whose process has ended: one of its workers may still save
_NAME = re.compile(r"(?P<launch>\w+)-(?P<shard>\d+)-(?P<host>.*)-(?P<pid>\d+)")
ENDED = "ended"


def new(launch: str, shard: int) -> str:
    """The name of a part of this process; parts sort by launch, then by shard."""
    return f"{launch}-{shard:04d}-{_host()}-{os.getpid()}"


def _host() -> str:
    """The name of this machine, as far as it can be part of a folder's name."""
    return re.sub(r"[^\w.]", "_", socket.gethostname())


def home(folder: Path, part: str) -> Path:
    """Where the tables of a part are; without one, the study's own."""
    return folder / ".state" / "parts" / part if part else folder


def of(folder: Path) -> list[Path]:
    """The parts of a study that have not been merged to the end, the oldest launch first."""
    try:
        return sorted(path for path in (folder / ".state" / "parts").iterdir() if _NAME.fullmatch(path.name))
    except OSError:  # no job was ever launched, so the folder does not exist
        return []


def end(part: Path) -> None:
    """Say that nothing more will be written to a part; a job does so when it ends, unless it is killed."""
    with suppress(OSError):  # the job ended before its folder existed
        (part / ENDED).touch()


def has_ended(part: Path) -> bool:
    """Whether the job that wrote it is known, or must be taken, to have ended."""
    name = _NAME.fullmatch(part.name)
    assert name is not None
    if (part / ENDED).exists():
        return True
    is_local = name["host"] == _host()
    if is_local and alive(int(name["pid"])):
        return False
    try:
        rest = time.time() - max(path.stat().st_mtime for path in (part, *part.iterdir()))
        return rest > (SHORT if is_local else LONG)
    except OSError:  # another process removes the part, or it cannot be read
        return False


def alive(process: int) -> bool:
    """Whether a process of this machine runs."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True
