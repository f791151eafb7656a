"""Where code of others lies, "package.module:name", and its hash, without running it: `source_hash(place)`."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import sys
from pathlib import Path

PLACE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
WORDS = "package.module:name, such as mypkg.nets:make"  # what is right, for messages


def with_current_folder() -> None:
    """Search the current folder for imports, after everything else."""
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)


def source_hash(place: str) -> str:
    """Twelve digits of the SHA-256 of the file in which `place` lies, found without running it; '' where there is none.

    A module that is compiled, or lies in an archive, has no such file.
    """
    path = _file(place.partition(":")[0].split("."))
    if path is None:
        return ""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    except OSError:
        return ""


def _file(parts: list[str]) -> Path | None:
    """The file of a module. Looking for one in a package would import the package, so that folders are walked here."""
    with_current_folder()
    try:
        spec = importlib.util.find_spec(parts[0])
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    if len(parts) == 1:
        return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
    for part in parts[1:-1]:
        folders = [folder / part for folder in folders]
    files = [folder / end for folder in folders for end in (f"{parts[-1]}.py", f"{parts[-1]}/__init__.py")]
    return next((file for file in files if file.is_file()), None)
