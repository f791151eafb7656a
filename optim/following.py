"""Hooks of a module by which `optim.SparseAdamW` brings rows up to date before they are read.

Classes, not closures: so that a module that is followed can be pickled and copied, its optimizer along with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(eq=False)
class BeforeForward:
    """A hook that brings the rows up to date which a module's forward pass is about to read."""

    optimizer: Any

    def __call__(self, module: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        self.optimizer.catch_up(module.weight, args[0] if args else named["input"])


@dataclass(eq=False)
class BeforeSaving:
    """A hook that brings all rows up to date before a module's state_dict."""

    optimizer: Any

    def __call__(self, module: nn.Module, prefix: str, keep_vars: bool) -> None:
        self.optimizer.catch_up(module.weight)


@dataclass(eq=False)
class BeforeLoading:
    """A hook that brings all rows up to date before a module's weights are loaded, so that these owe nothing."""

    optimizer: Any

    def __call__(self, module: nn.Module, *named: Any) -> None:
        self.optimizer.catch_up(module.weight)
