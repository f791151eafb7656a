"""A stack's convolution is the grouped one, in whichever way it is computed on a GPU."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from runner.models import convolve
from runner.models.layers import filters

TRIALS = 3


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize(("inputs", "outputs"), [(3, 4), (4, 4), (4, 8), (8, 4)])
def test_every_shape_is_a_grouped_convolution_forward_and_backward(
    inputs: int, outputs: int, kernel: int, stride: int
) -> None:
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(5, TRIALS * inputs, 7, 7, generator=draw, dtype=torch.float64)
    weight = filters(TRIALS, outputs, inputs, kernel).double()
    weight += torch.randn(weight.shape, generator=draw, dtype=torch.float64)
    found = []
    for grouped in (True, False):
        x = images.contiguous(memory_format=torch.channels_last).requires_grad_()
        w = weight.clone().requires_grad_()
        if grouped:
            y = F.conv2d(x, w.flatten(0, 1), stride=stride, padding=kernel // 2, groups=TRIALS)
        else:
            y = convolve.convolve(x, w, stride, kernel // 2)
        y.square().sum().backward()
        found.append((y.detach(), x.grad, w.grad))
    for expected, here in zip(*found, strict=True):
        torch.testing.assert_close(here, expected)


def test_activations_and_gradients_of_filters_keep_the_layout_of_a_stack() -> None:
    x = torch.randn(2, TRIALS * 4, 6, 6).contiguous(memory_format=torch.channels_last)
    weight = filters(TRIALS, 8, 4, 3).normal_().requires_grad_()
    y = convolve.convolve(x, weight, 2, 1)
    y.sum().backward()
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert weight.grad is not None
    assert weight.grad.stride() == weight.stride()
