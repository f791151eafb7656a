"""Rows of an embedding that `optim.SparseAdamW` has left behind: `Resting(p, ...)`, then `bring(p, rows)`.

A row rests from the last step that touched it until it is next needed. `Resting` knows at which step each row is and
which moments it is to be moved by, `optim.catch_up` computes the movement, and `Fingerprints` notices rows that were
changed meanwhile. The hooks at the end bring rows up to date before a module's weight is read or replaced.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from optim.catch_up import History, replay

CHUNK = 2**17  # elements worked on at a time, so that scratch memory stays in the caches: 2^20 takes twice as long


class Fingerprints:
    """A number for each row of a parameter p [n, ...], int32 [n], formed from the bits of all its elements.

    Version counters do not tell which rows were written to, and do not change at all for what is done through `.data`.
    A row may be changed freely until a step leaves it out: `left_out` then takes its number, by which `same` knows it.
    """

    def __init__(self, p: Tensor) -> None:
        width = math.prod(p.shape[1:]) * p.element_size() // 4
        # Odd random factors, no simple sum of which is zero: elements that swap places or signs make another number.
        factors = np.random.default_rng(0).integers(-(2**63), 2**63, width, dtype=np.int64) | 1
        self.factors = torch.from_numpy(factors).to(p.device)
        self.together = max(1, CHUNK // max(1, width))
        self.numbers = torch.zeros(len(p), dtype=torch.int32, device=p.device)
        self.free = [np.arange(len(p))]  # indices of the rows that are up to date; some occur twice
        self.step = -1  # the step of the last call of `left_out`

    def written(self, p: Tensor, rows: np.ndarray | slice, last: np.ndarray, step: int) -> None:
        """`rows` were brought to `step`; `last` [n] tells which of the rows that were free before are not at it."""
        if step != self.step:
            self.left_out(p, last, step)
        self.free.append(np.arange(len(last))[rows] if isinstance(rows, slice) else rows)

    def left_out(self, p: Tensor, last: np.ndarray, step: int) -> None:
        """From now on the rows that were free and are not at `step` must stay as they are."""
        free, self.free, self.step = np.concatenate(self.free), [], step
        rows = torch.from_numpy(free[last[free] != step]).to(p.device)
        for some in rows.split(self.together):
            self.numbers[some] = self.of(p.detach().index_select(0, some))

    def same(self, rows: Tensor | slice, values: Tensor, behind: np.ndarray) -> bool:
        """Whether those of `rows` that are `behind`, bool [k], still have the numbers of `values` [k, ...]."""
        differ = self.of(values) != self.numbers[rows]
        return not bool((differ & torch.from_numpy(behind).to(differ.device)).any())

    def of(self, rows: Tensor) -> Tensor:
        """The numbers of rows [k, ...]: a row has the same one whichever others are asked for with it."""
        parts = rows.reshape(len(rows), math.prod(rows.shape[1:])).split(self.together)
        bits = (part.contiguous().view(torch.int32).long() for part in parts)
        if rows.is_cuda:  # CUDA has no matrix product of whole numbers
            sums = [(some * self.factors).sum(1) for some in bits]
        else:
            sums = [some.mv(self.factors) for some in bits]  # takes a fifth of the time of product and sum
        return ((sums[0] if len(sums) == 1 else torch.cat(sums)) >> 32).int()


class Resting:
    """A parameter p [n, ...] of which some rows are behind: `last` int32 [n] holds the step that each row is at.

    If somebody gives the parameter other moments, its rows are still owed what the first ones say.

    Args:
        p: float32 or float64, its rows up to date.
        moments: (m, v) in the shape of p, which its rows are to be moved by.
        counted: the number of steps so far, a tensor [] that `step` counts up.
        betas, eps: as in `optim.catch_up.History`.

    In all methods `p` is that parameter, and `rows` are int64 indices without repetition, or a slice. RuntimeError for
    rows whose weights were changed while they were behind, and for moments that were changed in place.
    """

    def __init__(
        self, p: Tensor, moments: tuple[Tensor, Tensor], counted: Tensor, betas: tuple[float, float], eps: float
    ) -> None:
        self.moments, self.counted = moments, counted
        self.history = History(int(counted), betas, eps, torch.finfo(p.dtype).eps)
        self.last = np.full(len(p), int(counted), dtype=np.int32)
        self.prints = Fingerprints(p)
        self._note()

    def belongs_to(self, p: Tensor, state: dict[str, Any]) -> bool:
        """Whether `state` still holds these moments and this count. RuntimeError if they were changed in place."""
        if p.shape != self.moments[0].shape:
            raise RuntimeError(
                f"a parameter whose rows rest is now {tuple(p.shape)}, its moments {tuple(self.moments[0].shape)}: "
                "call catch_up() before it is resized"
            )
        held = [state.get("exp_avg"), state.get("exp_avg_sq"), state.get("step")]
        if any(a is not b for a, b in zip(held, (*self.moments, self.counted), strict=True)):
            return False
        self._refuse_changed()
        return int(self.counted) == self.history.step

    def _refuse_changed(self) -> None:
        """RuntimeError if the moments were changed in place, or given other data, since rows were last written."""
        if self.versions != self._versions():
            raise RuntimeError(
                f"the moments of a parameter of shape {tuple(self.moments[0].shape)} were changed while rows rest that "
                "are still to be moved by the old ones: call catch_up() before"
            )

    def bring(self, p: Tensor, rows: Tensor | slice) -> None:
        """Bring rows up to the history's latest step, in place."""
        if (self.last[_on_host(rows)] < self.history.step).any():
            self.write(p, rows, self.read(p, rows))

    def bring_all(self, p: Tensor) -> None:
        """Bring all rows up to the history's latest step, some at a time."""
        count = max(1, CHUNK // max(1, math.prod(p.shape[1:])))
        for start in range(0, len(p), count):
            self.bring(p, slice(start, start + count))

    def step(self, p: Tensor, gradient: Tensor, lr: float, betas: tuple[float, float], decay: float) -> None:
        """AdamW's step of the rows that a sparse gradient names; all others rest.

        The rows are brought up to the step before this one, stepped as dense AdamW does, and written back. `gradient`:
        torch.sparse_coo over the first axis; `lr`, `betas` and `decay`, a fraction of each weight, are of this step.
        """
        gradient = gradient.coalesce()  # each row once, with the sum of its gradients
        rows, g = gradient.indices()[0], gradient.values()
        new, m, v = self.read(p, rows)
        self.history.append(lr, betas, decay)
        count = self.history.step
        self.counted.fill_(count)
        m.lerp_(g, 1 - betas[0])
        v.mul_(betas[1]).addcmul_(g, g, value=1 - betas[1])
        below = (v.sqrt() / (1 - betas[1] ** count) ** 0.5).add_(self.history.eps)
        new.mul_(1 - decay).addcdiv_(m, below, value=-lr / (1 - betas[0] ** count))
        self.write(p, rows, (new, m, v))

    def read(self, p: Tensor, rows: Tensor | slice) -> list[Tensor]:
        """(p, m, v) of the rows, as they are after the latest step; not written back."""
        tensors = (p, *self.moments)
        old = [t.index_select(0, rows) if isinstance(rows, Tensor) else t[rows] for t in tensors]
        last = self.last[_on_host(rows)]
        behind = last != self.history.step
        if not behind.any():
            return old
        if not self.prints.same(rows, old[0], behind):
            raise RuntimeError(
                f"rows of a parameter of shape {tuple(p.shape)} were changed while they rest and are still to be moved "
                "by earlier steps: call catch_up() before, or catch_up(weight, rows)"
            )
        return list(replay(self.history, last, *old))

    def write(self, p: Tensor, rows: Tensor | slice, values: Sequence[Tensor]) -> None:
        """Store `values`, (p, m, v) of the rows as they are after the latest step."""
        self._refuse_changed()
        for whole, part in zip((p, *self.moments), values, strict=True):
            if isinstance(rows, Tensor):
                whole.index_copy_(0, rows, part)
            else:
                whole[rows] = part
        index = _on_host(rows)
        self.last[index] = self.history.step
        self.prints.written(p, index, self.last, self.history.step)
        self._note()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._note()  # the tensors of a copy have versions and addresses of their own

    def _note(self) -> None:
        """Remember the moments as they are now: what changes them from here on is not this class."""
        self.versions = self._versions()

    def _versions(self) -> list[tuple[int, int]]:
        return [(t._version, t.data_ptr()) for t in self.moments]


def _on_host(rows: Tensor | slice) -> Any:
    return rows.cpu().numpy() if isinstance(rows, Tensor) else rows


# Hooks of a module, whose `optimizer` is bound with functools.partial: unlike a closure, that can be pickled and copied
# with the module, and the copy of a module then has the copy of its optimizer.


def before_forward(optimizer: Any, module: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
    """Bring the rows up to date that a module's forward pass is about to look up.

    `optimizer`: the SparseAdamW; `module`, `args` and `named` as torch gives them to a hook before forward.
    """
    optimizer.catch_up(module.weight, args[0] if args else named["input"])


def before_state_dict(optimizer: Any, module: nn.Module, *_: Any) -> None:
    """Bring all rows up to date before a module's weight is saved, or replaced by another that owes nothing.

    `optimizer`: the SparseAdamW; the rest as torch gives it to hooks of state_dict and of load_state_dict.
    """
    optimizer.catch_up(module.weight)
