"""Hydra composes a command's whole configuration to learn whether it sweeps, and again to run it: `composed_once()`.

The first is a third of what a command needs before it is refused, and only settings of Hydra's own can answer it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra._internal.hydra import Hydra

_honest = Hydra.get_mode


def composed_once(words: Sequence[str]) -> None:
    """Spare Hydra the first where no word of the command line, and no file that one names, could set `hydra.mode`."""
    kept: Any = _honest if may_set_mode(words) else _as_typed
    Hydra.get_mode = kept  # type: ignore[method-assign]


def may_set_mode(words: Sequence[str]) -> bool:
    """Whether it may be set elsewhere than by -m: by a word about Hydra, an option, or what is added by +."""
    return any("hydra" in word or (word[:1] in ("-", "+", "~") and word not in ("-m", "--multirun")) for word in words)


def _as_typed(hydra: Hydra, config_name: Any, overrides: Any) -> None:
    """What Hydra finds in our own files, those that are added by + aside: nothing, so that -m decides."""
