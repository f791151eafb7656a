"""Parameters that an optimizer steps together: `Cohort`, the `Part` of it that has gradients, and `in_memory_order`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from optim.base.numbers import ALL, Numbers, Places
from optim.cuda.layout import laid_alike
from optim.release import QUANTUM, THRESHOLD

SMALL = 4096  # elements; below this mean size sharing a tensor out to threads takes longer than stepping it
OWED = "decay_owed"  # in the state: decay asked for and not yet applied, see `optim.release`
_is_contiguous, _numel, _stride = Tensor.is_contiguous, Tensor.numel, Tensor.stride


class Part(NamedTuple):
    """The parameters of a cohort that have a gradient in this step, and what belongs to each."""

    parameters: list[Tensor]
    gradients: list[Tensor]
    moments: Sequence[list[Tensor]]  # one list per name in `Optimizer.state_names`
    places: Places  # their places in the cohort's arrays


class Cohort:
    """The parameters of one group, device and dtype that have been stepped at least once, in the group's order."""

    def __init__(
        self,
        group: dict[str, Any],
        parameters: list[Tensor],
        states: list[dict[str, Any]],
        names: Sequence[str],
        counted: bool,
        released: bool,
        before: Cohort | None = None,
    ) -> None:
        """`before`: one that was there before an edit, and may have the same numbers."""
        self.group, self.parameters = group, parameters
        self.device, self.dtype = parameters[0].device, parameters[0].dtype
        self.moments = [[state[name] for state in states] for name in names]
        self.sizes, self.strides = list(map(_numel, parameters)), list(map(_stride, parameters))
        self.is_sharded = any(hasattr(p, "to_local") for p in parameters)  # DTensors, as FSDP2 makes of parameters
        self.is_small = sum(p.numel() for p in parameters) < SMALL * len(parameters)
        every = (tensor for some in (parameters, *self.moments) for tensor in some)
        self.in_order = not self.is_sharded and all(map(_is_contiguous, every))
        old: tuple[Numbers | None, ...] = (before.counts, before.owed) if before is not None else (None, None)
        self.counts: Numbers | None = Numbers.of(states, "step", np.float32, old[0]) if counted else None
        self.owed: Numbers | None = Numbers.of(states, OWED, np.float64, old[1]) if released else None
        self.addresses: list[int] = []  # of the moments that the launches step
        self.launches: dict[bool, Any] = {}  # on CUDA; the key: whether each tensor has coefficients of its own
        self.spare: list[Tensor] | None = None

    def part(self) -> Part | None:
        """Those with a gradient, as torch's fused operators read them; None if there are none.

        Gradients may be copies, all else shares memory. That they have the sizes of their parameters torch sees to when
        they are assigned, and `Snapshot` when parameters have others; to look here would cost a tenth of a step.
        """
        gradients: list[Any] = [p.grad for p in self.parameters]
        try:
            if self.in_order and all(map(_is_contiguous, gradients)):
                return Part(self.parameters, gradients, self.moments, ALL)
        except TypeError:  # None has no layout
            pass
        places = np.flatnonzero([g is not None for g in gradients])
        chosen = places.tolist()
        if not chosen:
            return None
        parameters, gradients, *moments = (
            [some[i] for i in chosen] for some in (self.parameters, gradients, *self.moments)
        )
        if list(map(_numel, gradients)) != list(map(_numel, parameters)):
            raise ValueError("a gradient has not the size of its parameter")
        part = Part(parameters, gradients, moments, places if len(chosen) < len(self.sizes) else ALL)
        in_order = self.in_order and all(map(_is_contiguous, gradients))
        return part if in_order or self.device.type == "cuda" else self._arranged(part)

    @torch.no_grad()
    def _arranged(self, part: Part) -> Part:
        lists = [part.parameters, part.gradients, *part.moments]
        if self.is_sharded:
            lists = [[_local(t, p) for t, p in zip(some, part.parameters, strict=True)] for some in lists]
        parameters, gradients, *moments = in_memory_order(*lists)
        return Part(parameters, gradients, moments, part.places)

    def has_not_moved(self) -> bool:
        """Whether the parameters have the shapes, layouts, type and device that they had.

        The number of elements and the strides tell a shape, and the strides a layout too, which the shape would not.
        """
        first = self.parameters[0]
        return (
            list(map(_numel, self.parameters)) == self.sizes
            and list(map(_stride, self.parameters)) == self.strides
            and first.device == self.device
            and first.dtype is self.dtype
        )

    def is_sound(self) -> bool:
        """Whether the moments still fit the parameters, and the numbers lie where they are counted."""
        for some in self.moments:
            for moment, p in zip(some, self.parameters, strict=True):
                same = (moment.shape, moment.dtype, moment.device) == (p.shape, p.dtype, p.device)
                if not same or not laid_alike(moment, p):
                    return False
        return all(numbers is None or numbers.are_in_place() for numbers in (self.counts, self.owed))

    def count(self, places: Places) -> list[Tensor]:
        """Count one step more. Returns the counts of these places as tensors []; none where none are kept."""
        return [] if self.counts is None else self.counts.advance(places)

    def due(self, decay: float, places: Places) -> float | np.ndarray:
        """What to remove of each weight now that `decay` more is asked for: one number if it is one for all.

        Decay is owed until it passes 2^-16, and is then paid down to a multiple of 2^-24: see `optim.release`.
        """
        if self.owed is None:
            return decay
        one = self.owed.common()
        if places is ALL and one is not None:
            one += decay
            paid = math.floor(one / QUANTUM) * QUANTUM if one >= THRESHOLD else 0.0
            self.owed.set_all(one - paid)
            return paid
        owed = self.owed.values[places] + decay
        self.owed.values[places] = owed
        return self.pay(np.where(owed < THRESHOLD, 0.0, owed), places)

    def of_all(self, decay: float | np.ndarray, places: Places) -> float | np.ndarray:
        """What is removed of each of the cohort's parameters, from what is of those that have a gradient."""
        if isinstance(decay, float):
            return decay
        all_of_them = np.zeros(len(self.parameters))
        all_of_them[places] = decay
        return all_of_them

    def pay(self, owed: np.ndarray, places: Places) -> float | np.ndarray:
        """What of `owed` float32 can express as a factor 1 - x; it is owed no longer."""
        assert self.owed is not None, "only what is released is owed"
        paid = np.floor(owed / QUANTUM) * QUANTUM
        self.owed.values[places] -= paid
        first = float(paid[0])
        return first if (paid == first).all() else paid

    def scratch(self) -> list[Tensor]:
        """Buffers that hold nothing from step to step, for a kernel that wants some."""
        if self.spare is None:
            self.spare = [torch.zeros_like(p, memory_format=torch.preserve_format) for p in self.parameters]
        return self.spare


def _local(tensor: Any, p: Any) -> Tensor:
    """What this process holds of a sharded tensor, cut as `p` is."""
    if not hasattr(tensor, "to_local"):
        return tensor
    if tensor.placements != p.placements:
        tensor = tensor.redistribute(p.device_mesh, p.placements)
    return tensor.to_local()


def in_memory_order(*tensors: Sequence[Tensor]) -> tuple[list[Tensor], ...]:
    """(parameters, gradients, *moments) with their axes so permuted that all are contiguous; gradients may be copies.

    torch's fused operators pair the elements of tensors as they lie in memory, whatever their strides say.
    """
    ordered: tuple[list[Tensor], ...] = tuple([] for _ in tensors)
    for p, gradient, *moments in zip(*tensors, strict=True):
        if gradient.layout is not torch.strided:
            raise ValueError("a gradient is not dense")
        if p.is_contiguous() and gradient.is_contiguous():
            for done, tensor in zip(ordered, (p, gradient, *moments), strict=True):
                done.append(tensor)
            continue
        axes = sorted(range(p.dim()), key=p.stride, reverse=True)
        if not p.permute(axes).is_contiguous():
            raise TypeError(f"a parameter of shape {tuple(p.shape)} overlaps itself or has gaps; clone() it")
        together = [p.permute(axes), gradient.permute(axes).contiguous(), *(m.permute(axes) for m in moments)]
        for done, tensor in zip(ordered, together, strict=True):
            done.append(tensor)
    return ordered
