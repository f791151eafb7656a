"""The page of the package: its lines run, and what it says of decay is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

import optim

PAGE = (Path(optim.__file__).parent / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_the_lines_at_the_top_run_and_learn() -> None:
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    exec(EXAMPLES[0], names)
    x = torch.randn(1000, 8)
    assert (names["model"](x) - x[:, :1]).square().mean() < x[:, 0].square().mean()
    assert len([line for line in EXAMPLES[0].splitlines() if line.strip()]) <= 12


def test_every_other_example_runs() -> None:
    names: dict[str, Any] = {"torch": torch, "optim": optim}
    for example in EXAMPLES[1:]:
        exec(example, names)
    assert len(EXAMPLES) == 4
    assert all(moment.any() for moment in names["stack"].moments1)
    assert names["optimizer"].state[names["embedding"].weight]["step"] == 1


def test_every_file_of_the_package_is_named() -> None:
    folder = Path(optim.__file__).parent
    for path in folder.rglob("*.py"):
        if path.stem != "__init__":
            assert re.search(rf"`{path.stem}(\.py)?`", PAGE), path.name


def test_every_class_is_named() -> None:
    for name in optim.__all__:
        assert re.search(rf"`{name}`", PAGE), name
