"""The roofline that benchmarks report counts what a step computes and moves, in the precision that it runs in."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
import torch
import torch.nn.functional as F

from scripts.bench.roofline import Cost, Traffic, cost
from scripts.bench.step_ways import FUSED
from scripts.parity.plain_models import Shape, network
from tests.helpers import MODELS

IMAGES, TOKENS = Shape((3, 32, 32), 10, None), Shape((4,), 97, 99)
WIDE = {name: replace(MODELS[name], width=16) for name in ("resnet", "shakeshake")}  # type: ignore[call-arg]


def step(model: str, precision: str) -> Cost:
    """Of one step of 32 examples."""
    settings, shape = (WIDE[model], IMAGES) if model in WIDE else (MODELS[model], TOKENS)
    return cost(asdict(settings), shape, 32, 32, 0, 1, precision)


@pytest.mark.parametrize("model", WIDE)
def test_bfloat16_halves_the_bytes_of_a_convolutional_step(model: str) -> None:
    full, half = step(model, "fp32"), step(model, "bf16")
    assert full.flops == half.flops
    assert 0.45 < half.bytes / full.bytes < 0.65


def test_bytes_are_those_of_a_step_that_really_runs() -> None:
    plain = network(asdict(WIDE["resnet"]), IMAGES)
    x, y = torch.zeros(32, *IMAGES.example), torch.zeros(32, dtype=torch.int64)
    with Traffic() as traffic:
        F.cross_entropy(plain(x), y).backward()
    parameters = sum(p.numel() for p in plain.parameters())
    assert step("resnet", "fp32").bytes == pytest.approx(traffic.bytes + FUSED * parameters, rel=1e-3)


def test_flops_of_a_transformers_step_are_six_for_each_weight_and_token() -> None:
    settings = replace(MODELS["transformer"], layers=2, dim=128)  # type: ignore[call-arg]
    found = cost(asdict(settings), TOKENS, 32, 32, 0, 1, "fp32")
    weights = 2 * 128 * 128 * (4 + 2 * 4)  # of attention and of the layers between, without embeddings
    assert found.flops == pytest.approx(6 * weights * 32 * 4, rel=0.2)
