"""Ways to compute a network on the CPU beside the full stack: `single(model)` and `loosen(model)` set them up.

`runner.models.sizes.slots` says what they are for.
"""

from __future__ import annotations

from torch import Tensor, nn

from runner.models.layers import BatchNorm2d, Conv2d, Layer, LayerNorm, Linear


def single(model: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """Let a network of one trial compute with tensors without the trial axis, in the same memory as its own.

    A view of a parameter in every step, and another of its gradient, would take a tenth of a small network's time. The
    pairs of such a parameter [1, ...] and the tensor [...] that gets its gradient.
    """
    found: list[tuple[Tensor, Tensor]] = []
    for module in model.modules():
        if isinstance(module, Conv2d | BatchNorm2d | Linear | LayerNorm):
            own = {name: p.detach()[0].requires_grad_() for name, p in module.named_parameters(recurse=False)}
            found += [(module.get_parameter(name), tensor) for name, tensor in own.items()]
            module.own = own | {name: buffer[0] for name, buffer in module.named_buffers(recurse=False)}
    return found


def loosen(model: nn.Module) -> None:
    """Let every channel be rounded alike, whatever the number of channels: for stacks of any size from two."""
    for module in model.modules():
        if isinstance(module, Layer):
            module.loose = True
