"""A function or class of somebody else's code, by its place: `imported("package.module:name")`, `source_hash(...)`.

The current folder is searched last, so that no file there can take the place of an installed package.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runner.errors import UserError

PLACE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
WORDS = "package.module:name, such as mypkg.nets:make"  # what is right, for messages


def imported(place: str, key: str) -> Callable[..., Any]:
    """What lies at `place`, "package.module:name".

    Importing it runs that code. UserError, with the last line of the traceback, where it cannot be imported or called.

    Args:
        place: module and name; the name may have dots.
        key: of the command line, for messages.
    """
    module, _, name = place.partition(":")
    with_current_folder()
    try:
        found = _module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:  # importing runs other people's code, which may raise anything
        raise UserError(f"{key}={place}: cannot be imported ({type(error).__name__}: {error})") from error
    if not callable(found):
        raise UserError(f"{key}={place}: is no function or class but {type(found).__name__}")
    return found


def _module(name: str) -> Any:
    """A module; where it imports a torchvision that was not built for this torch, with what torchvision then lacks."""
    try:
        return importlib.import_module(name)
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
    from runner.data.torchvision_import import torchvision_datasets

    torchvision_datasets()
    return importlib.import_module(name)


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
