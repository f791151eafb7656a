"""Parameters that an optimizer steps together: `Cohort`, and the `Part` of it that has gradients in this step.

A step of a small network takes a few microseconds, which is less than it takes to walk through groups and state. So the
lists that torch's operators want are made once, and kept until `optim.base.snapshot` notices an edit.

Small decay is kept like a debt (`optim.release`): what a step asks for is added to what is `owed`, and is paid, which
means removed from the weights, once float32 can express it.
"""

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

SMALL = 4096  # elements; below this mean size, sharing a tensor out to threads takes longer than stepping it
OWED = "decay_owed"  # the entry of the state that holds decay asked for and not yet applied, see `optim.release`
# Bound once, for `map` to call them on every tensor in every step.
_is_contiguous, _numel, _stride = Tensor.is_contiguous, Tensor.numel, Tensor.stride


class Part(NamedTuple):
    """The parameters of a cohort that have a gradient in this step, and what belongs to each."""

    parameters: list[Tensor]
    gradients: list[Tensor]
    moments: Sequence[list[Tensor]]  # one list per name in `Optimizer.state_names`
    places: Places  # their indices in the cohort's lists and arrays; `ALL` where none is missing


class Cohort:
    """The parameters of one group, device and dtype that have been stepped at least once, in the group's order.

    Args:
        group: the parameter group that they are of, whose numbers are read at every step.
        parameters: n tensors of one device and dtype.
        states: what the optimizer keeps for each of them.
        names: of the entries of a state that are tensors like the parameter, as "exp_avg".
        counted: whether a state holds the number of its steps, "step".
        released: whether decay is saved up until float32 can express it (`optim.release`).
        before: the cohort that stood here before an edit. Its arrays are taken over where they hold the same numbers.
    """

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
        self.group, self.parameters = group, parameters
        self.device, self.dtype = parameters[0].device, parameters[0].dtype
        self.moments = [[state[name] for state in states] for name in names]  # a list of n tensors for each name
        self.sizes, self.strides = list(map(_numel, parameters)), list(map(_stride, parameters))
        # FSDP2 makes DTensors of parameters, of which torch's fused operators take the local shards only.
        self.is_sharded = any(hasattr(p, "to_local") for p in parameters)
        # A mean, since the operator is called once for all: one large tensor among many small ones is shared out.
        self.is_small = sum(p.numel() for p in parameters) < SMALL * len(parameters)
        # Contiguous tensors lie in memory as the operators read them, so that a step need not look at their strides.
        every = (tensor for some in (parameters, *self.moments) for tensor in some)
        self.in_order = not self.is_sharded and all(map(_is_contiguous, every))
        old: tuple[Numbers | None, ...] = (before.counts, before.owed) if before is not None else (None, None)
        self.counts: Numbers | None = Numbers.of(states, "step", np.float32, old[0]) if counted else None
        self.owed: Numbers | None = Numbers.of(states, OWED, np.float64, old[1]) if released else None
        # Of `optim.cuda.single`: launches by whether each tensor has coefficients of its own, the addresses of the
        # moments that they step, and buffers for a kernel that writes a moment where none is kept.
        self.launches: dict[bool, Any] = {}
        self.addresses: list[int] = []
        self.spare: list[Tensor] | None = None

    def part(self) -> Part | None:
        """Those with a gradient, as torch's fused operators read them; None if there are none.

        Gradients may be copies, all else shares memory. Their sizes are not looked at here, which would take a tenth of
        a step: torch checks them when `.grad` is assigned, and `Snapshot` when a parameter has changed its size.
        """
        gradients: list[Any] = [p.grad for p in self.parameters]
        # Nearly every step of nearly every network: all have gradients, and everything is contiguous.
        try:
            if self.in_order and all(map(_is_contiguous, gradients)):
                return Part(self.parameters, gradients, self.moments, ALL)
        except TypeError:  # one of them is None, which has no layout
            pass
        places = np.flatnonzero([g is not None for g in gradients])
        chosen = places.tolist()
        if not chosen:
            return None
        parameters, gradients, *moments = (
            [some[i] for i in chosen] for some in (self.parameters, gradients, *self.moments)
        )
        # Checked on this way only, which takes longer anyway.
        if list(map(_numel, gradients)) != list(map(_numel, parameters)):
            raise ValueError("a gradient has not the size of its parameter")
        part = Part(parameters, gradients, moments, places if len(chosen) < len(self.sizes) else ALL)
        # The kernel of `optim.cuda` looks at layouts itself, and takes the parameters as they are.
        in_order = self.in_order and all(map(_is_contiguous, gradients))
        return part if in_order or self.device.type == "cuda" else self._arranged(part)

    @torch.no_grad()
    def _arranged(self, part: Part) -> Part:
        """The same part with all tensors contiguous: local shards of DTensors, and axes in the order of memory."""
        lists = [part.parameters, part.gradients, *part.moments]
        if self.is_sharded:
            lists = [[local(t, p) for t, p in zip(some, part.parameters, strict=True)] for some in lists]
        parameters, gradients, *moments = in_memory_order(*lists)
        return Part(parameters, gradients, moments, part.places)

    def has_not_moved(self) -> bool:
        """Whether the parameters have the shapes, layouts, type and device that they had.

        Asked at every step. The number of elements and the strides together tell a shape, and the strides tell the
        layout as well, so these two are compared and the shape is not.
        """
        first = self.parameters[0]
        return (
            list(map(_numel, self.parameters)) == self.sizes
            and list(map(_stride, self.parameters)) == self.strides
            and first.device == self.device
            and first.dtype is self.dtype
        )

    def is_sound(self) -> bool:
        """Whether the moments still fit the parameters, and the tensors of counts and of owed decay are still views of
        the cohort's arrays."""
        for some in self.moments:
            for moment, p in zip(some, self.parameters, strict=True):
                same = (moment.shape, moment.dtype, moment.device) == (p.shape, p.dtype, p.device)
                if not same or not laid_alike(moment, p):
                    return False
        return all(numbers is None or numbers.are_in_place() for numbers in (self.counts, self.owed))

    def count(self, places: Places) -> list[Tensor]:
        """Count one more step of the parameters at `places`: their counts as tensors []; [] where none are kept."""
        return [] if self.counts is None else self.counts.advance(places)

    def due(self, decay: float, places: Places) -> float | np.ndarray:
        """The fraction to remove of each weight now that `decay` more is asked for.

        Of the n parameters at `places`: one number if all have the same, or else float64 [n]. Decay is owed until it
        passes 2^-16, and is then paid down to a multiple of 2^-24: see `optim.release`.
        """
        if self.owed is None:
            return decay
        one = self.owed.common()
        if places is ALL and one is not None:  # nearly every step: all parameters owe the same, so one sum serves all
            one += decay
            paid = math.floor(one / QUANTUM) * QUANTUM if one >= THRESHOLD else 0.0
            self.owed.set_all(one - paid)
            return paid
        # Parameters that had no gradient in some steps owe less than the others.
        owed = self.owed.values[places] + decay
        self.owed.values[places] = owed
        return self.pay(np.where(owed < THRESHOLD, 0.0, owed), places)

    def of_all(self, decay: float | np.ndarray, places: Places) -> float | np.ndarray:
        """`decay` of the parameters at `places` as an array [n] over all parameters, 0 for the others."""
        if isinstance(decay, float):
            return decay
        of_all = np.zeros(len(self.parameters))
        of_all[places] = decay
        return of_all

    def pay(self, owed: np.ndarray, places: Places) -> float | np.ndarray:
        """The part of `owed` that float32 can express as a factor 1 - x; from now on it is owed no longer.

        `owed`: float64 [n], of the n parameters at `places`. Returns one number if all have the same, or else [n].
        """
        assert self.owed is not None, "only what is released is owed"
        paid = np.floor(owed / QUANTUM) * QUANTUM
        self.owed.values[places] -= paid
        # One number is passed on where it is the same for all, as the operators take a single decay for all tensors.
        first = float(paid[0])
        return first if (paid == first).all() else paid

    def scratch(self) -> list[Tensor]:
        """Buffers like the parameters, whose content does not matter: SGD's kernel writes a momentum even at 0."""
        if self.spare is None:
            self.spare = [torch.zeros_like(p, memory_format=torch.preserve_format) for p in self.parameters]
        return self.spare


def local(tensor: Any, p: Any) -> Tensor:
    """What this process holds of a sharded tensor, cut along the same axes as `p`; other tensors as they are."""
    if not hasattr(tensor, "to_local"):
        return tensor
    # A gradient may be a partial sum on each rank, or be cut along another axis, until it is redistributed.
    if tensor.placements != p.placements:
        tensor = tensor.redistribute(p.device_mesh, p.placements)
    return tensor.to_local()


def in_memory_order(*tensors: Sequence[Tensor]) -> tuple[list[Tensor], ...]:
    """(parameters, gradients, *moments) with their axes so permuted that all are contiguous; gradients may be copies.

    torch's fused operators pair the elements of tensors as they lie in memory, whatever their strides say. Moments have
    their parameter's layout (`Snapshot` sees to it), so the permutation of the parameter serves them too.
    """
    ordered: tuple[list[Tensor], ...] = tuple([] for _ in tensors)
    for p, gradient, *moments in zip(*tensors, strict=True):
        if gradient.layout is not torch.strided:
            raise ValueError("a gradient is not dense")
        together = [p, gradient, *moments]
        if not (p.is_contiguous() and gradient.is_contiguous()):
            # Axes by falling stride are in the order of memory; permuted so, a tensor without gaps is contiguous.
            axes = sorted(range(p.dim()), key=p.stride, reverse=True)
            if not p.permute(axes).is_contiguous():
                raise TypeError(f"a parameter of shape {tuple(p.shape)} overlaps itself or has gaps; clone() it")
            together = [p.permute(axes), gradient.permute(axes).contiguous(), *(m.permute(axes) for m in moments)]
        for done, tensor in zip(ordered, together, strict=True):
            done.append(tensor)
    return ordered
