"""Large arrays a piece at a time, so that what is computed from them takes little memory: `chunks(array)`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

SIZE = 2**22  # bytes in a piece


def chunks(array: np.ndarray) -> Iterator[np.ndarray]:
    """Pieces along the first axis, at least one example each; none of an empty array."""
    count = rows(array)
    return (array[start : start + count] for start in range(0, len(array), count))


def rows(array: np.ndarray) -> int:
    """Examples in a piece."""
    return max(1, SIZE * len(array) // max(1, array.nbytes))
