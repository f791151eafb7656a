"""Whether the arrays of a dataset will fit into memory, asked before they are read: `check_room(size, ...)`."""

from __future__ import annotations

import math
import resource
from pathlib import Path, PurePosixPath

from runner.errors import UserError

MACHINE, OWN, GROUPS = Path("/proc/meminfo"), Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
COPIED = 1.15  # arrays, and the validation set held out of them, which is copied once


def check_room(size: int, where: str, advice: str) -> None:
    """UserError beginning with `where` if `size` bytes of arrays need more memory than there is.

    `advice` names the settings that lower it.
    """
    need, free = COPIED * size, available()
    if need > free:
        raise UserError(f"{where}: needs {_text(need)} of memory to read, and {_text(free)} are free; {advice}")


def available() -> float:
    """Bytes of memory that this process can still get: of the machine, its control group and its own limits."""
    return max(0.0, min(machine_memory(), _groups(), _limits()))


def machine_memory() -> float:
    """Bytes of memory that the machine has available; infinite where the system does not say."""
    try:
        lines = MACHINE.read_text().splitlines()
        return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return math.inf


def _groups() -> float:
    """What is left below the limits of the control groups that this process is in, version 1 or 2."""
    left = math.inf
    try:
        lines = OWN.read_text().splitlines()
    except OSError:
        return left
    for line in lines:
        _, kinds, name = (*line.split(":", 2), "", "")[:3]
        if kinds not in ("", "memory"):
            continue
        top = GROUPS / kinds
        limit, used, cache = (
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            if kinds
            else ("memory.max", "memory.current", "inactive_file")
        )
        # In a container the name may be the one outside of it, while the group lies at the top inside. So all folders
        # from the top to the name are looked at, and those that do not exist are passed over.
        for group in {top, *(top / str(p).lstrip("/") for p in (PurePosixPath(name), *PurePosixPath(name).parents))}:
            left = min(left, _left(group, limit, used, cache))
    return left


def _left(group: Path, limit: str, used: str, cache: str) -> float:
    try:
        most, taken = int((group / limit).read_text()), int((group / used).read_text())
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return most - taken + int(stat.get(cache, 0))  # the system frees what is only a copy of files first
    except (OSError, ValueError):  # there is no such group, or its limit is "max"
        return math.inf


def _limits() -> float:
    """What is left of the address space that `ulimit -v` allows."""
    try:
        most, _ = resource.getrlimit(resource.RLIMIT_AS)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        return math.inf if most == resource.RLIM_INFINITY else float(most - pages * resource.getpagesize())
    except (OSError, ValueError, IndexError):
        return math.inf


def _text(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
