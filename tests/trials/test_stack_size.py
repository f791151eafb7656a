"""How many trials share a stack, and how many examples an evaluation takes at a time, follow from a layer's size."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from runner.models.lanes import Lanes
from runner.models.settings import ModelSettings, ResNetSettings, ShakeShakeSettings, TransformerSettings
from runner.training.stack import Stack
from runner.trials.stack_size import (
    CACHE_BYTES,
    FULL,
    GPU_LAYER_BYTES,
    GPU_MOST,
    UNSTACKED,
    apart,
    evaluation_batch,
    gpu_stack,
    layer_bytes,
)
from tests.helpers import images, tokens, trial

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
    assert trials == 1 or trials * layer_bytes(*shape) <= GPU_LAYER_BYTES
    assert trials == GPU_MOST or (trials + 1) * layer_bytes(*shape) > GPU_LAYER_BYTES


@pytest.mark.parametrize("trials", [1, 4, 64])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_an_evaluation_takes_what_fills_the_device_but_no_less_than_a_step(
    shape: tuple[ModelSettings, int, int], trials: int
) -> None:
    model, batch, positions = shape
    example = layer_bytes(model, 1, positions)
    on_gpu, on_cpu = evaluation_batch(*shape, trials), evaluation_batch(*shape)
    assert on_gpu == batch or (on_gpu > batch and GPU_LAYER_BYTES / 2 < on_gpu * example * trials <= GPU_LAYER_BYTES)
    assert on_cpu == batch or on_cpu * example <= 8 * CACHE_BYTES


@pytest.mark.parametrize(("width", "way", "one_by_one"), [(16, FULL, False), (32, FULL, True), (32, UNSTACKED, False)])
def test_wide_convolutions_of_a_stack_are_evaluated_trial_by_trial(width: int, way: str, one_by_one: bool) -> None:
    some, model = images(), ResNetSettings("resnet", 8, width)
    trials = [replace(trial(some, seed=seed), model=model).computed(way) for seed in range(2 if way == FULL else 1)]
    stack = Stack(trials, some, torch.device("cpu"))
    assert isinstance(stack.scored, Lanes) is one_by_one is apart(model, 64, way)
    stack.run_epoch(0)
    alone = stack.scores("val")
    stack.scored = stack.model
    together = stack.scores("val")
    assert alone.loss == pytest.approx(together.loss, rel=1e-5)
    assert alone.error == pytest.approx(together.error)


@pytest.mark.parametrize(("dim", "positions", "one_by_one"), [(64, 4, False), (128, 4, True), (16, 49, True)])
def test_transformers_of_many_numbers_are_evaluated_trial_by_trial(dim: int, positions: int, one_by_one: bool) -> None:
    model = TransformerSettings("transformer", 2, dim, 4)
    assert apart(model, positions, FULL) is one_by_one
    assert not apart(model, positions, UNSTACKED)


@pytest.mark.parametrize(("patch", "positions"), [(4, 4), (2, 16), (8, 1)])
def test_a_transformer_goes_over_patches_and_tokens_and_a_resnet_over_pixels(patch: int, positions: int) -> None:
    model = TransformerSettings("transformer", layers=1, dim=16, heads=2, patch=patch)
    assert replace(trial(images()), model=model).positions == positions
    assert trial(images()).positions == 64
    text = tokens()
    assert trial(text, model="transformer").positions == text.train.x.shape[1]
