"""Small made-up datasets and trials for the tests; nothing here is read from disk."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from runner.config.schedules import CosineSettings, ScheduleSettings
from runner.config.settings import AdamSettings, OptimizerSettings, SGDSettings
from runner.data.dataset import Dataset, Split
from runner.data.settings import DatasetSettings, DigitsSettings, ModularSettings
from runner.models.settings import ModelSettings, ResNetSettings, ShakeShakeSettings, TransformerSettings
from runner.trials.trial import Facts, Trial

MODELS: dict[str, ModelSettings] = {
    "resnet": ResNetSettings("resnet", depth=8, width=4),
    "shakeshake": ShakeShakeSettings("shakeshake", depth=8, width=4),
    "transformer": TransformerSettings("transformer", layers=1, dim=16, heads=2, patch=4),
}


def images(train: int = 40, rest: int = 30, size: int = 8, channels: int = 3, **more: Any) -> Dataset:
    """Random images of four classes; class k is brighter in quadrant k, so there is something to learn."""
    rng = np.random.default_rng(0)

    def split(n: int) -> Split:
        y = np.arange(n) % 4
        x = rng.integers(0, 160, (n, size, size, channels))
        half = size // 2
        for i, k in enumerate(y):
            x[i, half * (k // 2) : half * (k // 2 + 1), half * (k % 2) : half * (k % 2 + 1)] += 60
        return Split(x.astype(np.uint8), y.astype(np.int64))

    parts = split(train), split(rest), split(rest)
    return Dataset("made-up", "images", 4, *parts, (100.0,) * channels, (60.0,) * channels, hash="0123", **more)


def tokens(train: int = 40, rest: int = 30, length: int = 6, per_position: bool = False) -> Dataset:
    """Random sequences over 7 tokens; the answer is the first token, or at each position the one before."""
    rng = np.random.default_rng(0)

    def split(n: int) -> Split:
        x = rng.integers(0, 7, (n, length))
        return Split(x, np.roll(x, 1, 1) if per_position else x[:, 0].copy())

    return Dataset("made-up", "tokens", 7, split(train), split(rest), split(rest), vocabulary=7, hash="4567")


def optimizer(name: str, **more: Any) -> OptimizerSettings:
    kind = AdamSettings if name in ("adam", "adamw") else SGDSettings
    return kind(name, 1e-3, **more)


def trial(dataset: Dataset, model: str = "resnet", name: str = "adamw", **more: Any) -> Trial:
    """A trial on `dataset`; `more` are fields of Trial."""
    own: DatasetSettings = DigitsSettings("digits") if dataset.kind == "images" else ModularSettings("modular")
    schedule: ScheduleSettings = CosineSettings("cosine")
    plain = Trial(
        model=MODELS[model],
        dataset=own,
        facts=Facts.of(dataset),
        optimizer=optimizer(name),
        schedule=schedule,
        wd_convention="torch" if name in ("adamw", "sgdw") else "l2",
        lr=1e-2,
        wd=0.1 if name in ("adamw", "sgdw") else 1e-3,
        seed=0,
        epochs=5,
        batch_size=16,
        precision="fp32",
    )
    return replace(plain, **more)
