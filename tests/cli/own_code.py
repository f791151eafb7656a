"""What a folder of somebody who brings a network and data holds, for tests of commands there."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tests.damage import Said

NETS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width=8, drop=0.0, branch=False, fail=0):
        super().__init__()
        self.branch, self.fail = branch, fail
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(64, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(drop), nn.Linear(width, 10)
        )

    def forward(self, x):
        y = self.layers(x)
        if self.branch and y.sum().item() > 0:
            y = 2 * y
        return y

def narrow():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 7))

def number():
    return 5

def failing():
    raise ValueError("not today")

value = 3
"""
SMALL = ("model=module", "dataset.train=60", "dataset.test=1500", "study=s", "workers=1", "epochs=2")
ARMS = ("-m", "optimizer=adam,adamw", "lr=0.01", "wd=0.01", "seed=0,1", *SMALL)


def done(said: Said) -> str:
    assert said.code == 0, said.text
    return said.text


def rows(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "results" / "s" / "trials.csv").sort_values("trial").reset_index(drop=True)


def own(folder: Path, **files: str) -> Path:
    """The folder, with a package `own` of `nets` and of modules with this code."""
    (folder / "own").mkdir()
    for name, code in ({"nets": NETS} | files).items():
        (folder / "own" / f"{name}.py").write_text(code)
    return folder
