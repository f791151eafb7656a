"""Optimizer steps for one network or for a stack of them, with weight decay in explicit conventions.

`optim.AdamW`, `Adam`, `SGD` and `SGDW` are torch.optim optimizers; so are `SparseAdamW` for sparse gradients, `LOMO`,
SGD inside the backward pass, and `Lookahead` around any of them. `optim.stacked.Stacked` steps a stack of networks;
`optim.conventions` converts between meanings of weight decay; `optim.reference` has the paper's algorithms as
written. Nothing here knows of `runner`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optim.adam import Adam, AdamW
    from optim.lomo import LOMO
    from optim.lookahead import Lookahead
    from optim.sgd import SGD, SGDW
    from optim.sparse import SparseAdamW

__all__ = ["LOMO", "SGD", "SGDW", "Adam", "AdamW", "Lookahead", "SparseAdamW"]
_HOMES = {"Adam": "adam", "AdamW": "adam", "SGD": "sgd", "SGDW": "sgd", "LOMO": "lomo", "Lookahead": "lookahead"}
_HOMES["SparseAdamW"] = "sparse"


def __getattr__(name: str) -> Any:
    """The classes, imported when first asked for: `optim.rules` and `optim.conventions` need no torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"optim.{_HOMES[name]}"), name)
