"""Optimizer steps for one network or for a stack of them, with weight decay in explicit conventions.

`optim.AdamW`, `Adam`, `SGD` and `SGDW` are torch.optim optimizers; `optim.stacked.Stacked` steps a stack of networks;
`optim.conventions` converts between meanings of weight decay; `optim.reference` has the paper's algorithms as
written. Nothing here knows of `runner`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optim.adam import Adam, AdamW
    from optim.sgd import SGD, SGDW

__all__ = ["SGD", "SGDW", "Adam", "AdamW"]


def __getattr__(name: str) -> Any:
    """The classes, imported when first asked for: `optim.rules` and `optim.conventions` need no torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from optim import adam, sgd

    return getattr(adam if name.startswith("Adam") else sgd, name)
