"""Any dataset from its settings: `load(settings)` is the call to know.

A new dataset is a settings class in `settings.py`, a function that makes a `Dataset` of it, and a row in `LOADERS`.
What takes long to import is imported inside those functions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from runner.data import digits, files, folder, modular, module, text, vision
from runner.data.arrays import shared
from runner.data.cache import Cache
from runner.data.check import check, content_hash
from runner.data.dataset import Dataset, Split
from runner.data.notes import remarks
from runner.data.reading import place, words
from runner.data.settings import DatasetSettings
from runner.errors import UserError

# Each takes the settings class that DATASETS has under its name.
LOADERS: dict[str, Callable[[Any], Dataset]] = {
    "digits": digits.load,
    "modular": modular.load,
    "cifar10": vision.load,
    "cifar100": vision.load,
    "fashion_mnist": vision.load,
    "mnist": vision.load,
    "imagenet32": files.load_imagenet32,
    "text": text.load,
    "npz": files.load_npz,
    "folder": folder.load,
    "module": module.load,
}


def load(settings: DatasetSettings) -> Dataset:
    """Read, split, check and hash a dataset: the same at every call, and for every trial's seed.

    What was read from files is kept in a cache, from which the next call maps it. Large arrays lie in memory that
    worker processes map too.

    Args:
        settings: which dataset, and how to read and split it; of the class that `DATASETS` has under its name.

    Raises:
        UserError: whatever is wrong with the data, in one line that names the setting or file and what would be right.
    """
    where = f"dataset={settings.name}"
    if settings.name not in LOADERS:
        raise UserError(f"{where}: must be one of {', '.join(LOADERS)}")
    where = place(settings)
    try:
        cache = Cache.of(settings)
        if cache is not None and (kept := cache.find()) is not None:
            return kept
        dataset = LOADERS[settings.name](settings)
        check(dataset, settings.validation, where)
        notes = tuple(words(note) for note in (*dataset.notes, *remarks(dataset)))
        dataset = replace(dataset, hash=content_hash(dataset), notes=notes)
        if cache is not None:
            dataset = cache.keep(dataset)
        # Arrays that the cache could not keep are shared between processes all the same.
        parts: dict[str, Any] = {
            name: Split(shared(split.x), shared(split.y)) for name, split in dataset.splits.items()
        }
        return replace(dataset, **parts)
    except UserError as error:
        # A name from the disk or the command line may hold a line break.
        raise UserError(" ".join(str(error).splitlines())) from error
    except MemoryError as error:
        raise UserError(f"{where}: does not fit into this machine's memory; give less data") from error
