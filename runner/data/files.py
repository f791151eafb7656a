"""Images in .npz files: `load_npz(settings)` for any, `load_imagenet32(settings)` for the official ImageNet32x32."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from runner.data.check import images, labels
from runner.data.dataset import Dataset, Split
from runner.data.images import image_dataset
from runner.data.reading import existing, reading
from runner.data.settings import FileSettings
from runner.errors import UserError

KEYS = ("x_train", "y_train", "x_test", "y_test")
IMAGENET32_TRAIN = tuple(f"train_data_batch_{n}.npz" for n in range(1, 11))
IMAGENET32_TEST = "val_data.npz"
IMAGENET32_CLASSES = 1000
# The paper's: the mean colour is taken off, and the range, not the variance, made one.
IMAGENET32_NORMALISATION = ((122.7, 116.65, 104.0), (255.0, 255.0, 255.0))


def load_npz(settings: FileSettings) -> Dataset:
    """Keys x_train, x_test: uint8 [N, H, W] or [N, H, W, C]; y_train, y_test: whole numbers [N] or [N, 1] from 0.

    There are as many classes as the largest training label says. UserError for any other file.
    """
    where = f"dataset.path={settings.path}"
    path = existing(settings.path, "dataset=npz dataset.path=cifar10.npz")
    x_train, y_train, x_test, y_test = _arrays(path, KEYS, where)
    train = Split(images(x_train, f"{where}: x_train"), labels(y_train, f"{where}: y_train"))
    test = Split(images(x_test, f"{where}: x_test"), labels(y_test, f"{where}: y_test"))
    return image_dataset(settings, train, test, int(train.y.max()) + 1)


def load_imagenet32(settings: FileSettings) -> Dataset:
    """The official validation images as test set; uint8 32x32x3, 1000 classes, labels 1 to 1000 as 0 to 999.

    The unpacked files lie in the folder `path` or in folders in it. UserError if one is missing or damaged.
    """
    where = f"dataset.path={settings.path}"
    root = existing(settings.path, "dataset=imagenet32 dataset.path=imagenet32", folder=True)
    train = _imagenet32(root, IMAGENET32_TRAIN, where)
    test = _imagenet32(root, (IMAGENET32_TEST,), where)
    return image_dataset(settings, train, test, IMAGENET32_CLASSES, normalisation=IMAGENET32_NORMALISATION)


def _imagenet32(root: Path, names: tuple[str, ...], where: str) -> Split:
    paths = [_find(root, name, where) for name in names]
    # Labels first: their number says how much to allocate, and the images, 4 GB, are then in memory once.
    y = []
    for path in paths:
        (data,) = _arrays(path, ("labels",), f"{where}: {path.name}")
        y.append(labels(data, f"{where}: {path.name}: labels"))
    x = np.empty((sum(map(len, y)), 32, 32, 3), dtype=np.uint8)
    start = 0
    for path, part in zip(paths, y, strict=True):
        (data,) = _arrays(path, ("data",), f"{where}: {path.name}")
        if data.dtype != np.uint8 or data.shape != (len(part), 3 * 32 * 32):
            shape = ",".join(map(str, data.shape))
            raise UserError(f"{where}: {path.name}: data is {data.dtype} {shape}; must be uint8 {len(part)},3072")
        x[start : start + len(part)] = data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        start += len(part)
    return Split(x, np.concatenate(y) - 1)


def _find(root: Path, name: str, where: str) -> Path:
    with reading(where, "must be a folder with the unpacked ImageNet32 files"):
        for path in (root / name, *sorted(root.glob(f"*/{name}"))):
            if path.is_file():
                return path
    raise UserError(
        f"{where}: has no {name}; unpack Imagenet32_train_npz.zip and Imagenet32_val_npz.zip (image-net.org) into it"
    )


def _arrays(path: Path, keys: tuple[str, ...], where: str) -> list[np.ndarray]:
    """The arrays of an .npz file under `keys`; pickled objects are refused, as they could run code."""
    right = f"must be an .npz file with the arrays {', '.join(keys)}"
    with reading(where, right):
        if not zipfile.is_zipfile(path):
            raise UserError(f"{where}: is not a complete .npz file; {right}")
        with np.load(path, allow_pickle=False) as archive:
            missing = [key for key in keys if key not in archive.files]
            if missing:
                raise UserError(f"{where}: has no {', '.join(missing)} but {', '.join(archive.files)}; {right}")
            return [archive[key] for key in keys]
