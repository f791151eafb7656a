"""A batch that batch normalisation cannot take is refused before training, for every model and size; no other is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from runner.data.dataset import Dataset, Split
from runner.errors import UserError
from runner.models.build import build
from runner.models.check import check
from runner.models.settings import ModelSettings, ResNetSettings, ShakeShakeSettings, TransformerSettings
from tests.damage import check_refused, command

MODELS: dict[str, ModelSettings] = {
    "resnet": ResNetSettings("resnet", width=2),
    "deeper resnet": ResNetSettings("resnet", depth=20, width=2),
    "resnet without norms": ResNetSettings("resnet", width=2, norm="none"),
    "shakeshake": ShakeShakeSettings("shakeshake", depth=8, width=2),
    "deeper shakeshake": ShakeShakeSettings("shakeshake", depth=14, width=2),
    "transformer": TransformerSettings("transformer", layers=1, dim=4, heads=2, patch=1),
}


def dataset(count: int, height: int, width: int) -> Dataset:
    y = np.arange(count) % 2
    split = Split(np.random.default_rng(0).integers(0, 256, (count, height, width, 1)).astype(np.uint8), y)
    return Dataset("made", "images", 2, split, split, split, (128.0,), (60.0,), hash="0")


def refused(model: ModelSettings, data: Dataset, batch_size: int) -> str:
    try:
        check(model, data, batch_size)
    except UserError as error:
        return str(error)
    return ""


def trains(model: ModelSettings, data: Dataset, batch: int) -> bool:
    """Whether torch computes the gradient of a batch of so many."""
    network = build(model, data, 1).train()
    noise = torch.zeros(1, batch, network.noise_width) if network.noise_width else None
    try:
        x = torch.rand(1, batch, 1, *data.train.x.shape[1:3])
        network(x, noise).sum().backward()
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        return False
    return True


@pytest.mark.parametrize("size", [(4, 4), (4, 5), (5, 4), (5, 5), (8, 8)], ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_what_torch_cannot_train_is_refused_and_nothing_else(name: str, size: tuple[int, int]) -> None:
    model, data = MODELS[name], dataset(5, *size)
    for batch_size, smallest in ((1, 1), (2, 1), (3, 2), (4, 1), (5, 5), (6, 5)):
        line = refused(model, data, batch_size)
        assert bool(line) is not trains(model, data, smallest), (batch_size, line)
        assert "\n" not in line


@pytest.mark.parametrize("count", [2, 3, 5, 65, 97, 129])
def test_the_batch_size_that_is_recommended_will_do(count: int) -> None:
    data = dataset(count, 4, 4)
    for model in (MODELS["resnet"], MODELS["shakeshake"]):
        for batch_size in (1, 2, 4, 16, 32, 64, 96, 128):
            line = refused(model, data, batch_size)
            if line:
                right = int(line.partition("use batch_size=")[2].split()[0].rstrip(","))
                assert not refused(model, data, right), line
    assert "model.norm=none" in refused(MODELS["resnet"], data, 1)
    assert not refused(replace(MODELS["resnet"], norm="none"), data, 1)  # type: ignore[call-arg]


@pytest.mark.parametrize("batch_size", [32, 1, 64])
@pytest.mark.parametrize("more", ["dry_run=true", "dry_run=false"])
def test_it_is_refused_on_the_command_line(batch_size: int, more: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (72, 4, 4, 3), dtype=np.uint8), np.arange(72) % 2
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y, x_test=x[:20], y_test=y[:20])
    words = ("dataset=npz", "dataset.path=a.npz", "dataset.validation=0.1", f"batch_size={batch_size}", "epochs=1")
    said = command(tmp_path, *words, "model.width=4", more)
    check_refused(said, f"batch_size={batch_size}: leaves a batch of one of the 65 training images", "use batch_size=")
    assert not (tmp_path / "results").exists()
