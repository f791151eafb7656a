"""Sets of tensors for `scripts/bench_step.py` to step: `sets(device_type)` names them, with how many networks."""

from __future__ import annotations

from collections.abc import Callable

import torch

from runner.models.resnet import ResNet
from runner.models.settings import ResNetSettings, ShakeShakeSettings
from runner.models.shakeshake import ShakeShake

Shapes = list[tuple[int, ...]]


def tiny() -> Shapes:
    """A ResNet-20 of width 8, 0.07M parameters."""
    return _resnet20(8)


def small() -> Shapes:
    """A ResNet-20 of width 16, as for CIFAR-10: 0.27M parameters."""
    return _resnet20(16)


def _resnet20(width: int) -> Shapes:
    with torch.device("meta"):
        return [tuple(p.shape[1:]) for p in ResNet(ResNetSettings("resnet", 20, width), 1, 3, 10).parameters()]


def resnet18() -> Shapes:
    """torchvision's, for 1000 classes."""
    shapes: Shapes = [(64, 3, 7, 7), (64,), (64,)]
    before = 64
    for width in (64, 128, 256, 512):
        for inputs in (before, width):
            shapes += [(width, inputs, 3, 3), (width,), (width,), (width, width, 3, 3), (width,), (width,)]
            shapes += [(width, inputs, 1, 1), (width,), (width,)] if inputs != width else []
        before = width
    return [*shapes, (1000, 512), (1000,)]


def shakeshake() -> Shapes:
    """The paper's 26 2x64d."""
    with torch.device("meta"):
        return [tuple(p.shape[1:]) for p in ShakeShake(ShakeShakeSettings("shakeshake"), 1, 3, 10).parameters()]


def gpt2(width: int = 768) -> Shapes:
    norm = [(width,), (width,)]
    attention = [(width, 3 * width), (3 * width,), (width, width), (width,)]
    mlp = [(width, 4 * width), (4 * width,), (4 * width, width), (width,)]
    return [(50257, width), (1024, width), *(norm + attention + norm + mlp) * 12, *norm]


def sets(device_type: str) -> dict[str, tuple[Callable[[], Shapes], int]]:
    """Name: (tensors of one network, how many networks). A GPU gets networks that are worth one, and GPT-2."""
    if device_type != "cuda":
        single = {"tiny": tiny, "resnet18": resnet18, "shakeshake": shakeshake}
        return {name: (make, 1) for name, make in single.items()} | {"stack16": (tiny, 16), "stack64": (tiny, 64)}
    single = {"tiny": tiny, "small": small, "resnet18": resnet18, "shakeshake": shakeshake, "gpt2": gpt2}
    return {name: (make, 1) for name, make in single.items()} | {"stack16": (tiny, 16), "stack64": (small, 64)}
