"""How tensors lie in memory, and what of it `optim.cuda.launch` takes: `refuse_unserved`, `arranged`, `Controls`.

An elementwise step may go through memory in any order, as long as parameter, gradient and moments share it. So any
layout without gaps is served (contiguous, channels_last, transposed), and only a gradient in another layout is copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from optim.arithmetic import ceil_div
from optim.rules import COLUMNS


def strides(tensor: Tensor) -> tuple[int, ...]:
    """Strides of the axes of `tensor` that have more than one element; a stride of any other axis is never used."""
    return tuple(stride for stride, size in zip(tensor.stride(), tensor.shape, strict=True) if size > 1)


def laid_alike(one: Tensor, other: Tensor) -> bool:
    """Whether `one` and `other`, two tensors of one shape, have their elements in the same order in memory."""
    return one.stride() == other.stride() or strides(one) == strides(other)


def dense(tensor: Tensor, trials: int = 1) -> bool:
    """Whether the elements of `tensor` fill their memory without gap or overlap, one of `trials` after another."""
    if trials == 1 and tensor.is_contiguous():
        return True
    filled = 1  # elements that the axes so far span: the next larger stride must be just that
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size > 1:
            if stride != filled:
                return False
            filled *= size
    return trials == 1 or tensor.numel() == 0 or tensor.stride(0) == tensor.numel() // trials


def flat(tensor: Tensor) -> Tensor:
    """A view [R, n] of a tensor [R, ...] for which `dense(tensor, R)`: each trial's elements in the order of memory."""
    size = tensor.numel() // max(1, len(tensor))
    return tensor.as_strided((len(tensor), size), (size, 1))


def alike(gradient: Tensor, parameter: Tensor) -> Tensor:
    """The gradient if it has the layout of its dense parameter, else a copy that has."""
    if strides(gradient) == strides(parameter):
        return gradient
    return torch.empty_like(parameter).copy_(gradient.detach())


def refuse_unserved(
    parameters: Sequence[Tensor],
    moments1: Sequence[Tensor],
    moments2: Sequence[Tensor],
    trials: int,
) -> None:
    """ValueError that names the first tensor that one launch cannot step, and why.

    Args:
        parameters: T of them; with `trials` above 1 their first axis is that of the trials.
        moments1: T of them, in the shapes and layouts of the parameters.
        moments2: likewise, or () for SGD.
        trials: R.
    """
    if not parameters:
        raise ValueError("there are no parameters to step")
    device = parameters[0].device
    kinds = {"parameter": parameters, "moment 1 of parameter": moments1, "moment 2 of parameter": moments2}
    for kind, tensors in kinds.items():
        if len(tensors) != len(parameters) and (tensors or kind == "moment 1 of parameter"):
            raise ValueError(f"{len(tensors)} tensors as {kind}: there are {len(parameters)} parameters")
        for index, tensor in enumerate(tensors):
            name, like = f"{kind} {index}", parameters[index]
            if tensor.layout is not torch.strided:
                raise ValueError(f"{name} is {tensor.layout}: only strided tensors are served")
            if tensor.dtype is not torch.float32:
                raise ValueError(f"{name} is {tensor.dtype}: must be float32")
            if tensor.device != device:
                raise ValueError(f"{name} is on {tensor.device}, parameter 0 on {device}: one launch, one device")
            if tensor.shape != like.shape or not laid_alike(tensor, like):
                raise ValueError(f"{name} differs in shape or layout from its parameter")
            if trials > 1 and tensor.shape[:1] != (trials,):
                raise ValueError(f"{name} has shape {tuple(tensor.shape)}: its first axis must be the {trials} trials")
            if not dense(tensor, trials):
                raise ValueError(f"{name} has strides {tensor.stride()}: gaps, overlaps, or trials not outermost")
            if tensor.numel() and not tensor.data_ptr():
                raise ValueError(f"{name} has no memory of its own (meta, or a wrapper such as DTensor)")


def arranged(gradients: Sequence[Tensor | None], parameters: Sequence[Tensor]) -> list[Tensor | None]:
    """The gradients, copied where their layout is not that of their parameter.

    `parameters`: one for each gradient. ValueError for a gradient that is not served.
    """
    if len(gradients) != len(parameters):
        raise ValueError(f"{len(gradients)} gradients for {len(parameters)} parameters")
    served: list[Tensor | None] = []
    for index, (g, p) in enumerate(zip(gradients, parameters, strict=True)):
        if g is not None:
            if g.dtype is not torch.float32:
                raise ValueError(f"gradient {index} is {g.dtype}: must be float32")
            if g.layout is not torch.strided:
                raise ValueError(f"gradient {index} is {g.layout}: sparse gradients are not served")
            if g.shape != p.shape or g.device != p.device or (g.numel() and not g.data_ptr()):
                raise ValueError(f"gradient {index} is {tuple(g.shape)} on {g.device}, not as its parameter")
            g = alike(g, p)
        served.append(g)
    return served


class Controls(NamedTuple):
    """What a step reads besides tensors and gradients, on the device; see `Launch.step`."""

    rows: Tensor  # float32 [S, G, COLUMNS, R]
    live: Tensor | None  # bool [R]
    scale: Tensor | None  # float32 [R]
    clock: Tensor | None  # int32 [1]

    def kinds(self) -> tuple:
        """Which of them are None: for each combination the kernel is compiled anew."""
        return self.live is None, self.scale is None, self.clock is None

    def refuse_unserved(self, device: torch.device, groups: int, trials: int) -> None:
        """ValueError for what the kernel would misread.

        `device`: that of the parameters; `groups`: rows of coefficients that they take, at least so many; `trials`: R.
        """
        shape = self.rows.shape
        if len(shape) != 4 or shape[1] < groups or shape[2:] != (COLUMNS, trials):
            raise ValueError(
                f"rows are {tuple(shape)}: must be [{groups}, {COLUMNS}, {trials}], after an axis of steps with a clock"
            )
        dtypes = (torch.float32, torch.bool, torch.float32, torch.int32)
        for name, tensor, dtype in zip(self._fields, self, dtypes, strict=True):
            if tensor is None:
                continue
            if tensor.dtype is not dtype or tensor.device != device or not tensor.is_contiguous():
                raise ValueError(f"{name}: {tensor.dtype} on {tensor.device}, must be contiguous {dtype} on {device}")
            if name != "rows" and tensor.numel() != (1 if name == "clock" else trials):
                raise ValueError(f"{name} has {tensor.numel()} elements for {trials} trials (clock: one for all)")


def blocks(sizes: Sequence[int], groups: Sequence[int], trials: int, block: int) -> Tensor:
    """The table of blocks, int32 [blocks, 5]: tensor, trial, group, number within the trial, elements.

    `sizes`: elements of one trial of each tensor; `groups`: which row of coefficients each takes. A block has `block`
    elements at most, and none has elements of two trials or two tensors.
    """
    parts = [np.empty((0, 5), np.int32)]
    for tensor, (size, group) in enumerate(zip(sizes, groups, strict=True)):
        number = np.arange(ceil_div(size, block))
        part = np.empty((trials, len(number), 5), np.int32)
        part[:, :, 0], part[:, :, 1], part[:, :, 2] = tensor, np.arange(trials)[:, None], group
        part[:, :, 3], part[:, :, 4] = number, np.minimum(block, size - number * block)
        parts.append(part.reshape(-1, 5))
    return torch.from_numpy(np.concatenate(parts))


def upload(values: Tensor, to: Tensor | torch.device) -> Tensor:
    """Copy the host tensor `values` to a device, or into a tensor there, without waiting for the copy.

    The pinned memory is allocated each time: torch's allocator does not hand it out again before the copy is done.
    """
    device = to.device if isinstance(to, Tensor) else to
    if device.type == "cuda":
        values = values.pin_memory()
    return to.copy_(values, non_blocking=True) if isinstance(to, Tensor) else values.to(to, non_blocking=True)
