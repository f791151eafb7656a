"""Image files in folders named after their classes: `load(settings)`."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from runner.data.dataset import Dataset, Split
from runner.data.images import image_dataset
from runner.data.notes import counted, left_out, listed, roles
from runner.data.picture import decoded, picture
from runner.data.reading import existing, reading, within, words
from runner.data.room import check_room
from runner.data.settings import FolderSettings
from runner.data.split import divided, stratified
from runner.data.tree import SUFFIXES, Tree, hidden, tree
from runner.errors import UserError

# What each part of the data may be called, in capitals too.
PARTS = {
    "train": ("train", "training"),
    "test": ("test", "testing"),
    "val": ("val", "valid", "validation", "dev"),
}
HELD = "held out"  # the key of what is held out of the training set here, beside those of PARTS


def load(settings: FolderSettings) -> Dataset:
    """`train/CLASS/*` and `test/CLASS/*`, or `CLASS/*`, as uint8 `size` x `size` x 3, classes in alphabetical order.

    `settings`: where they lie, `size`, and how to split them. The test set is `test/`, or else `val/`; with both,
    `val/` is the validation set. Of folders of classes alone a part is held out to test on. UserError if a folder is
    missing or empty, an image cannot be read, or a class of another folder is none of the training set's.
    """
    where = f"dataset.path={settings.path}"
    root = existing(settings.path, "dataset=folder dataset.path=images", folder=True)
    right = (
        "must hold the folders train and test, or train and val, with a folder of images for each class, or these alone"
    )
    with reading(where, right):
        folders, others = _layout(root, where)
        plain = not folders and len(others) > 1 and all(_has_images(root / name) for name in others)
        if plain:
            folders, others = {"train": root}, []
    for wanted in () if plain else (("train",), ("test", "val")):
        if not any(name in folders for name in wanted):
            instead = f" but {listed(others)}" if others else ""
            raise UserError(f"{where}: has no folder {' or '.join(wanted)}{instead}; {right}")
    trees: dict[str, Tree] = {}
    for name, folder in folders.items():
        place = f"{where}: {folder.name}"
        with reading(place, right), within(place):
            trees[name] = tree(folder, [] if plain else list(folders.values()))
    classes = {name: label for label, name in enumerate(trees["train"].images)}
    for name, part in trees.items():
        _check_classes(part, classes, f"{where}: {folders[name].name}", training=name == "train")
    several: Counter[str] = Counter()
    test = "test" if "test" in trees or plain else "val"
    own_val = test == "test" and "val" in trees
    samples = _chosen(trees, classes, settings, held_out=not own_val)
    need, smaller = 3 * settings.size**2 * sum(map(len, samples.values())), max(4, settings.size // 2)
    check_room(need, where, f"dataset.train=N trains on fewer images, dataset.size={smaller} makes them smaller")
    splits = {
        name: _pixels(some, folders.get(name, folders["train"]), settings.size, where, several)
        for name, some in samples.items()
    }
    val = splits.get("val") if own_val else None
    held = splits.get(HELD, val)
    data = image_dataset(settings, splits["train"], splits[test], len(classes), val=held, names=list(classes))
    own = {name: f"{folder.name}/" for name, folder in folders.items()}
    if plain:
        own["test"] = f"{own['train']}, held out (dataset.test={settings.test:g}),"
    notes = [_read(trees, own), *_differing(trees, own)]
    if several:
        kinds = listed([f"{suffix} {count}" for suffix, count in several.items()])
        notes.append(f"images with more than one frame, of which the first is read: {kinds}")
    unused = [own["val"]] if val is not None and settings.validation == 0 else []
    if unused or others:
        notes.append(f"not used: {listed([*unused, *(f'{name}/' for name in others)])}")
    serves = f"{own[test]} as the test set" + (f", as there is no test/ beside {own['val']}" if test == "val" else "")
    notes.append(roles(data, own["train"], own["val"] if val is not None else "", serves))
    return replace(data, notes=tuple(notes), test_held_out=plain)


def _has_images(folder: Path) -> bool:
    """Whether images lie in a folder itself, as in that of a class, and not one level below."""
    return any(os.path.splitext(entry.name)[1].lower() in SUFFIXES for entry in os.scandir(folder) if entry.is_file())


def _layout(root: Path, where: str) -> tuple[dict[str, Path], list[str]]:
    """The folder of each part that is there, and the names of the other folders."""
    names = sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and not hidden(entry.name))
    folders: dict[str, Path] = {}
    for part, aliases in PARTS.items():
        fitting = [name for name in names if name.lower() in aliases]
        if len(fitting) > 1:
            raise UserError(f"{where}: has the folders {listed(fitting)}, which mean the same; keep one of them")
        if fitting:
            folders[part] = root / fitting[0]
    used = {folder.name for folder in folders.values()}
    return folders, [name for name in names if name not in used]


def _check_classes(part: Tree, classes: Mapping[str, int], where: str, training: bool) -> None:
    """UserError where a part of the data has no class, no image in one, or a class that the training set has not."""
    if not part.images:
        raise UserError(f"{where}: holds no class folder; must hold a folder of images for each class")
    empty = [name for name, images in part.images.items() if not images]
    if empty and (training or len(empty) == len(part.images)):
        skipped = left_out(part.skipped, {"hidden": part.hidden})
        raise UserError(
            f"{where}: no image in {listed(empty)}{f' ({skipped})' if skipped else ''}; "
            f"images end in {', '.join(sorted(SUFFIXES))}"
        )
    strange = [name for name, images in part.images.items() if images and name not in classes]
    if strange:
        raise UserError(f"{where}: has the class {listed(strange)}, which train has not; must be those of train")


def _chosen(
    trees: Mapping[str, Tree], classes: Mapping[str, int], settings: FolderSettings, held_out: bool
) -> dict[str, list[tuple[str, int]]]:
    """The images to decode and their labels, by part.

    With dataset.train the training set is divided before anything is decoded, so that what it leaves out is never read.
    What is held out for validation is then under HELD.
    """
    samples = {
        name: [(path, classes[label]) for label, paths in trees[name].images.items() for path in paths]
        for name in PARTS
        if name in trees
    }
    if len(trees) == 1:  # folders of classes alone
        train = samples["train"]
        y = np.array([label for _, label in train], dtype=np.int64)
        key = f"dataset.test={settings.test:g}"
        kept, held = stratified(y, round(settings.test * len(y)), key, list(classes), settings.split)
        samples = {"train": [train[i] for i in kept], "test": [train[i] for i in held]}
    if settings.train is not None:
        train = samples["train"]
        y = np.array([label for _, label in train], dtype=np.int64)
        kept, held = divided(y, settings.validation if held_out else 0, settings.train, list(classes), settings.split)
        samples["train"] = [train[i] for i in kept]
        if len(held):
            samples[HELD] = [train[i] for i in held]
    return samples


def _pixels(samples: Sequence[tuple[str, int]], folder: Path, size: int, where: str, several: Counter[str]) -> Split:
    """All images as uint8 [N, size, size, 3] and their labels; `several` counts those with frames, by suffix."""
    framed: list[str] = []  # suffixes of images with several frames, appended to by several threads

    def decode(path: str) -> np.ndarray:
        with reading(f"{where}: {path}", "must be an image; mend it or take it away"), within(words(path)):
            pixels, frames = _picture(path, size)
        if frames:
            framed.append(os.path.splitext(path)[1].lower())
        return pixels

    with warnings.catch_warnings(action="ignore"):  # Pillow warns of large images and odd tags, which do no harm here
        x = decoded([path for path, _ in samples], (size, size, 3), decode, f"reading {folder}")
    several.update(framed)
    return Split(x, np.array([label for _, label in samples], dtype=np.int64))


def _picture(path: str, size: int) -> tuple[np.ndarray, bool]:
    """`picture(...)`, which says where an image is too large for the memory."""
    try:
        return picture(path, size)
    except MemoryError as error:
        raise UserError("does not fit into this machine's memory; make it smaller") from error


def _read(trees: Mapping[str, Tree], own: Mapping[str, str]) -> str:
    """A line about what was read and skipped; `own`: the names of the parts' folders."""
    parts = [
        f"{own[name]} {counted({label: len(images) for label, images in trees[name].images.items()})}"
        for name in PARTS
        if name in trees
    ]
    skipped = sum((part.skipped for part in trees.values()), Counter[str]())
    others = {
        "hidden": sum(part.hidden for part in trees.values()),
        "in no class folder": sum(part.outside for part in trees.values()),
        "links back into the data": sum(part.links for part in trees.values()),
    }
    text = f"read {sum(map(len, trees.values()))} images"
    skips = left_out(skipped, others)
    return f"{text}{f', {skips}' if skips else ''}: {'; '.join(parts)}"


def _differing(trees: Mapping[str, Tree], own: Mapping[str, str]) -> list[str]:
    """A line for each part that lacks classes of the training set."""
    notes = []
    for name, part in trees.items():
        lacking = [label for label in trees["train"].images if not part.images.get(label)]
        if lacking:
            notes.append(f"{own[name]} has no image of {listed(lacking)}")
    return notes
