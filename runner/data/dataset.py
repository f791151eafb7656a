"""The form in which every dataset reaches training: NumPy arrays, split once, with what is needed to feed them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from runner.data.arrays import packed

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Split:
    """Images: x uint8 [N, H, W, C], y int64 [N]. Tokens: x int64 [N, T], y int64 [N] or [N, T]; or both uint8 [N, T].

    Numbers, which a network gets as they are: x float32 [N, ...], y int64 [N].

    A process that is started gets large arrays without a copy, where they lie in memory that can be shared.
    """

    x: np.ndarray
    y: np.ndarray

    def __len__(self) -> int:
        return len(self.x)

    def __reduce__(self) -> tuple[Callable[..., Split], tuple[Any, Any]]:
        return Split, (packed(self.x), packed(self.y))


@dataclass(frozen=True)
class Dataset:
    """Train, validation and test splits, the same for every seed.

    `y` of shape [N] asks for one class per example, predicted at the last position of a token sequence;
    [N, T] asks for one class per position. `mean` and `std` are per channel in units of 0 to 255.
    """

    name: str  # as tables show it
    kind: str  # "images", "tokens" or "numbers"
    classes: int
    train: Split
    val: Split  # empty with validation=0: then selection is on test, and tables say so
    test: Split
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    flip: bool = False
    pad: int = 0
    vocabulary: int = 0  # tokens: how many different ones
    hash: str = ""  # the first 12 hex digits of SHA-256 over all arrays
    names: tuple[str, ...] = ()  # of the classes, where the data has names for them
    test_held_out: bool = False  # whether the test set is a part of the examples, which another split draws anew
    notes: tuple[str, ...] = ()  # lines for the person at the terminal: what was read, and what serves as what

    @property
    def splits(self) -> dict[str, Split]:
        """All three by name, in this order: "train", "val", "test"."""
        return {name: getattr(self, name) for name in SPLITS}

    @property
    def example(self) -> tuple[int, ...]:
        """The shape of an example as a network takes it: [C, H, W] of images, [T] of tokens, of numbers their own."""
        shape = self.train.x.shape[1:]
        return (shape[2], *shape[:2]) if self.kind == "images" else tuple(shape)

    @property
    def nbytes(self) -> int:
        """Of all arrays."""
        return sum(split.x.nbytes + split.y.nbytes for split in self.splits.values())
