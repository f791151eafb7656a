"""From settings to a network for a dataset: `build(settings, dataset, trials)` is the call to know.

A new model is a settings class in `settings.py`, a module of its own beside this one, and a case in `build`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from runner.data.dataset import Dataset
from runner.models import settings as s
from runner.models.check import check
from runner.models.layers import Layer, initialise
from runner.models.module import UserModule
from runner.models.resnet import ResNet
from runner.models.shakeshake import ShakeShake
from runner.models.transformer import Transformer
from runner.models.tried import draws

Model = ResNet | ShakeShake | Transformer | UserModule


def build(settings: s.ModelSettings, dataset: Dataset, trials: int) -> Model:
    """A network of stacked copies, not yet initialised (see `runner.models.layers.initialise`).

    Every model maps (x [R, B, ...], noise [R, B, noise_width] or None) to logits [R, B, (T,) classes].

    Args:
        settings: which model, and its sizes.
        dataset: whose shapes and classes it takes.
        trials: R.

    Raises:
        UserError: for a dataset that the model cannot take.
    """
    check(settings, dataset)
    shape, classes = dataset.example, dataset.classes
    match settings:
        case s.ResNetSettings():
            return ResNet(settings, trials, shape[0], classes)
        case s.ShakeShakeSettings():
            return ShakeShake(settings, trials, shape[0], classes)
        case s.TransformerSettings():
            return Transformer(settings, trials, shape, classes, dataset.vocabulary, dataset.train.y.ndim == 2)
        case s.ModuleSettings():
            return UserModule(settings, trials, draws(settings, dataset))
    raise AssertionError(f"{settings.name} has no case here")


def begin(model: Model, generators: Sequence[torch.Generator]) -> None:
    """Give each trial of `model` its initial weights, in place, drawn by its own of the R `generators`."""
    if isinstance(model, UserModule):
        model.initialise(generators)
    else:
        initialise(model, generators)


def decays(model: Model) -> list[bool]:
    """For each parameter whether it is a weight; norms' scales and biases, and a module's embeddings, may be spared."""
    if isinstance(model, UserModule):
        return model.decays()
    return [parameter.dim() > 2 for parameter in model.parameters()]


def single(model: nn.Module) -> list[Tensor]:
    """Let the network `model` of one trial compute with tensors without the trial axis, in its parameters' memory.

    Making a view of each parameter in every step, and another of its gradient, would take a tenth of a small network's
    time. Returns the tensors [...] that get the gradients, in the order of the parameters [1, ...].
    """
    tensors: dict[str, Tensor] = {}
    for path, module in model.named_modules():
        if isinstance(module, Layer):
            own = {name: p.detach()[0].requires_grad_() for name, p in module.named_parameters(recurse=False)}
            tensors |= {f"{path}.{name}": tensor for name, tensor in own.items()}
            module.own = own | {name: buffer[0] for name, buffer in module.named_buffers(recurse=False)}
    return [tensors[name] for name, _ in model.named_parameters()]


def loosen(model: nn.Module) -> None:
    """Let every channel of `model` be rounded alike, whatever the number of channels.

    A trial then has the same bits in a stack of any size from two.
    """
    for module in model.modules():
        if isinstance(module, Layer):
            module.loose = True
