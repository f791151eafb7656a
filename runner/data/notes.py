"""What a person should know of the data that a command read, in a few lines for the terminal.

`roles` says what serves as what, `counted` and `left_out` what was found on the disk, and `remarks` what looks wrong
with the images, though it may be meant.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

from runner.data.arrays import chunks
from runner.data.dataset import Dataset, Split
from runner.data.reading import words

LISTED = 10  # classes, folders and suffixes that are named one by one
DARK = 32  # a pixel value: data without a brighter one looks black


def roles(dataset: Dataset, train: str, val: str, test: str) -> str:
    """Which images of `dataset` are for what, by where they come from, and how they are varied, in a line.

    `train`, `val`: names of where; `val` empty: held out of `train`; `test`: the same, and as what it serves.
    """
    parts = [f"{len(dataset.train)} images of {train} for training"]
    if len(dataset.val):
        parts.append(f"{len(dataset.val)} of {val or train} for validation" + ", held out" * (not val))
    parts.append(f"{len(dataset.test)} of {test}")
    varied = [word for word, on in (("mirrored", dataset.flip), ("cropped", dataset.pad)) if on]
    how = f"{' and '.join(varied)} at random" if varied else "neither mirrored nor cropped"
    settings = f"dataset.flip={str(dataset.flip).lower()} dataset.pad={dataset.pad}"
    return f"{'; '.join(parts)}; in training they are {how} ({settings})"


def counted(images: Mapping[str, int]) -> str:
    """How many images each class has, in a few words however many classes there are."""
    counts = list(images.values())
    if len(counts) > 1 and len(set(counts)) == 1:
        return f"{counts[0]} of each of {len(counts)} classes"
    if len(counts) > LISTED:
        return f"{min(counts)} to {max(counts)} of each of {len(counts)} classes"
    return ", ".join(f"{words(name)} {count}" for name, count in images.items())


def left_out(skipped: Counter[str], others: Mapping[str, int]) -> str:
    """`skipped 5 files (.heic 3, .txt 2), hidden 1`, or nothing; `others` are counts with their words."""
    parts = []
    if skipped:
        most = sorted(skipped.items(), key=lambda item: (-item[1], item[0]))[:LISTED]
        kinds = ", ".join(f"{words(suffix)} {count}" for suffix, count in most)
        total = skipped.total()
        rest = total - sum(count for _, count in most)
        parts.append(f"{total} file{'s' * (total > 1)} ({kinds}{f', others {rest}' if rest else ''})")
    parts += [f"{what} {count}" for what, count in others.items() if count]
    return f"skipped {', '.join(parts)}" if parts else ""


def listed(names: Sequence[str]) -> str:
    """`names` one by one, the first few of many."""
    shown = ", ".join(map(words, names[:LISTED]))
    return shown + (f" and {len(names) - LISTED} others" if len(names) > LISTED else "")


def remarks(dataset: Dataset) -> tuple[str, ...]:
    """Lines on images of `dataset` that are in two splits, byte for byte, or of one colour, and if all are dark."""
    if dataset.kind != "images":
        return ()
    lines = []
    train, val, test = map(_digests, dataset.splits.values())
    for name, own, others in (
        ("validation", val, {"training": set(train)}),
        ("test", test, {"training": set(train), "validation": set(val)}),
    ):
        counts = {what: sum(digest in other for digest in own) for what, other in others.items()}
        copies = [f"{count} of {len(own)} for {what}" for what, count in counts.items() if count]
        if copies:
            lines.append(f"{name} images that are among others too, byte for byte: {', '.join(copies)}")
    for name, split in (("training", dataset.train), ("validation", dataset.val), ("test", dataset.test)):
        blank = sum(int((part == part[:, :1, :1]).all((1, 2, 3)).sum()) for part in chunks(split.x))
        if blank:
            lines.append(f"{blank} of {len(split)} {name} images are of a single colour")
    brightest = max(int(part.max()) for part in chunks(dataset.train.x))
    if brightest < DARK:
        lines.append(f"no pixel is brighter than {brightest} of 255 in training; are the images scaled as meant?")
    return tuple(lines)


def _digests(split: Split) -> list[bytes]:
    return [hashlib.blake2b(image, digest_size=16).digest() for image in split.x]
