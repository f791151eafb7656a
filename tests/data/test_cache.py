"""What was read from files once is not read again, unless something about it has changed."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from runner.data.load import load
from runner.data.settings import (
    DatasetSettings,
    DigitsSettings,
    FileSettings,
    FolderSettings,
    TextSettings,
    TorchvisionSettings,
)
from tests.data.conftest import Paths
from tests.data.test_vision import write_idx
from tests.helpers import images


def picture(path: Path, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    PIL.Image.fromarray(pixels).save(path, format="BMP")  # whose size does not depend on its content


def folder(root: Path, count: int = 12) -> FolderSettings:
    for part in ("train", "test"):
        for k, name in enumerate(("ant", "bee")):
            (root / part / name).mkdir(parents=True)
            for i in range(count):
                picture(root / part / name / f"{i}.bmp", 1000 * k + 100 * (part == "test") + i)
    return FolderSettings("folder", path=str(root), size=8, validation=0.25)


def npz(root: Path) -> FileSettings:
    made = images(train=40)
    root.mkdir()
    path = root / "some.npz"
    np.savez(path, x_train=made.train.x, y_train=made.train.y, x_test=made.test.x, y_test=made.test.y)
    return FileSettings("npz", path=str(path))


def text(root: Path) -> TextSettings:
    root.mkdir()
    (root / "book.txt").write_bytes(bytes(np.random.default_rng(0).integers(0, 256, 5000, dtype=np.uint8)))
    return TextSettings("text", path=str(root / "book.txt"), context=16)


def mnist(root: Path) -> TorchvisionSettings:
    write_idx(root, "MNIST")
    return TorchvisionSettings("mnist", root=str(root), download=False, validation=0)


def digits(root: Path) -> DigitsSettings:
    """They lie in scikit-learn's folder, not in `root`."""
    return DigitsSettings("digits", train=137)


MAKERS: dict[str, Callable[[Path], DatasetSettings]] = {"folder": folder, "npz": npz, "text": text, "mnist": mnist}


def same(a: Any, b: Any) -> bool:
    """Two datasets, in all that training sees of them."""
    plain = all(getattr(a, name) == getattr(b, name) for name in ("hash", "name", "classes", "mean", "std", "kind"))
    splits = [(getattr(a, name), getattr(b, name)) for name in ("train", "val", "test")]
    return plain and all(
        np.array_equal(x, y) and x.dtype == y.dtype for s, t in splits for x, y in ((s.x, t.x), (s.y, t.y))
    )


def test_a_second_command_decodes_no_image(tmp_path: Path, kept: Path, opened: Paths) -> None:
    settings = folder(tmp_path / "data")
    first = load(settings)
    assert len(opened) == 48
    opened.clear()
    assert same(load(settings), first)
    assert opened == []


@pytest.mark.parametrize("name", [*MAKERS, "digits"])
def test_what_is_kept_is_what_was_read(name: str, tmp_path: Path, kept: Path) -> None:
    settings = (MAKERS | {"digits": digits})[name](tmp_path / "data")
    without = load(replace(settings, cache="false"))
    assert not kept.exists()
    first, second = load(settings), load(settings)
    assert len(list(kept.glob("*.arrays"))) == 1
    assert same(first, without)
    assert same(second, without)


def rewritten(root: Path) -> None:
    """Another picture of the same size and, as far as a program can set it, time."""
    path = root / "train" / "ant" / "3.bmp"
    before = path.stat()
    picture(path, 77)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replaced(root: Path) -> None:
    path = root / "train" / "bee" / "3.bmp"
    path.unlink()
    picture(path, 78)


def linked(root: Path) -> None:
    (root / "train" / "bee" / "more.bmp").symlink_to(root / "train" / "bee" / "2.bmp")


CHANGES: dict[str, Callable[[Path], Any]] = {
    "written over": rewritten,
    "replaced": replaced,
    "taken away": lambda root: (root / "train" / "ant" / "0.bmp").unlink(),
    "added": lambda root: picture(root / "test" / "ant" / "more.bmp", 79),
    "added as a link": linked,
    "renamed": lambda root: (root / "train" / "ant" / "0.bmp").rename(root / "train" / "ant" / "zz.bmp"),
    "another class": lambda root: (
        (root / "train" / "ant").rename(root / "train" / "cow")
        and (root / "test" / "ant").rename(root / "test" / "cow")
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_files_are_read_again(change: str, tmp_path: Path, kept: Path, opened: Paths) -> None:
    settings = folder(tmp_path / "data")
    load(settings)
    opened.clear()
    CHANGES[change](tmp_path / "data")
    assert same(load(settings), load(replace(settings, cache="false")))
    assert len(opened) > 48
    assert len(list(kept.iterdir())) == 1, "what was kept of the earlier content is of no use"


def test_a_file_beside_the_folder_that_stands_in_for_one_in_it_counts(tmp_path: Path, kept: Path) -> None:
    settings = mnist(tmp_path / "data")
    load(settings)
    (tmp_path / "data" / "archive.gz").write_bytes(b"some")
    load(settings)
    assert len(list(kept.iterdir())) == 1
    (path,) = kept.iterdir()
    (tmp_path / "data" / "archive.gz").write_bytes(b"same")
    load(settings)
    assert not path.exists()


def test_settings_that_shape_the_arrays_have_arrays_of_their_own(tmp_path: Path, kept: Path) -> None:
    settings = folder(tmp_path / "data")
    others = [replace(settings, **more) for more in ({"size": 4}, {"validation": 0.5}, {"train": 6}, {"label": "x"})]
    for each in (settings, *others):
        load(each)
        assert same(load(each), load(replace(each, cache="false")))
    assert len(list(kept.iterdir())) == 4, "the label shapes nothing"


def test_two_folders_that_look_alike_are_two(tmp_path: Path, kept: Path) -> None:
    one, two = folder(tmp_path / "one"), folder(tmp_path / "two")
    rewritten(tmp_path / "two")
    for path in (*(tmp_path / "one").rglob("*.bmp"), *(tmp_path / "two").rglob("*.bmp")):
        os.utime(path, ns=(0, 0))
    load(one)
    assert load(two).hash != load(one).hash


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flipped(path: Path) -> None:
    """One byte of an array, without another size."""
    with path.open("r+b") as file:
        file.seek(-5000, os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "cut short": cut,
    "one byte": flipped,
    "empty": lambda path: path.write_bytes(b""),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0" * 4096),
    "no JSON": lambda path: path.write_bytes(b"?" * path.stat().st_size),
    "of another kind": lambda path: path.write_bytes(f"{2:16d}[]".encode().ljust(path.stat().st_size, b"\0")),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "not readable": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_made_again(damage: str, tmp_path: Path, kept: Path, opened: Paths) -> None:
    settings = folder(tmp_path / "data")
    first = load(settings)
    (path,) = kept.iterdir()
    # What is mapped while it is cut short is lost, so nothing of it may be left.
    expected = load(replace(settings, cache="false"))
    assert same(first, expected)
    del first
    gc.collect()
    DAMAGES[damage](path)
    opened.clear()
    assert same(load(settings), expected)
    assert len(opened) == 48
    if damage != "not readable":
        opened.clear()
        assert same(load(settings), expected)
        assert opened == []
