"""A number for each parameter, such as its count of steps, in one array that tensors of the state share: `Numbers`."""

from __future__ import annotations

from operator import is_
from typing import Any

import numpy as np
import torch
from torch import Tensor

ALL = slice(None)
Places = slice | np.ndarray  # of some parameters of a cohort; `ALL` of them, or indices
_REAL = {np.dtype(np.float32): torch.float32, np.dtype(np.float64): torch.float64}


class Numbers:
    """The entry `key` of every one of `states`, an array [n] and n tensors [] in its memory.

    So a step of all parameters is counted by one call, while each has a tensor of its own that anybody may set. Mostly
    all have the same number: then a step needs neither to read nor to pass on n of them.
    """

    def __init__(self, states: list[dict[str, Any]], key: str, dtype: type) -> None:
        self.values: np.ndarray = np.zeros(len(states), dtype)
        self.tensors: list[Tensor] = []
        taken: set[int] = set()
        for i, state in enumerate(states):
            state[key] = _placed(state.get(key, 0.0), self.values[i : i + 1].reshape(()), taken)
            self.tensors.append(state[key])
        self._places = [t.data_ptr() for t in self.tensors]
        self._first = [self.tensors[0]] * len(states)
        self._one: float | None = None
        self._bytes = b""

    @classmethod
    def of(cls, states: list[dict[str, Any]], key: str, dtype: type, before: Numbers | None) -> Numbers:
        """These, or those that were there `before` if they are the same: to move all of them takes a while."""
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
        self.values.fill(one)
        self._one, self._bytes = one, self.values.tobytes()

    def advance(self, places: Places) -> list[Tensor]:
        """Add 1. Returns the tensors of these places; one of them for all if they are equal."""
        one = self.common()
        if places is ALL and one is not None:
            self.set_all(one + 1)
            return self._first
        self.values[places] += 1
        return self.tensors if places is ALL else [self.tensors[i] for i in np.arange(len(self.values))[places]]


def _placed(there: Any, place: np.ndarray, taken: set[int]) -> Tensor:
    """The number `there`, a tensor or a plain one, as a tensor whose memory is from now on `place` [] of an array.

    So one addition counts a step of all parameters, while each has a tensor of its own that anybody may set. A tensor
    that can be moved there stays the object that it was; `taken` has those that were, for what two parameters share
    becomes two.
    """
    place[...] = float(there)
    mine = torch.from_numpy(place)
    if type(there) is not Tensor or there.dtype != _REAL[place.dtype] or there.dim() or id(there) in taken:
        return mine
    if there.device.type != "cpu" or there.requires_grad or there.is_inference():
        return mine
    taken.add(id(there))
    there.data = mine
    return there
