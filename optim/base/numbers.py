"""A number for each parameter, such as its count of steps, in one array: `Numbers`.

torch.optim keeps a tensor [] for each parameter, which users may read, replace and set. Here these tensors are views of
one NumPy array, so that counting a step of all parameters is one addition.
"""

from __future__ import annotations

from operator import is_
from typing import Any

import numpy as np
import torch
from torch import Tensor

ALL = slice(None)
Places = slice | np.ndarray  # which parameters of a cohort: `ALL` of them, or their indices
_REAL = {np.dtype(np.float32): torch.float32, np.dtype(np.float64): torch.float64}


class Numbers:
    """The entry `key` of every one of `states`: `values` [n], and n tensors [] in its memory.

    Mostly all parameters have the same number. Then a step neither reads nor hands over n of them: `common` says the
    number, and compares the bytes of the array with those it saw last, for a user may have set any of the tensors.

    `dtype`: np.float32 or np.float64, of the array and the tensors. A state without the entry begins at 0.
    """

    def __init__(self, states: list[dict[str, Any]], key: str, dtype: type) -> None:
        self.values: np.ndarray = np.zeros(len(states), dtype)
        self.tensors: list[Tensor] = []
        taken: set[int] = set()
        for i, state in enumerate(states):
            state[key] = _placed(state.get(key, 0.0), self.values[i : i + 1].reshape(()), taken)
            self.tensors.append(state[key])
        self._places = [t.data_ptr() for t in self.tensors]
        self._first = [self.tensors[0]] * len(states)  # what `advance` returns where all are equal
        self._one: float | None = None  # the number of all, if they had one when the array held these bytes
        self._bytes = b""

    @classmethod
    def of(cls, states: list[dict[str, Any]], key: str, dtype: type, before: Numbers | None) -> Numbers:
        """New numbers, or `before` if the states still hold its tensors: moving them all takes a while.

        `states`, `key` and `dtype` as in the constructor.
        """
        now = [state.get(key) for state in states]
        same = before is not None and len(now) == len(before.tensors) and all(map(is_, now, before.tensors))
        return before if before is not None and same and before.are_in_place() else cls(states, key, dtype)

    def common(self) -> float | None:
        """The number that all have; None if they differ."""
        now = self.values.tobytes()
        if now != self._bytes:
            self._bytes, first = now, self.values[0]
            self._one = first.item() if (self.values == first).all() else None
        return self._one

    def are_in_place(self) -> bool:
        """Whether the tensors still lie in the array: somebody may have given one of them other data."""
        return [t.data_ptr() for t in self.tensors] == self._places

    def set_all(self, one: float) -> None:
        """Give all of them the number `one`."""
        self.values.fill(one)
        self._one, self._bytes = one, self.values.tobytes()

    def advance(self, places: Places) -> list[Tensor]:
        """Add 1 at `places`. Returns their tensors; where all are equal, the first one for all of them."""
        one = self.common()
        if places is ALL and one is not None:
            self.set_all(one + 1)
            return self._first
        self.values[places] += 1
        return self.tensors if places is ALL else [self.tensors[i] for i in np.arange(len(self.values))[places]]


def _placed(entry: Any, element: np.ndarray, taken: set[int]) -> Tensor:
    """The number `entry`, a tensor or a plain one, as a tensor whose memory is `element` [] of an array.

    A tensor that can be moved into the array stays the object that it was, for a user may hold it. `taken` has the ids
    of those that were moved: a tensor that two parameters share becomes two.
    """
    element[...] = float(entry)
    view = torch.from_numpy(element)
    if type(entry) is not Tensor or entry.dtype != _REAL[element.dtype] or entry.dim() or id(entry) in taken:
        return view
    if entry.device.type != "cpu" or entry.requires_grad or entry.is_inference():
        return view
    taken.add(id(entry))
    entry.data = view
    return entry
