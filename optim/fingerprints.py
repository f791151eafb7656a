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


class Fingerprints:
    """A number for each row of a parameter p [n, ...], int32 [n], as it was when it was last left alone.

    A row is free to be changed until a step leaves it out: `left_out` then takes its number, by which `same` knows it.
    """

    def __init__(self, p: Tensor) -> None:
        width = math.prod(p.shape[1:]) * p.element_size() // 4
        # Odd factors of which no simple sum is zero: elements that swap places or signs are other rows.
        factors = np.random.default_rng(0).integers(-(2**63), 2**63, width, dtype=np.int64) | 1
        self.factors = torch.from_numpy(factors).to(p.device)
        self.together = max(1, CHUNK // max(1, width))
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
        rows = torch.from_numpy(free[last[free] != step]).to(p.device)
        for some in rows.split(self.together):
            self.numbers[some] = self.of(p.detach().index_select(0, some))

    def same(self, rows: Tensor | slice, values: Tensor, behind: np.ndarray) -> bool:
        """Whether `values` [k, ...] of `rows` are what was left, but for rows that are not `behind`, bool [k]."""
        differ = self.of(values) != self.numbers[rows]
        return not bool((differ & torch.from_numpy(behind).to(differ.device)).any())

    def of(self, rows: Tensor) -> Tensor:
        """The numbers of rows [k, ...], to the bit whichever rows are asked for together."""
        parts = rows.reshape(len(rows), math.prod(rows.shape[1:])).split(self.together)
        bits = (part.contiguous().view(torch.int32).long() for part in parts)
        if rows.is_cuda:  # which has no product of whole numbers
            sums = [(some * self.factors).sum(1) for some in bits]
        else:
            sums = [some.mv(self.factors) for some in bits]  # a fifth of the time
        return ((sums[0] if len(sums) == 1 else torch.cat(sums)) >> 32).int()
