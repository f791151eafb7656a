"""Notices rows that somebody has changed while they rested: `Fingerprints`.

Version counters do not tell which rows were written to, and nothing at all of what is done by way of `.data`. So a
number is kept of each row at rest, by which the bits of all its elements are known again.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

CHUNK = 2**17  # elements that are looked at together, so that scratch stays in the caches
_BITS = {torch.float32: torch.int32, torch.float64: torch.int64}


class Fingerprints:
    """A number for each row of a parameter p [n, ...], int32 [n], as it was when it was last left alone.

    A row is free to be changed until a step leaves it out: `left_out` then takes its number, by which `same` knows it.
    """

    def __init__(self, p: Tensor) -> None:
        width = math.prod(p.shape[1:])
        # Odd factors of which no simple sum is zero: elements that swap places or signs are other rows.
        factors = np.random.default_rng(0).integers(-(2**63), 2**63, width, dtype=np.int64) | 1
        self.factors = torch.from_numpy(factors).to(p.device)
        self.numbers = torch.zeros(len(p), dtype=torch.int32, device=p.device)
        self.free = [np.arange(len(p))]  # rows that are up to date, some of them twice
        self.step = -1  # that of which `left_out` was told last

    def written(self, p: Tensor, rows: np.ndarray | slice, last: np.ndarray, step: int) -> None:
        """`rows` were brought to `step`; of all others that were free `last` says which are not there."""
        if step != self.step:
            self.left_out(p, last, step)
        self.free.append(np.arange(len(last))[rows] if isinstance(rows, slice) else rows)

    def left_out(self, p: Tensor, last: np.ndarray, step: int) -> None:
        """From now on rows that were free and are not at `step` must stay as they are."""
        free, self.free, self.step = np.concatenate(self.free), [], step
        some = torch.from_numpy(free[last[free] != step]).to(p.device)
        for part in some.split(max(1, CHUNK // max(1, len(self.factors)))):
            self.numbers[part] = self.of(p.detach().index_select(0, part))

    def same(self, rows: Tensor | slice, values: Tensor, behind: np.ndarray) -> bool:
        """Whether `values` [k, ...] of `rows` are what was left, but for rows that are not `behind`, bool [k]."""
        differ = self.of(values) != self.numbers[rows]
        return not bool((differ & torch.from_numpy(behind).to(differ.device)).any())

    def of(self, rows: Tensor) -> Tensor:
        """The numbers of rows [k, ...], whatever their order and whichever thread adds what."""
        bits = rows.reshape(len(rows), len(self.factors)).view(_BITS[rows.dtype])
        return ((bits * self.factors).sum(1) >> 32).to(torch.int32)
