"""A text file as bytes, each predicted from those before it: `load(settings)`."""

from __future__ import annotations

import numpy as np

from runner.data.dataset import Dataset, Split
from runner.data.reading import existing, reading
from runner.data.room import check_room
from runner.data.settings import TextSettings
from runner.data.split import fewer
from runner.errors import UserError

BYTES = 256
GOLDEN = (5**0.5 - 1) / 2


def load(settings: TextSettings) -> Dataset:
    """Windows of `context` bytes, x uint8 [N, T], with the bytes one further, y uint8 [N, T]; 256 classes.

    The file of these `settings` is cut in its own order into train | validation | test: neighbouring text is alike, and
    a random split would show the model what comes before and after each test window. Another `split` begins elsewhere
    in the file and takes it as a ring, so that other stretches of it are held out. UserError where there is too little.
    """
    path = existing(settings.path, "dataset=text dataset.path=book.txt")
    where = f"dataset.path={settings.path}"
    with reading(where, "must be a file of text"):
        check_room((3 if settings.split else 2) * path.stat().st_size, where, "give a part of the text")
        data = np.fromfile(path, dtype=np.uint8)
        if settings.split:
            data = np.roll(data, -_start(len(data), settings.split))
    end = len(data) - round(settings.test * len(data))  # of what is not test
    cuts = np.split(data, [end - round(settings.validation * end), end])
    train, val, test = (windows(share, settings.context) for share in cuts)
    for name, split, share in zip(("train", "val", "test"), (train, val, test), cuts, strict=True):
        if not len(split) and not (name == "val" and settings.validation == 0):
            raise UserError(
                f"{where}: of its {len(data)} bytes {len(share)} are for {name}; a window of "
                f"dataset.context={settings.context} needs {settings.context + 1}: give more text or a shorter context"
            )
    train = fewer(train, settings.train, settings.split)
    return Dataset(settings.shown, "tokens", BYTES, train, val, test, vocabulary=BYTES)


def _start(size: int, split: int) -> int:
    """Where in a file of `size` bytes a split begins: golden sections, which lie apart however many there are."""
    return int(size * (split * GOLDEN % 1.0))


def windows(data: np.ndarray, context: int) -> Split:
    """uint8 [n] to windows side by side: x[k] = data[k T : k T + T], y[k] the same one further; drops a rest.

    T is `context`. x lies where `data` does, y is a copy: together twice the bytes, which become numbers as they are
    trained on.
    """
    count = max(len(data) - 1, 0) // context
    x, y = (data[start : start + count * context].reshape(count, context) for start in (0, 1))
    return Split(x, y.copy())
