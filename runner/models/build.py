"""From settings to a network for a dataset: `build(settings, dataset, trials)` is the call to know.

A new model is a settings class in `settings.py`, a module here, and a row in `_BUILDERS`.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from runner.data.dataset import Dataset
from runner.models import settings as s
from runner.models.check import check
from runner.models.layers import Layer
from runner.models.resnet import ResNet
from runner.models.shakeshake import ShakeShake
from runner.models.transformer import Transformer

Model = ResNet | ShakeShake | Transformer


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
    return _BUILDERS[settings.name](settings, dataset, trials)


def decays(parameter: Tensor) -> bool:
    """True for weights; False for the norms' scales and all biases, one axis per trial, which may be spared."""
    return parameter.dim() > 2


def single(model: nn.Module) -> list[Tensor]:
    """Let a network of one trial compute with tensors without the trial axis, in the memory of its parameters.

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
    """Let every channel be rounded alike, whatever the number of channels: a trial then has the same bits in a stack of
    any size from two.
    """
    for module in model.modules():
        if isinstance(module, Layer):
            module.loose = True


def _resnet(settings: s.ModelSettings, dataset: Dataset, trials: int) -> Model:
    assert isinstance(settings, s.ResNetSettings)
    return ResNet(settings, trials, dataset.train.x.shape[3], dataset.classes)


def _shakeshake(settings: s.ModelSettings, dataset: Dataset, trials: int) -> Model:
    assert isinstance(settings, s.ShakeShakeSettings)
    return ShakeShake(settings, trials, dataset.train.x.shape[3], dataset.classes)


def _transformer(settings: s.ModelSettings, dataset: Dataset, trials: int) -> Model:
    assert isinstance(settings, s.TransformerSettings)
    shape = dataset.train.x.shape[1:]
    if dataset.kind == "images":
        height, width, channels = shape
        shape = (channels, height, width)
    per_position = dataset.train.y.ndim == 2
    return Transformer(settings, trials, shape, dataset.classes, dataset.vocabulary, per_position)


_BUILDERS: dict[str, Callable[[s.ModelSettings, Dataset, int], Model]] = {
    "resnet": _resnet,
    "shakeshake": _shakeshake,
    "transformer": _transformer,
}
