"""Images in .npz files: `load_npz(settings)` for any, `load_imagenet32(settings)` for the official ImageNet32x32."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from runner.data.arrays import empty
from runner.data.check import images, labels
from runner.data.dataset import Dataset, Split
from runner.data.images import image_dataset
from runner.data.notes import listed, roles
from runner.data.reading import existing, reading
from runner.data.room import check_room
from runner.data.settings import FileSettings
from runner.errors import UserError

KEYS = ("x_train", "y_train", "x_test", "y_test")
VALS = ("val", "valid", "validation")  # x_val and y_val may be called so
IMAGENET32_TRAIN = tuple(f"train_data_batch_{n}.npz" for n in range(1, 11))
IMAGENET32_TEST = "val_data.npz"
IMAGENET32_CLASSES = 1000
# The paper's: the mean colour is taken off, and the range, not the variance, made one.
IMAGENET32_NORMALISATION = ((122.7, 116.65, 104.0), (255.0, 255.0, 255.0))


def load_npz(settings: FileSettings) -> Dataset:
    """The dataset in the file of these `settings`, which has images and labels under four keys.

    x_train, x_test: uint8 [N, H, W] or [N, H, W, C]; y_train, y_test: whole numbers [N] or [N, 1] from 0. With x_val
    and y_val these are the validation set. There are as many classes as the largest training label says. UserError for
    any other file.
    """
    where = f"dataset.path={settings.path}"
    path = existing(settings.path, "dataset=npz dataset.path=cifar10.npz")
    stored = _names(path, KEYS, where)
    vals = [name for name in VALS if f"x_{name}" in stored or f"y_{name}" in stored]
    if len(vals) > 1:
        raise UserError(f"{where}: has arrays for {' and '.join(vals)}, which mean the same; keep one of them")
    wanted = ("train", "test", *vals)
    check_room(
        _unpacked(path, [f"{axis}_{name}" for name in wanted for axis in "xy"]), where, "save fewer images in it"
    )
    splits = {}
    for name in wanted:
        x, y = _arrays(path, (f"x_{name}", f"y_{name}"), where)
        splits[name] = Split(images(x, f"{where}: x_{name}"), labels(y, f"{where}: y_{name}"))
    train = splits["train"]
    val = splits[vals[0]] if vals else None
    data = image_dataset(settings, train, splits["test"], int(train.y.max()) + 1, val=val)
    used = {f"{axis}_{name}" for name in splits for axis in "xy" if name not in vals or settings.validation}
    unused = [name for name in stored if name not in used]
    serves = roles(data, "x_train", f"x_{vals[0]}" if vals else "", "x_test as the test set")
    return replace(data, notes=(f"not used: {listed(unused)}", serves) if unused else (serves,))


def load_imagenet32(settings: FileSettings) -> Dataset:
    """The official validation images as test set; uint8 32x32x3, 1000 classes, labels 1 to 1000 as 0 to 999.

    The unpacked files lie in the folder `settings.path` or in folders in it. UserError if one is missing or damaged.
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
    count = sum(map(len, y))
    check_room(32 * 32 * 3 * (count + max(map(len, y))), where, "dataset=cifar100 needs 0.6 GB")
    x = empty((count, 32, 32, 3), np.uint8)
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


def _names(path: Path, keys: tuple[str, ...], where: str) -> list[str]:
    """What an .npz file holds, which must be `keys` at least."""
    right = f"must be an .npz file with the arrays {', '.join(keys)}"
    with reading(where, right):
        if not zipfile.is_zipfile(path):
            raise UserError(f"{where}: is not a complete .npz file; {right}")
        with np.load(path, allow_pickle=False) as archive:
            names: list[str] = archive.files
    missing = [key for key in keys if key not in names]
    if missing:
        raise UserError(f"{where}: has no {', '.join(missing)} but {listed(names)}; {right}")
    return names


def _unpacked(path: Path, keys: Sequence[str]) -> int:
    """Bytes of the arrays under `keys`, as the list of the archive's members says."""
    with zipfile.ZipFile(path) as archive:
        return sum(member.file_size for member in archive.infolist() if member.filename.removesuffix(".npy") in keys)


def _arrays(path: Path, keys: tuple[str, ...], where: str) -> list[np.ndarray]:
    """The arrays of an .npz file under `keys`; pickled objects are refused, as they could run code."""
    _names(path, keys, where)
    with reading(where, f"must be an .npz file with the arrays {', '.join(keys)}"), np.load(path) as archive:
        arrays = {}
        for key in keys:
            with reading(f"{where}: {key}", "must be an array of numbers, saved by numpy.savez"):
                arrays[key] = archive[key]
            if not isinstance(arrays[key], np.ndarray):  # NumPy returns the bytes of a member that is no array
                raise UserError(f"{where}: {key}: is no array; save it with numpy.savez")
    return list(arrays.values())
