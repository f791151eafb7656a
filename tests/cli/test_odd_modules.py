"""Modules that are unlike most: they train as well, or are refused in one line before training."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.cli.own_code import ARMS, SMALL, done, own, rows
from tests.damage import command

ODD = """
import random
import sys
import torch
from torch import nn

class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        return self.head(x.flatten(1))

class Scaled(Base):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones([]))

    def forward(self, x):
        return self.scale * super().forward(x)

class Python(Base):
    def forward(self, x):
        return (1 + random.random()) * super().forward(x)

class Lazy(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.LazyLinear(10)

    def forward(self, x):
        return self.head(x.flatten(1))

class Frozen(Base):
    def __init__(self):
        super().__init__()
        self.requires_grad_(False)

class Detached(Base):
    def forward(self, x):
        return super().forward(x).detach()

class Late(Base):
    calls = 0

    def forward(self, x):
        Late.calls += 1
        if Late.calls > 2:
            raise ValueError("not any more")
        return super().forward(x)

class Double(Base):
    def __init__(self):
        super().__init__()
        self.double()

def leave():
    sys.exit(0)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return own(tmp_path, odd=ODD)


def test_a_module_with_a_parameter_without_axes_trains(folder: Path) -> None:
    for compute in ("stack", "lanes"):
        done(command(folder, *ARMS, "model.make=own.odd:Scaled", f"compute={compute}", f"results={compute}"))
    frames = [pd.read_csv(folder / name / "s" / "trials.csv").sort_values("trial") for name in ("stack", "lanes")]
    assert (frames[0]["status"] == "ok").all()
    assert frames[0]["val_loss"].to_numpy() == pytest.approx(frames[1]["val_loss"].to_numpy(), rel=1e-4)


def test_random_numbers_of_python_are_those_of_the_trial_too(folder: Path) -> None:
    said = [done(command(folder, *ARMS, "model.make=own.odd:Python", f"results={name}")) for name in ("one", "two")]
    assert "it draws random numbers" in said[0]
    frames = [pd.read_csv(folder / name / "s" / "trials.csv").sort_values("trial") for name in ("one", "two")]
    assert frames[0]["val_loss"].tolist() == frames[1]["val_loss"].tolist()


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("Lazy", "head.weight has no shape before the first batch"),
        ("Frozen", "has no parameter to train"),
        ("Detached", "on which no parameter has a part"),
        ("Double", "head.weight is torch.float64 (torch.strided); parameters must be torch.float32"),
        ("leave", "cannot be made (SystemExit: 0)"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_training(folder: Path, name: str, line: str) -> None:
    said = command(folder, *SMALL, f"model.make=own.odd:{name}")
    assert said.code == 2, said.text
    assert said.err.count("\n") == 1
    assert line in said.err


def test_a_forward_that_fails_after_some_calls_is_a_failed_trial(folder: Path) -> None:
    said = command(folder, *SMALL, "model.make=own.odd:Late")
    assert said.code == 1, said.text
    assert "not any more" in said.text
    assert rows(folder)["status"].tolist() == ["failed"]


def test_arguments_that_are_no_mapping_are_refused_by_their_name(folder: Path) -> None:
    said = command(folder, *SMALL, "model.make=own.odd:Base", "model.args=[1,2]")
    assert said.code == 2
    assert "model.args=[1, 2]: must be a mapping" in said.err
