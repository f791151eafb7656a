"""Image arrays to a `Dataset`: `image_dataset(settings, train, test, ...)`, whatever they were read from."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from runner.data.arrays import chunks
from runner.data.check import check_split
from runner.data.dataset import Dataset, Split
from runner.data.reading import place
from runner.data.settings import ImageSettings
from runner.data.split import fewer, hold_out


def image_dataset(
    settings: ImageSettings,
    train: Split,
    test: Split,
    classes: int,
    *,
    val: Split | None = None,
    names: Sequence[str] = (),
    normalisation: tuple[tuple[float, ...], tuple[float, ...]] | None = None,
) -> Dataset:
    """Hold out the validation set, unless it comes with the data, and add mean and std per channel.

    Args:
        settings: how to split, and how images are varied in training.
        train: images to train on and, without `val`, to validate on. Its arrays are overwritten: the parts lie in them.
        test: images to test on.
        classes: how many there are.
        val: the validation set, where it comes with the data.
        names: of the classes, where they have any.
        normalisation: (mean, std) per channel in units of 0 to 255; None: those of the images trained on.

    Raises:
        UserError: where lengths, shapes or labels are wrong, or a class is too small for the split.
    """
    name = settings.shown
    check_split(train, "images", classes, f"{place(settings)}: train")
    if val is None or settings.validation == 0:
        train, val = hold_out(train, settings.validation, settings.train, names, settings.split)
    elif settings.train != len(train):
        train = fewer(train, settings.train, settings.split)
    mean, std = normalisation or statistics(train.x)
    varied = (settings.flip, settings.pad)
    return Dataset(name, "images", classes, train, val, test, mean, std, *varied, names=tuple(names))


def statistics(x: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of x, uint8 [N, H, W, C], in units of 0 to 255; std is at least 1.

    From counts of the 256 values, in whole numbers: the same on every machine, without a float copy of the images.
    """
    means, stds = [], []
    for channel in range(x.shape[-1]):
        counts = np.zeros(256, dtype=np.int64)
        for some in chunks(x):
            counts += np.bincount(some[..., channel].reshape(-1), minlength=256)
        n, values = int(counts.sum()), range(256)
        total = sum(value * int(count) for value, count in zip(values, counts, strict=True))
        squares = sum(value**2 * int(count) for value, count in zip(values, counts, strict=True))
        means.append(total / n)
        # A channel of one colour has no spread to divide by.
        stds.append(max(math.sqrt((n * squares - total**2) / n**2), 1.0))
    return tuple(means), tuple(stds)
