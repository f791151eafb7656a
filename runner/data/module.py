"""Data that somebody's own function gives: `load(settings)`, for `dataset=module`.

It gives arrays, or map-style torch datasets, for training and, if it has them, for testing and validating:

    {"x_train": ..., "y_train": ..., "x_test": ..., "y_test": ..., "x_val": ..., "y_val": ...}
    (train, test) or (train, test, val), of which each is a pair (x, y) or a torch Dataset; or train alone
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from runner.data.check import labels
from runner.data.code_place import WORDS
from runner.data.dataset import Dataset, Split
from runner.data.examples import Raw, classes_of, examples, kind_of
from runner.data.images import image_dataset
from runner.data.imported import imported
from runner.data.settings import ModuleDataSettings
from runner.data.split import fewer, part, state, stratified
from runner.errors import UserError

PARTS = ("train", "test", "val")
WANTED = "x_train, y_train and if there are x_test, y_test, x_val, y_val, or (train, test) or train alone"


def load(settings: ModuleDataSettings) -> Dataset:
    """The data of these settings, divided: a test set is held out where none is given, and then a validation set.

    UserError, in one line, where the function cannot be imported or called, or gives something else.
    """
    where = f"dataset.make={settings.make}"
    if not settings.make:
        raise UserError(f"dataset.make: must be {WORDS}")
    raw = _given(settings.make, json.dumps(settings.args or {}, sort_keys=True))
    names = classes_of(raw, where)
    kinds = {name: kind_of(x, f"{where}: {name}") for name, (x, _) in raw.items()}
    if len(set(kinds.values())) > 1:
        raise UserError(
            f"{where}: gives {', '.join(f'{kind} to {name}' for name, kind in kinds.items())}; give one kind"
        )
    kind = kinds["train"]
    splits = {name: _split(x, y, kind, names, f"{where}: {name}") for name, (x, y) in raw.items()}
    classes = len(names) or 1 + max(int(split.y.max()) for split in splits.values())
    train, test = splits["train"], splits.get("test")
    if test is None:
        size = round(settings.test * len(train))
        kept, held = _held_out(train.y, size, f"dataset.test={settings.test:g}", names, settings.split)
        train, test = part(train, kept), part(train, held)
    val = splits.get("val")
    # The parts of what is divided lie in its memory, and replicates divide it again.
    train = Split(train.x.copy(), train.y.copy())
    if kind == "images":
        data = image_dataset(settings, train, test, classes, val=val, names=names)
    else:
        if settings.flip or settings.pad:
            raise UserError(f"{where}: gives {kind}, and dataset.flip and dataset.pad are for images (uint8)")
        if val is None or settings.validation == 0:
            size, key = round(settings.validation * len(train)), f"dataset.validation={settings.validation:g}"
            kept, held = _held_out(train.y, size, key, names, settings.split)
            train, val = part(train, kept), part(train, held)
        train = fewer(train, settings.train, settings.split)
        vocabulary = (
            1 + max(int(split.x.max()) for split in (train, val, test) if len(split)) if kind == "tokens" else 0
        )
        data = Dataset(settings.shown, kind, classes, train, val, test, vocabulary=vocabulary, names=tuple(names))
    return replace(data, test_held_out="test" not in raw, notes=(_note(data, raw),))


def _note(data: Dataset, raw: Mapping[str, Raw]) -> str:
    """Which examples serve as what."""
    parts = [f"{data.kind}; {len(data.train)} examples for training"]
    for name, what, split in (("val", "validation", data.val), ("test", "testing", data.test)):
        if len(split):
            parts.append(f"{len(split)} for {what}" + ", held out" * (name not in raw))
    return "; ".join(parts)


@lru_cache(maxsize=2)  # replicates divide the same data, each in its own way
def _given(make: str, args: str) -> dict[str, Raw]:
    """What the function gives, as arrays by part."""
    where = f"dataset.make={make}"
    function = imported(make, "dataset.make")
    try:
        found = function(**json.loads(args))
        return {name: examples(some, f"{where}: {name}") for name, some in _parts(found, where).items()}
    except UserError:
        raise
    except MemoryError as error:
        raise UserError(f"{where}: does not fit into this machine's memory; give less data") from error
    except (Exception, SystemExit) as error:  # other people's code
        first = (str(error).splitlines() or [""])[0]
        raise UserError(f"{where} dataset.args={args}: fails ({type(error).__name__}: {first})") from error


def _parts(found: Any, where: str) -> dict[str, Any]:
    """What there is of training, test and validation data, each a pair or a torch dataset."""
    if isinstance(found, Mapping):
        known = {*PARTS, *(f"{axis}_{name}" for axis in "xy" for name in PARTS)}
        if strange := [str(key) for key in found if key not in known]:
            raise UserError(f"{where}: gives {', '.join(strange)[:80]}; must give {WANTED}")
        halves = [name for name in PARTS if (f"x_{name}" in found) != (f"y_{name}" in found)]
        if halves:
            raise UserError(f"{where}: gives only one of x_{halves[0]} and y_{halves[0]}; give both")
        pairs = {name: (found[f"x_{name}"], found[f"y_{name}"]) for name in PARTS if f"x_{name}" in found}
        pairs = pairs or {name: found[name] for name in PARTS if name in found}
    elif isinstance(found, Sequence) and 2 <= len(found) <= 3 and not _is_pair(found):
        pairs = dict(zip(PARTS, found, strict=False))
    else:
        pairs = {"train": found}
    if "train" not in pairs:
        raise UserError(f"{where}: gives {', '.join(map(str, found))[:80] or 'nothing'}; must give {WANTED}")
    return pairs


def _is_pair(found: Sequence[Any]) -> bool:
    """Whether it is (x, y), and not (train, test): x is an array, and a part of the data a pair or a dataset."""
    return len(found) == 2 and hasattr(found[0], "shape")


def _held_out(y: np.ndarray, size: int, key: str, names: Sequence[str], split: int) -> tuple[np.ndarray, np.ndarray]:
    """`stratified`; where every position has an answer at random, for such examples are of no class."""
    if y.ndim == 1 and size:
        return stratified(y, size, key, names, split)
    order = np.random.RandomState(state(split)).permutation(len(y))
    return np.sort(order[size:]), np.sort(order[:size])


def _split(x: np.ndarray, y: np.ndarray, kind: str, names: Sequence[str], what: str) -> Split:
    if names:
        numbers = {name: number for number, name in enumerate(names)}
        return Split(x, np.array([numbers[str(name)] for name in y], np.int64))
    if kind == "tokens" and y.ndim == 2 and y.shape == x.shape:
        return Split(x, y.astype(np.int64))
    return Split(x, labels(y, f"{what}: y"))
