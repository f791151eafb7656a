"""Ways to compute a network on the CPU beside the full stack: `single(model)` and `loosen(model)` set them up.

`runner.trials.stack_size.slots` says what they are for.
"""

from __future__ import annotations

from torch import Tensor, nn

from runner.models.layers import Layer


def single(model: nn.Module) -> list[Tensor]:
    """Let a network of one trial compute with tensors without the trial axis, in the same memory as its own.

    A view of a parameter in every step, and another of its gradient, would take a tenth of a small network's time. The
    tensors [...] that get the gradients, in the order of the parameters [1, ...].
    """
    found: dict[str, Tensor] = {}
    for place, module in model.named_modules():
        if isinstance(module, Layer):
            own = {name: p.detach()[0].requires_grad_() for name, p in module.named_parameters(recurse=False)}
            found |= {f"{place}.{name}": tensor for name, tensor in own.items()}
            module.own = own | {name: buffer[0] for name, buffer in module.named_buffers(recurse=False)}
    return [found[name] for name, _ in model.named_parameters()]


def loosen(model: nn.Module) -> None:
    """Let every channel be rounded alike, whatever the number of channels: for stacks of any size from two."""
    for module in model.modules():
        if isinstance(module, Layer):
            module.loose = True
