"""Paths that the user gave, and whatever parses the files there: all that goes wrong becomes one line.

`existing(path, ...)` first, then `with reading(...)` around the parser; `with within(where):` names the place.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runner.data.settings import DatasetSettings
from runner.errors import UserError


def existing(path: str, example: str, folder: bool = False) -> Path:
    """`dataset.path` as a file or folder that is there; `example` is the setting to show if it is not (UserError)."""
    kind = "folder" if folder else "file"
    if not path.strip():
        raise UserError(f"dataset.path: must name a {kind}, for example {example}")
    expanded = Path(os.path.expanduser(path))
    # os.path answers False where pathlib raises, as behind a folder that may not be entered.
    if not os.path.exists(expanded):
        absolute = os.path.abspath(expanded)
        raise UserError(f"dataset.path={path}: there is no {kind} {absolute}; give one, as in {example}")
    # A pipe or a device is no file: it would be read for ever.
    if not (os.path.isdir(expanded) if folder else os.path.isfile(expanded)):
        raise UserError(f"dataset.path={path}: must be a {kind}, as in {example}")
    return expanded


def place(settings: DatasetSettings) -> str:
    """The settings that say which data it is, for the beginning of a message."""
    path, make = getattr(settings, "path", ""), getattr(settings, "make", "")
    return f"dataset={settings.name}" + f" dataset.path={path}" * bool(path) + f" dataset.make={make}" * bool(make)


@contextmanager
def reading(what: str, right: str) -> Iterator[None]:
    """Turn whatever a parser raises into `<what>: cannot be read (<reason>); <right>` (UserError).

    Damaged files make parsers raise nearly any exception, so all of them are taken for the file's fault.
    """
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:
        raise UserError(f"{what}: cannot be read ({reason(error)}); {right}") from error


@contextmanager
def within(where: str) -> Iterator[None]:
    """Let a UserError begin with `where`, for what does not know which file or folder it reads."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def words(name: object) -> str:
    """A name or text from the disk as one line, for it may hold line breaks."""
    return " ".join(str(name).split())


def reason(error: BaseException) -> str:
    """What `error` says, or else its type, in one line of at most 160 characters."""
    text = words(error) or type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."
