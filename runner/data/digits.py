"""scikit-learn's 1,797 handwritten digits, which lie inside its wheel: `load(settings)`, no download."""

from __future__ import annotations

import numpy as np

from runner.data.dataset import Dataset, Split
from runner.data.images import image_dataset
from runner.data.settings import DigitsSettings
from runner.data.split import part, stratified


def load(settings: DigitsSettings) -> Dataset:
    """The dataset of these `settings`: uint8 8x8x1, ten classes; stratified into train, test and a rest.

    Of the rest `settings.validation` is for validation. UserError where the sizes leave no stratified split.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    # Pixels are counts from 0 to 16.
    x = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    everything = Split(x, bunch.target.astype(np.int64))
    left, test = stratified(everything.y, settings.test, f"dataset.test={settings.test}", split=settings.split)
    beside = len(left) - settings.train
    parts = stratified(everything.y[left], beside, f"dataset.train={settings.train}", split=settings.split)
    train, rest = (left[i] for i in parts)
    val = rest
    if 0 < settings.validation < 1:  # with 0 image_dataset leaves it out
        size = round(settings.validation * len(rest))
        key = f"dataset.validation={settings.validation:g}"
        val = rest[stratified(everything.y[rest], size, key, split=settings.split)[1]]
    return image_dataset(settings, part(everything, train), part(everything, test), 10, val=part(everything, val))
