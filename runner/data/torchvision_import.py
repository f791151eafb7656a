"""torchvision's datasets, beside a torch that torchvision was not built for too: `torchvision_datasets()`.

Imported where a dataset needs it and not before: it takes seconds.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

from runner.data.reading import reason
from runner.errors import UserError

_STAND_INS: list[Any] = []  # a torch Library takes its operators with it when it is collected


def torchvision_datasets() -> ModuleType:
    """The module `torchvision.datasets`; UserError if torchvision is missing or cannot be imported.

    The CUDA build of torchvision cannot load its compiled operators beside CPU torch. It goes on without them, up to
    where it describes nms and qnms to torch.compile, which fails as those two do not exist. Nothing here calls them,
    so then, and only then, they are declared without a body and the import is tried once more.
    """
    try:
        try:
            return importlib.import_module("torchvision.datasets")
        except RuntimeError as error:
            if "torchvision::nms does not exist" not in str(error):
                raise
        _forget_half_imported()
        _declare_operators()
        return importlib.import_module("torchvision.datasets")
    except (ImportError, OSError, RuntimeError) as error:
        _forget_half_imported()
        raise UserError(
            f"torchvision cannot be imported ({reason(error)}); install the torchvision that belongs to this torch, "
            "or use dataset=digits, modular, npz, folder or text, which need none"
        ) from error


def _declare_operators() -> None:
    import torch

    if not _STAND_INS:
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _STAND_INS.append(library)


def _forget_half_imported() -> None:
    """Submodules of a package whose import failed stay behind, bound to the package object that is gone."""
    for name in list(sys.modules):
        if name.partition(".")[0] == "torchvision":
            del sys.modules[name]
