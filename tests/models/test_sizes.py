"""How many trials share a stack, and how many examples an evaluation takes at a time, follow from a layer's size."""

from __future__ import annotations

import pytest

from runner.models.settings import ModelSettings, ResNetSettings, ShakeShakeSettings, TransformerSettings
from runner.models.sizes import CACHE, GPU_LAYER, GPU_MOST, evaluation_batch, gpu_stack, layer_bytes

SHAPES: dict[str, tuple[ModelSettings, int, int]] = {
    "digits": (ResNetSettings("resnet", 8, 8), 32, 64),
    "cifar10 at 16d": (ShakeShakeSettings("shakeshake", 26, 16), 128, 1024),
    "cifar10 at 64d": (ShakeShakeSettings("shakeshake", 26, 64), 128, 1024),
    "cifar10 at 96d": (ShakeShakeSettings("shakeshake", 26, 96), 512, 1024),
    "modular": (TransformerSettings("transformer", 2, 128, 4), 512, 3),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_stack_fills_a_gpu_and_no_more(shape: tuple[ModelSettings, int, int]) -> None:
    trials = gpu_stack(*shape)
    assert 1 <= trials <= GPU_MOST
    assert trials == 1 or trials * layer_bytes(*shape) <= GPU_LAYER
    assert trials == GPU_MOST or (trials + 1) * layer_bytes(*shape) > GPU_LAYER


@pytest.mark.parametrize("trials", [1, 4, 64])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_an_evaluation_takes_what_fills_the_device_but_no_less_than_a_step(
    shape: tuple[ModelSettings, int, int], trials: int
) -> None:
    model, batch, positions = shape
    example = layer_bytes(model, 1, positions)
    on_gpu, on_cpu = evaluation_batch(*shape, trials), evaluation_batch(*shape)
    assert on_gpu == batch or (on_gpu > batch and GPU_LAYER / 2 < on_gpu * example * trials <= GPU_LAYER)
    assert on_cpu == batch or on_cpu * example <= CACHE
