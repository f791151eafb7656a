"""The embedded tasks can be learned by the models that the README names for them."""

from __future__ import annotations

from dataclasses import replace

import torch

from runner.config.settings import RunSettings
from runner.data.load import load
from runner.data.settings import DigitsSettings, ModularSettings
from runner.models.settings import ResNetSettings, TransformerSettings
from runner.training.train import train
from tests.helpers import trial


def test_the_transformer_reaches_99_percent_training_accuracy_on_modular() -> None:
    dataset = load(ModularSettings("modular", p=23))
    model = TransformerSettings("transformer", layers=1, dim=32)
    some = replace(trial(dataset), model=model, lr=1e-2, wd=0.1, epochs=200, batch_size=264)
    *_, last = train([some], dataset, torch.device("cpu"), RunSettings(eval_every=200))
    assert last.trials[0]["train_error"] <= 1.0


def test_the_small_resnet_reaches_5_percent_test_error_on_digits_in_8_epochs() -> None:
    dataset = load(DigitsSettings("digits"))
    some = replace(trial(dataset), model=ResNetSettings("resnet"), wd=1.0, epochs=8, batch_size=32)
    *_, last = train([some], dataset, torch.device("cpu"), RunSettings(eval_every=8))
    assert last.trials[0]["test_error"] <= 5.0
