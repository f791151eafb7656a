"""What every dataset must be before it is trained on, and its identity: `check(dataset, ...)`, `content_hash(dataset)`.

`images` and `labels` bring arrays of unknown origin into the form of `Split`, or refuse them.
"""

from __future__ import annotations

import hashlib

import numpy as np

from runner.data.arrays import chunks
from runner.data.dataset import Dataset, Split
from runner.data.split import named
from runner.errors import UserError


def images(x: np.ndarray, what: str) -> np.ndarray:
    """x, uint8 [N, H, W] or [N, H, W, C], as contiguous [N, H, W, C]; UserError, which names `what`, for all else."""
    if x.dtype != np.uint8 or x.ndim not in (3, 4) or 0 in x.shape:
        raise UserError(
            f"{what}: is {x.dtype} of shape {_shape(x)}; must be uint8, 0 to 255, of shape N,H,W or N,H,W,C without a 0"
            + _advice(x)
        )
    if x.ndim == 4 and x.shape[1] in (1, 3) and x.shape[3] > 4:
        raise UserError(f"{what}: has shape {_shape(x)}; channels must come last: N,H,W,C")
    return np.ascontiguousarray(x if x.ndim == 4 else x[..., None])


def _advice(x: np.ndarray) -> str:
    """How images of another type than uint8 become it, where that can be told."""
    if x.dtype == np.uint8 or x.dtype.kind not in "biuf" or not x.size:
        return ""
    low, high = x.min(), x.max()
    if not np.isfinite(low) or not np.isfinite(high):
        return "; it holds what is no number"
    if x.dtype.kind != "f" and low >= 0 and high <= 1:
        return "; black and white become it by (255 * x).astype('uint8')"
    if x.dtype.kind == "f" and low >= 0 and high <= 1:
        return "; floats from 0 to 1 become it by (255 * x).round().astype('uint8')"
    if low >= 0 and high <= 255:
        return f"; values from {low} to {high} become it by x{'.round()' * (x.dtype.kind == 'f')}.astype('uint8')"
    return f"; its values are from {low} to {high}: bring them to 0 to 255, then x.astype('uint8')"


def _are_whole(y: np.ndarray) -> bool:
    """Whether floats are whole numbers, so that nothing is lost where they are written as such."""
    return y.dtype.kind == "f" and bool(np.isfinite(y).all() and (y == np.round(y)).all())


def labels(y: np.ndarray, what: str) -> np.ndarray:
    """y, whole numbers from 0, [N] or [N, 1], as int64 [N]; UserError, which names `what`, for all else."""
    if y.dtype.kind not in "iu" or not (y.ndim == 1 or (y.ndim == 2 and y.shape[1] == 1)) or not len(y):
        raise UserError(
            f"{what}: is {y.dtype} of shape {_shape(y)}; must be whole numbers of shape N or N,1"
            + ("; a column for each class becomes it by y.argmax(1)" * (y.ndim == 2 and y.shape[1] > 1))
            + ("; these become it by y.astype('int64')" * (y.ndim == 1 and _are_whole(y)))
        )
    if y.min() < 0 or y.max() > np.iinfo(np.int32).max:
        raise UserError(f"{what}: has labels from {y.min()} to {y.max()}; must be from 0 to the number of classes - 1")
    return np.ascontiguousarray(y.reshape(-1), dtype=np.int64)


def check_split(split: Split, kind: str, classes: int, what: str, vocabulary: int = 0) -> None:
    """Refuse (UserError, which begins with `what`) a split of wrong shapes, dtypes or ranges; it may be empty.

    `kind`: as of a Dataset; `classes`: labels are below it; `vocabulary`: tokens are below it.
    """
    x, y = split.x, split.y
    if kind == "images":
        right_x, form = x.dtype == np.uint8 and x.ndim == 4, "images must be uint8 N,H,W,C"
        right_y = y.ndim == 1
    elif kind == "numbers":
        right_x, form = x.dtype == np.float32 and x.ndim >= 2, "numbers must be float32 N,..."
        right_y = y.ndim == 1
    else:
        bytes_ = x.dtype == y.dtype == np.uint8 and y.ndim == 2  # of a text, which are whole numbers all the same
        right_x, form = (x.dtype == np.int64 or bytes_) and x.ndim == 2, "tokens must be int64 N,T"
        right_y = y.ndim == 1 or y.shape == x.shape
    if not right_x or 0 in x.shape[1:]:
        raise UserError(f"{what}: x is {x.dtype} of shape {_shape(x)}; {form}")
    if y.dtype != (x.dtype if kind == "tokens" else np.int64) or not right_y:
        raise UserError(f"{what}: y is {y.dtype} of shape {_shape(y)}; labels must be int64, one for each example")
    if len(x) != len(y):
        raise UserError(f"{what}: has {len(x)} examples and {len(y)} labels; must be as many")
    if len(y) and not 0 <= y.min() <= y.max() < classes:
        raise UserError(f"{what}: has labels from {y.min()} to {y.max()}; must be from 0 to {classes - 1}")
    if kind == "tokens" and len(x) and not 0 <= x.min() <= x.max() < vocabulary:
        raise UserError(f"{what}: has tokens from {x.min()} to {x.max()}; must be from 0 to {vocabulary - 1}")


def check(dataset: Dataset, validation: float, where: str) -> None:
    """Refuse (UserError beginning with `where`) a dataset that cannot be trained on and compared as it is meant to be.

    Each split must be sound and of one shape, none empty but validation with `validation` 0, no images all alike, and
    where there is one class per example the training set must show every class.
    """
    for name, split in dataset.splits.items():
        what = f"{where}: {name}"
        check_split(split, dataset.kind, dataset.classes, what, dataset.vocabulary)
        if not len(split) and not (name == "val" and validation == 0):
            raise UserError(f"{what}: is empty; give more data, or other sizes of the splits")
        if split.x.shape[1:] != dataset.train.x.shape[1:]:
            raise UserError(f"{what}: examples are {_shape(split.x[0])}, those of train {_shape(dataset.train.x[0])}")
    if dataset.classes < 2:
        raise UserError(f"{where}: has a single class; must have at least two")
    if dataset.train.y.ndim == 1:
        present = np.unique(dataset.train.y)
        if len(present) < dataset.classes:
            # The labels are in range, so the first gap in them is the smallest class that is missing.
            missing = int(np.argmax(np.append(present, -1) != np.arange(len(present) + 1)))
            raise UserError(
                f"{where}: class {named(missing, dataset.names)} has no training example; "
                f"each of the labels 0 to {dataset.classes - 1} needs at least one"
            )
    for name, split in dataset.splits.items():
        if dataset.kind == "images":
            _check_content(split.x, f"{where}: {name}", training=name == "train")


def _check_content(x: np.ndarray, what: str, training: bool) -> None:
    """Refuse images that cannot be told apart: all of one pixel value, or, to train on, all the same.

    A single image to validate or test on may be blank.
    """
    if not len(x) or any((part != x[:1]).any() for part in chunks(x)):
        return
    value = x.reshape(-1)[0]
    if (x[0] == value).all() and (training or len(x) > 1):
        raise UserError(f"{what}: every pixel of all {len(x)} images is {value}; must show something in 0 to 255")
    if training and len(x) > 1:
        raise UserError(f"{what}: all {len(x)} images are the same; must be different ones")


def content_hash(dataset: Dataset) -> str:
    """The first 12 hex digits of SHA-256 over the kind and classes of `dataset`, and over its six arrays.

    Of an array name, dtype, shape and bytes count. Tokens count as int64, in whatever type they are held.
    """
    digest = hashlib.sha256(f"{dataset.kind} {dataset.classes}".encode())
    for name, split in dataset.splits.items():
        for axis, array in (("x", split.x), ("y", split.y)):
            dtype = np.dtype(np.int64) if dataset.kind == "tokens" else array.dtype
            fixed = dtype.newbyteorder("<")  # the same on every machine
            digest.update(f" {name}.{axis} {fixed.str} {array.shape} ".encode())
            for part in chunks(array):
                digest.update(np.ascontiguousarray(part, dtype=fixed).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()[:12]


def _shape(array: np.ndarray) -> str:
    return ",".join(map(str, array.shape)) or "()"
