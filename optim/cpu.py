"""A step on the CPU through torch's fused operators: `adam` and `sgd` for lists of tensors.

The operators pair elements as they lie in memory, whatever the strides say: so they get contiguous tensors, or flat
views of tensors that share a layout. `threads_off` and `threads_on` keep small tensors on the calling thread.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

TINY = 1e-300  # stands for a rate of 0 in steps that still decay; float32 rounds it to 0
# The operators' other arguments: none of torch's variants, no scaled gradients.
PLAIN: dict[str, Any] = {"maximize": False, "grad_scale": None, "found_inf": None}
PLAIN_ADAM = PLAIN | {"amsgrad": False}
PLAIN_SGD = PLAIN | {"dampening": 0.0, "nesterov": False, "is_first_step": False}

Tensors = list[Tensor]


def adam(
    tensors: tuple[Tensors, ...],
    steps: Tensors,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    l2: float = 0.0,
    decay: float = 0.0,
    alone: bool = False,
) -> None:
    """One step of Adam or AdamW, in place.

    Args:
        tensors: (parameters, gradients, first moments, second moments): lists of equal length, in one order of memory.
        steps: the step count of each parameter with this step, tensors [].
        lr, beta1, beta2, eps: as in `optim.Adam`.
        l2: the coefficient of the penalty.
        decay: the fraction removed from the weights before the step. Not both of `l2` and `decay`.
        alone: on one thread, as is faster for small tensors.
    """
    if decay:
        # The operator forms 1 - lr * weight_decay in float64, in which lr * (decay / lr) is the decay but for rounding.
        lr = lr or TINY
        operator: Any = torch._fused_adamw_
        weight_decay = decay / lr
    else:
        operator, weight_decay = torch._fused_adam_, l2
    parameters, gradients, moments1, moments2 = tensors
    numbers = {"lr": lr, "beta1": beta1, "beta2": beta2, "weight_decay": weight_decay, "eps": eps}
    _call(operator, alone, parameters, gradients, moments1, moments2, [], steps, **numbers, **PLAIN_ADAM)


def sgd(
    tensors: tuple[Tensors, ...],
    *,
    lr: float,
    momentum: float,
    l2: float = 0.0,
    decay: float = 0.0,
    alone: bool = False,
) -> None:
    """One step of SGD or SGDW, in place.

    Args:
        tensors: (parameters, gradients, momentum buffers), as in `adam`. The buffers begin at zero; with `momentum` 0
            they are not read and may be left out.
        lr, momentum: as in `optim.SGD`.
        l2, decay, alone: as in `adam`.
    """
    parameters, gradients, *buffers = tensors
    if decay:
        torch._foreach_mul_(parameters, 1 - decay)
    buffer = buffers[0] if momentum else []
    _call(
        torch._fused_sgd_, alone, parameters, gradients, buffer, lr=lr, momentum=momentum, weight_decay=l2, **PLAIN_SGD
    )


def _call(operator: Any, alone: bool, parameters: Tensors, gradients: Tensors, *lists: Tensors, **named: Any) -> None:
    """Call one of torch's fused operators; `alone`: on the calling thread."""
    try:
        if alone:
            threads_off()
        operator(parameters, gradients, *lists, **named)
    except RuntimeError:
        # A gradient may be a view whose numbers are negated when they are read (the imaginary part of a conjugate has
        # such a bit). Operators on lists refuse these before they have moved anything: resolve them and try again.
        if not any(map(Tensor.is_neg, gradients)):
            raise
        operator(parameters, [g.resolve_neg() for g in gradients], *lists, **named)
    finally:
        if alone:
            threads_on()


def _openmp() -> Callable[[int], Any] | None:
    """OpenMP's function that sets the calling thread's number of threads; None where torch was built without.

    `torch.set_num_threads` also sets the number for every thread that first uses torch meanwhile, which keeps it for
    ever. OpenMP keeps the same number for each thread: setting it there concerns no other thread.
    """
    for name in ("libtorch_cpu.so", "libtorch_cpu.dylib"):
        try:
            library = ctypes.PyDLL(str(Path(torch.__file__).parent / "lib" / name))  # keeps the interpreter's lock
            choose = library.omp_set_num_threads
        except (OSError, AttributeError):
            continue
        choose.argtypes, choose.restype = [ctypes.c_int], None
        return choose
    return None


_choose = _openmp()
_kept = threading.local()  # `before`: the number that this thread had before `threads_off`


def threads_off() -> None:
    """From now on the calling thread shares no work out to others, until `threads_on`."""
    threads_on()  # an interrupt may have kept the last `threads_off` from its `threads_on`
    threads = torch.get_num_threads()
    if threads > 1 and _choose is not None:
        _kept.before = threads
        _choose(1)


def threads_on() -> None:
    """Undo `threads_off`, if there was one."""
    before = getattr(_kept, "before", 0)
    if before and _choose is not None:
        _choose(before)
        _kept.before = 0
