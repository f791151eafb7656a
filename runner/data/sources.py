"""What tells one content of a dataset's files from another without reading them: `files(settings)`, `content(root)`.

`code()` is the same for what reads them.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from runner.data.settings import DatasetSettings, DigitsSettings, FileSettings, TextSettings, TorchvisionSettings

LIBRARIES = ("numpy", "scikit-learn", "pillow", "torchvision")


def files(settings: DatasetSettings) -> list[Path]:
    """The files and folders that the dataset of these `settings` is read from; none where it is generated."""
    if isinstance(settings, DigitsSettings):
        # Looked for, not imported: scikit-learn's import takes ten times as long as reading the split from the cache.
        spec = find_spec("sklearn")
        places = (spec.submodule_search_locations if spec is not None else None) or []
        return [Path(place) / "datasets" / "data" / "digits.csv.gz" for place in places]
    if isinstance(settings, TorchvisionSettings):
        from runner.data.vision import SOURCES

        root = Path(os.path.expanduser(settings.root))
        # What lies in the root itself, as archives do, stands in for what is missing in the folder.
        loose = [path for path in sorted(root.iterdir()) if path.is_file() and not path.name.startswith(".")]
        folder = root / SOURCES[settings.name].folder
        return [folder, *loose] if folder.is_dir() else loose
    if isinstance(settings, FileSettings | TextSettings) and settings.path.strip():
        return [Path(os.path.expanduser(settings.path))]
    return []


def content(root: Path) -> str:
    """Hash of the names below `root`, and of the sizes and times of what they name.

    The time of the last change of a file's entry (ctime), which no program can set, is one of them: a file that was
    written over or replaced is noticed though its size and its own time are the same. OSError if `root` cannot be read.
    """
    digest = hashlib.sha256()
    status = root.stat()
    if not root.is_dir():
        _note(digest, "", status)
        return digest.hexdigest()
    seen = {(status.st_dev, status.st_ino)}
    folders = [(os.fspath(root), "")]
    while folders:
        folder, name = folders.pop()
        try:
            with os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            if not name:
                raise
            listed = []
            digest.update(os.fsencode(f"{name}/ {error.errno}\0"))
        for entry in listed:
            below = f"{name}/{entry.name}"
            try:
                status = entry.stat()
                folder_too = entry.is_dir()
            except OSError as error:  # a link to nowhere, or to itself
                digest.update(os.fsencode(f"{below} {error.errno}\0"))
                continue
            if not folder_too:
                _note(digest, below, status)
                continue
            # Links may lead to a folder twice, or round in a circle.
            key = (status.st_dev, status.st_ino)
            digest.update(os.fsencode(f"{below}/ {key if key in seen else ''}\0"))
            if key not in seen:
                seen.add(key)
                folders.append((entry.path, below))
    return digest.hexdigest()


def _note(digest: hashlib._Hash, name: str, status: os.stat_result) -> None:
    digest.update(os.fsencode(f"{name}\0{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}\0"))


@functools.cache
def code() -> str:
    """Hash of the code that reads datasets and of the versions of the libraries that it uses."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    for name in LIBRARIES:
        try:
            digest.update(f" {name} {version(name)}".encode())
        except PackageNotFoundError:
            digest.update(f" {name}".encode())
    digest.update(f" {sys.version_info[:2]} {sys.byteorder} {platform.machine()}".encode())
    return digest.hexdigest()
