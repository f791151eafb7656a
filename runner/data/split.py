"""The splits of a dataset: the same indices at every call, whatever the trial's seed; `dataset.split` numbers them.

`divided(y, validation, train)` says which examples are for training and which for validation, `hold_out` parts them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from runner.data.arrays import rows
from runner.data.dataset import Split
from runner.errors import UserError

STATE = 20190504  # of split 0, which had no number once: so the hashes and ids on record stay


def state(split: int) -> int:
    """The seed of the random numbers that make a split: constant, so that all trials, seeds and machines share it.

    Args:
        split: `dataset.split`, from 0.
    """
    return STATE + split


def stratified(
    y: np.ndarray, size: int, key: str, names: Sequence[str] = (), split: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of `len(y) - size` examples and of the other `size`, each sorted, with the class shares of y [N] in both.

    `key` is the setting to name where that cannot be done: fewer than two of a class, which is called by its name if
    there are `names`, or fewer examples in one part than classes (UserError). `split` is `dataset.split`.
    """
    from sklearn.model_selection import train_test_split

    classes, counts = np.unique(y, return_counts=True)
    if counts.min() < 2:
        scarce = classes[counts.argmin()]
        raise UserError(
            f"{key}: class {named(scarce, names)} has a single example, which cannot be on both sides of a split"
        )
    if not len(classes) <= size <= len(y) - len(classes):
        raise UserError(
            f"{key}: splits {len(y)} examples of {len(classes)} classes into {len(y) - size} and {size}; "
            f"both parts need at least {len(classes)}, one for each class"
        )
    kept, held = train_test_split(np.arange(len(y)), test_size=size, random_state=state(split), stratify=y)
    return np.sort(kept), np.sort(held)


def divided(
    y: np.ndarray, validation: float, train: int | None = None, names: Sequence[str] = (), split: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Sorted indices of the examples to train on and of the `validation` fraction of y [N] held out.

    `train` is how many of the others to train on (`dataset.train`), None for all of them; `names` and `split` as in
    `stratified`, and UserError too.
    """
    kept, held = np.arange(len(y)), np.arange(0)
    if validation:
        kept, held = stratified(y, round(validation * len(y)), f"dataset.validation={validation:g}", names, split)
    return (kept if train is None else kept[nested(y[kept], train, split)]), held


def nested(y: np.ndarray, size: int, split: int = 0) -> np.ndarray:
    """Sorted indices of `size` examples of y: [N], in the class shares of y, or [N, T]; a larger size adds to them.

    `split` is `dataset.split`: others choose other examples.

    UserError, naming dataset.train, where there are fewer examples than that or more classes.
    """
    if not 1 <= size <= len(y):
        raise UserError(f"dataset.train={size}: must be 1 to {len(y)}, the examples that there are for training")
    order = np.random.RandomState(state(split)).permutation(len(y))
    if y.ndim == 1:
        _, classes, counts = np.unique(y[order], return_inverse=True, return_counts=True)
        if size < len(counts):
            raise UserError(f"dataset.train={size}: must be at least {len(counts)}, one for each class")
        rank = np.empty(len(y), dtype=np.int64)  # of an example among those of its class, in the shuffled order
        rank[np.argsort(classes, kind="stable")] = np.arange(len(y)) - np.repeat(np.cumsum(counts) - counts, counts)
        # One of each class comes first, so that no size leaves out a class; then all classes fill up evenly.
        order = order[np.argsort(np.where(rank == 0, 0, (rank + 0.5) / counts[classes]), kind="stable")]
    return np.sort(order[:size])


def fewer(train: Split, size: int | None, split: int = 0) -> Split:
    """The `size` examples of a training set that `nested` chooses for a `split`; all of it where `size` is None."""
    return train if size is None else part(train, nested(train.y, size, split))


def hold_out(
    train: Split, validation: float, size: int | None = None, names: Sequence[str] = (), split: int = 0
) -> tuple[Split, Split]:
    """The two parts of a training set: what is trained on, and what is held out, as `divided` says.

    The arrays of `train` are overwritten: the parts lie in their memory. `size` is how many to train on, None for all
    that are not held out; the other arguments, and UserError, are those of `divided`.
    """
    kept, held = divided(train.y, validation, size, names, split)
    if len(kept) == len(train):
        return train, part(train, held)
    rest = part(train, held)
    if len(kept) + len(held) <= len(train) // 2 or not (train.x.flags.writeable and train.y.flags.writeable):
        return part(train, kept), rest
    end = len(kept) + len(held)
    for whole, array in ((train.x, rest.x), (train.y, rest.y)):
        # Examples to keep only move towards the beginning, so that none is overwritten before it has moved.
        count = rows(whole)
        for start in range(0, len(kept), count):
            some = kept[start : start + count]
            whole[start : start + len(some)] = whole[some]
        whole[len(kept) : end] = array
    return Split(train.x[: len(kept)], train.y[: len(kept)]), Split(train.x[len(kept) : end], train.y[len(kept) : end])


def named(label: int, names: Sequence[str]) -> str:
    """What a message calls the class of a `label`: its name among `names`, or else its number."""
    return names[label] if label < len(names) else str(label)


def part(split: Split, index: np.ndarray) -> Split:
    """The examples of `split` at `index`, copied."""
    return Split(split.x[index], split.y[index])
