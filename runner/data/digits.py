"""scikit-learn's 1,797 handwritten digits, which lie inside its wheel: `load(settings)`, no download."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path

import numpy as np

from runner.data.dataset import Dataset, Split
from runner.data.images import image_dataset
from runner.data.settings import DigitsSettings
from runner.data.split import part, stratified


def load(settings: DigitsSettings) -> Dataset:
    """uint8 8x8x1, ten classes; stratified once into train, test and a rest, `validation` of which is for validation.

    UserError where the sizes leave no stratified split.
    """
    pixels, labels = _digits()  # pixels are counts from 0 to 16
    x = np.rint(pixels * (255 / 16)).astype(np.uint8)[..., None]
    everything = Split(x, labels.astype(np.int64))
    left, test = stratified(everything.y, settings.test, f"dataset.test={settings.test}")
    beside = len(left) - settings.train
    train, rest = (left[i] for i in stratified(everything.y[left], beside, f"dataset.train={settings.train}"))
    val = rest
    if 0 < settings.validation < 1:  # with 0 image_dataset leaves it out
        size = round(settings.validation * len(rest))
        val = rest[stratified(everything.y[rest], size, f"dataset.validation={settings.validation:g}")[1]]
    return image_dataset(settings, part(everything, train), part(everything, test), 10, val=part(everything, val))


def _digits() -> tuple[np.ndarray, np.ndarray]:
    """Images [1797, 8, 8] and labels, from scikit-learn's file: to import all of it takes most of a second."""
    found = importlib.util.find_spec("sklearn")
    for place in (found.submodule_search_locations or ()) if found else ():
        path = Path(place) / "datasets" / "data" / "digits.csv.gz"
        if path.is_file():
            with gzip.open(path) as file:
                table = np.loadtxt(file, delimiter=",")
            return table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(int)
    from sklearn.datasets import load_digits  # of a version that keeps it elsewhere

    bunch = load_digits()
    return bunch.images, bunch.target
