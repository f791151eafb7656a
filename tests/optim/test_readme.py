"""The page of the package: its lines run, and what it says of decay is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

import optim

PAGE = (Path(optim.__file__).parent / "README.md").read_text(encoding="utf-8")


def test_the_lines_at_the_top_run_and_learn() -> None:
    code = "\n".join(line[4:] for line in PAGE.splitlines() if line.startswith("    ") or not line)
    torch.manual_seed(0)
    there: dict[str, Any] = {}
    exec(code, there)
    x = torch.randn(1000, 8)
    assert (there["model"](x) - x[:, :1]).square().mean() < x[:, 0].square().mean()
    assert len([line for line in code.splitlines() if line.strip()]) <= 12


def test_every_class_is_named() -> None:
    for name in optim.__all__:
        assert re.search(rf"`{name}`", PAGE), name
