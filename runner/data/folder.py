"""Image files in folders named after their classes: `load(settings)`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from runner.data.dataset import Dataset, Split
from runner.data.images import image_dataset
from runner.data.reading import existing, reading
from runner.data.settings import FolderSettings
from runner.data.torchvision_import import torchvision_datasets
from runner.errors import UserError


def load(settings: FolderSettings) -> Dataset:
    """`train/CLASS/*` and `test/CLASS/*` as uint8 `size` x `size` x 3, classes in alphabetical order.

    The test set is `test/`, or else `val/`; with both, `val/` is the validation set. UserError if a folder is missing
    or empty, an image cannot be read, or a class of another folder is none of the training set's.
    """
    where = f"dataset.path={settings.path}"
    root = existing(settings.path, "dataset=folder dataset.path=images", folder=True)
    right = "must hold the folders train and test, or train and val, with a folder of images for each class"
    for wanted in (("train",), ("test", "val")):
        if not any((root / name).is_dir() for name in wanted):
            raise UserError(f"{where}: has no folder {' or '.join(wanted)}; {right}")
    found = {}
    for name in ("train", "test", "val"):
        if (root / name).is_dir():
            with reading(f"{where}: {name}", right):
                found[name] = _images(root / name)
    classes = found["train"].class_to_idx
    splits = {name: _pixels(part, classes, settings.size, f"{where}: {name}") for name, part in found.items()}
    if "test" not in found:
        return image_dataset(settings, splits["train"], splits["val"], len(classes))
    return image_dataset(settings, splits["train"], splits["test"], len(classes), val=splits.get("val"))


def _images(root: Path) -> Any:
    """torchvision's ImageFolder without folders whose names begin with a dot, such as .ipynb_checkpoints."""
    datasets = torchvision_datasets()

    class Images(datasets.ImageFolder):  # type: ignore[name-defined]
        def find_classes(self, directory: Any) -> tuple[list[str], dict[str, int]]:
            classes = [name for name in super().find_classes(directory)[0] if not name.startswith(".")]
            if not classes:
                raise FileNotFoundError(f"Couldn't find any class folder in {directory}.")
            return classes, {name: index for index, name in enumerate(classes)}

    return Images(str(root))


def _pixels(part: Any, classes: dict[str, int], size: int, where: str) -> Split:
    """An ImageFolder as uint8 [N, size, size, 3] and labels by the training set's `classes`."""
    from PIL import Image, ImageOps
    from tqdm import tqdm

    strange = sorted(set(part.classes) - set(classes))
    if strange:
        raise UserError(f"{where}: has the class {strange[0]}, which train has not; classes must be those of train")
    x = np.empty((len(part), size, size, 3), dtype=np.uint8)
    y = np.array([classes[part.classes[label]] for label in part.targets], dtype=np.int64)
    for i, (path, _) in enumerate(tqdm(part.samples, desc=f"reading {Path(part.root)}", disable=None, leave=False)):
        with reading(f"{where}: {path}", "must be an image; mend it or take it away"):
            # The largest centred square, resized.
            x[i] = np.asarray(ImageOps.fit(part.loader(path), (size, size), Image.Resampling.BILINEAR))
    return Split(x, y)
