"""Which image files a class folder holds: `tree(root, inside)` is the call to know.

What is no data is left out and counted: hidden files and folders, links that lead back into the data, other files.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runner.data.picture import regular
from runner.data.reading import within, words
from runner.errors import UserError

# All that Pillow reads as single pictures, if it was built for them, which `picture` then says.
SUFFIXES = frozenset(
    ".png .apng .jpg .jpeg .jpe .jfif .bmp .dib .gif .webp .avif .tif .tiff .ppm .pgm .pbm .pnm .jp2 .j2k .tga".split()
)
# What file managers and archives leave behind; names that begin with a dot are hidden anyway.
_LEFT_BEHIND = {"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "Thumbs.db", "desktop.ini"}


@dataclass
class Tree:
    """The images of one part of the data, and what was left out of it."""

    images: dict[str, list[str]] = field(default_factory=dict)  # paths by class, both in alphabetical order
    skipped: Counter[str] = field(default_factory=Counter)  # other files, by suffix
    hidden: int = 0
    links: int = 0  # to folders of the data itself
    outside: int = 0  # files in no class folder

    def __len__(self) -> int:
        return sum(map(len, self.images.values()))


def hidden(name: str) -> bool:
    """Whether a file or folder of this name is nobody's data."""
    return name.startswith(".") or name in _LEFT_BEHIND


def tree(root: Path, inside: Sequence[Path]) -> Tree:
    """The class folders of `root`, at whatever depth their images lie; `inside` are all the folders of the data.

    The order is that of torchvision's ImageFolder. A link to a folder elsewhere is followed. UserError for two class
    folders that are one, and for an image that is no plain file; OSError for what may not be read.
    """
    part = Tree()
    tops = {os.path.realpath(path) for path in inside}
    classes: dict[str, str] = {}  # by real path
    for entry in sorted(os.scandir(root), key=lambda entry: entry.name):
        if hidden(entry.name):
            part.hidden += 1
        elif not entry.is_dir():
            part.outside += 1
        elif entry.is_symlink() and _holds(os.path.realpath(entry), tops):
            part.links += 1
        else:
            place = os.path.realpath(entry)
            if place in classes:
                raise UserError(
                    f"{words(entry.name)} is {words(classes[place])} by another name; an image has one class"
                )
            classes[place] = entry.name
            part.images[entry.name] = _images(entry.path, tops, part)
    return part


def _images(top: str, tops: set[str], part: Tree) -> list[str]:
    """The images at and below a class folder; what is left out is counted in `part`."""
    seen = {os.path.realpath(top)}
    folders, left = [], [top]
    while left:
        folder = left.pop()
        images = []
        for entry in os.scandir(folder):
            suffix = os.path.splitext(entry.name)[1].lower()
            if hidden(entry.name):
                part.hidden += 1
            elif entry.is_dir():
                place = os.path.realpath(entry)
                back = entry.is_symlink() and any(_below(place, top) for top in tops)
                if place in seen or back or _holds(place, tops):
                    part.links += 1
                else:
                    seen.add(place)
                    left.append(entry.path)
            elif suffix in SUFFIXES:
                with within(words(entry.path)):
                    regular(entry.path)
                images.append(entry.name)
            else:
                part.skipped[suffix or "no suffix"] += 1
        folders.append((folder, sorted(images)))
    return [os.path.join(folder, name) for folder, images in sorted(folders) for name in images]


def _below(place: str, top: str) -> bool:
    return os.path.commonpath([place, top]) == top


def _holds(place: str, tops: set[str]) -> bool:
    """Whether a folder of the data is `place` or lies below it."""
    return any(_below(top, place) for top in tops)
