"""A function or class of somebody else's code, by its place: `imported("package.module:name", ...)`.

The current folder is searched last, so that no file there can take the place of an installed package.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from runner.data.code_place import with_current_folder
from runner.errors import UserError


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
