"""Examples of any origin as arrays: `examples(some, what)` reads them, `kind_of(x, what)` says what they are.

Images are uint8, and are standardised before a network sees them. Other numbers are given to a network as they are.
Whole numbers in rows are tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from runner.data.check import images
from runner.errors import UserError

Raw = tuple[np.ndarray, np.ndarray]  # x and y
COLOURS = (1, 3)  # channels of an image by which channels first are told from channels last


def examples(some: Any, what: str) -> Raw:
    """x and y of a pair of arrays, or of a map-style dataset whose items are pairs.

    Args:
        some: what somebody's function gives for a part of the data.
        what: which part, for the beginning of a message.

    Raises:
        UserError: for anything else, or examples of several shapes.
    """
    if isinstance(some, tuple | list) and len(some) == 2:
        x, y = (_array(one) for one in some)
    elif (
        hasattr(some, "__getitem__") and hasattr(some, "__len__") and not isinstance(some, tuple | list | Mapping | str)
    ):
        items = [some[index] for index in range(len(some))]
        if not items or not all(isinstance(item, tuple | list) and len(item) == 2 for item in items):
            raise UserError(f"{what}: is a dataset whose items are no pairs (x, y)")
        shapes = {np.shape(_array(x)) for x, _ in items}
        if len(shapes) > 1:
            several = " and ".join(str(shape) for shape in sorted(shapes)[:2])
            raise UserError(f"{what}: has examples of several shapes, such as {several}; make them alike")
        x, y = np.stack([_array(x) for x, _ in items]), np.array([_array(y) for _, y in items])
    else:
        raise UserError(f"{what}: is {type(some).__name__}; must be a pair (x, y) or a map-style torch dataset")
    if any(np.ma.is_masked(one) for one in (x, y)):
        raise UserError(f"{what}: has masked values; leave such examples out, or fill them in")
    if y.dtype.kind == "O" and not all(isinstance(one, str) for one in y):
        raise UserError(f"{what}: y has text among other things; must be all text, or all whole numbers")
    if not x.ndim or not y.ndim or len(x) != len(y) or not len(x):
        raise UserError(f"{what}: has x of shape {x.shape} and y of shape {y.shape}; must be as many, one at least")
    return _ordered(x, what), y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y


def kind_of(x: np.ndarray, what: str) -> str:
    """'images', 'numbers' or 'tokens'; UserError for what is none of them."""
    if x.dtype == np.uint8 and x.ndim == 4:
        return "images"
    if x.dtype == np.float32:
        return "numbers"
    if x.dtype == np.int64 and x.ndim == 2:
        return "tokens"
    raise UserError(
        f"{what}: x is {x.dtype} of shape {x.shape}; must be images (uint8 N,H,W, N,H,W,C or N,C,H,W), numbers "
        "(floats N,...) or tokens (whole numbers N,T)"
    )


def classes_of(raw: Mapping[str, Raw], where: str) -> list[str]:
    """The names of the classes in alphabetical order, where answers are text; [] where they are numbers.

    UserError where a part of the data has a class that the training set has not.
    """
    if raw["train"][1].dtype.kind not in "UOS":
        return []
    names = sorted({str(name) for name in raw["train"][1]})
    for part, (_, y) in raw.items():
        if strange := sorted({str(name) for name in y} - set(names)):
            raise UserError(f"{where}: {part} has the class {strange[0]!r}, of which there is no training example")
    return names


def _array(one: Any) -> np.ndarray:
    """An array of a torch tensor, a Pillow image, a list or a number."""
    return np.asanyarray(one.detach().cpu() if hasattr(one, "detach") else one)  # a mask stays, to be refused


def _ordered(x: np.ndarray, what: str) -> np.ndarray:
    """Images with channels last, floats in single precision, tokens as int64."""
    if x.dtype == np.uint8 and x.ndim in (3, 4):
        first = x.ndim == 4 and x.shape[1] in COLOURS and x.shape[3] not in COLOURS
        return images(np.ascontiguousarray(np.moveaxis(x, 1, -1)) if first else x, f"{what}: x")
    if x.dtype.kind == "f" and x.ndim >= 2:
        if not np.isfinite(x).all():
            bad = int(np.argmin(np.isfinite(x.reshape(len(x), -1)).all(1)))
            raise UserError(f"{what}: x[{bad}] has nan or inf; leave such examples out, or fill them in")
        with np.errstate(over="ignore"):
            single = np.ascontiguousarray(x, dtype=np.float32)
        if not np.isfinite(single).all():
            raise UserError(f"{what}: x has numbers that are too large for float32; scale them")
        return single
    if x.dtype.kind in "iu" and x.ndim == 2:
        if x.min() < 0:
            raise UserError(f"{what}: x has the token {x.min()}; tokens are whole numbers from 0")
        return np.ascontiguousarray(x, dtype=np.int64)
    return x
