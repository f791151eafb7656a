"""The fixed splits: `stratified(y, size, key)` gives the same indices at every call, whatever the trial's seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from runner.data.dataset import Split
from runner.errors import UserError

# Constant, so that all trials, seeds and machines share one split; part of what Dataset.hash covers.
STATE = 20190504


def stratified(y: np.ndarray, size: int, key: str, names: Sequence[str] = ()) -> tuple[np.ndarray, np.ndarray]:
    """Indices of `len(y) - size` examples and of the other `size`, each sorted, with the class shares of y [N] in both.

    `key` is the setting to name where that cannot be done: fewer than two of a class, which is called by its name if
    there are `names`, or fewer examples in one part than classes (UserError).
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
    kept, held = train_test_split(np.arange(len(y)), test_size=size, random_state=STATE, stratify=y)
    return np.sort(kept), np.sort(held)


def hold_out(train: Split, validation: float, names: Sequence[str] = ()) -> tuple[Split, Split]:
    """The training set and the `validation` fraction of it held out; with 0 all of it and an empty split."""
    if validation == 0:
        return train, part(train, np.arange(0))
    kept, held = stratified(train.y, round(validation * len(train)), f"dataset.validation={validation:g}", names)
    return part(train, kept), part(train, held)


def named(label: int, names: Sequence[str]) -> str:
    """What a message calls a class: its name, or else its number."""
    return names[label] if label < len(names) else str(label)


def part(split: Split, index: np.ndarray) -> Split:
    """The examples at `index`, copied."""
    return Split(split.x[index], split.y[index])
