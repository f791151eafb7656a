"""How a run is watched: `Options`. Imports nothing that is slow."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """How a run is watched; none of it changes what is trained."""

    eval_every: int = 1
    target_error: float | None = None
    eval_all: bool = False  # every split, at every evaluation
    diagnostics: bool = False
    checkpoint_every: float = 30.0  # seconds
