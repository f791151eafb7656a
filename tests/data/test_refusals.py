"""Whatever is wrong with a file or a setting, `load` says it in one line, and raises nothing else."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runner.data.check import check
from runner.data.dataset import Dataset, Split
from runner.data.load import load
from runner.data.settings import (
    DatasetSettings,
    DigitsSettings,
    FileSettings,
    FolderSettings,
    ModularSettings,
    TextSettings,
)
from runner.errors import UserError
from tests.data.test_files import arrays, folder


def refused(settings: DatasetSettings) -> str:
    with pytest.raises(UserError) as caught:
        load(settings)
    line = str(caught.value)
    assert "\n" not in line
    assert 20 < len(line) < 600
    return line


def changed(**arrays_changed: Any) -> dict[str, Any]:
    return {**arrays(), **arrays_changed}


def without(key: str) -> dict[str, Any]:
    return {name: array for name, array in arrays().items() if name != key}


Y = np.arange(40) % 4
ARRAYS: dict[str, tuple[dict[str, Any], str]] = {
    "no labels": (without("y_test"), "has no y_test"),
    "float images": (changed(x_train=np.zeros((40, 6, 6, 3))), "must be uint8"),
    "flat images": (changed(x_train=np.zeros((40, 108), np.uint8)), "N,H,W"),
    "channels first": (changed(x_train=np.zeros((40, 3, 6, 6), np.uint8)), "channels must come last"),
    "no pixels": (changed(x_test=np.zeros((20, 0, 6, 3), np.uint8)), "without a 0"),
    "no images": (changed(x_test=np.zeros((0, 6, 6, 3), np.uint8), y_test=np.zeros(0, int)), "x_test"),
    "a scalar": (changed(x_train=np.uint8(3)), "x_train"),
    "one-hot labels": (changed(y_train=np.eye(4, dtype=int)[Y]), "N or N,1"),
    "float labels": (changed(y_train=Y.astype(float)), "whole numbers"),
    "negative labels": (changed(y_train=Y - 1), "from -1 to 2"),
    "huge labels": (changed(y_train=Y.astype(np.uint64) + 2**63), "labels from"),
    "a wide gap in the labels": (changed(y_train=Y * 10**8), "class 1 has no training example"),
    "labels from 1": (changed(y_train=Y + 1, y_test=arrays()["y_test"] + 1), "class 0 has no training example"),
    "unknown test label": (changed(y_test=np.full(20, 9)), "must be from 0 to 3"),
    "fewer labels": (changed(y_train=Y[:-1]), "40 examples and 39 labels"),
    "fewer test labels": (changed(y_test=Y[:3]), "20 examples and 3 labels"),
    "other test shape": (changed(x_test=np.zeros((20, 5, 6, 3), np.uint8)), "5,6,3"),
    "a single class": (changed(y_train=Y * 0, y_test=np.zeros(20, int)), "single class"),
    "a class of one": (changed(y_train=np.where(np.arange(40) == 5, 4, Y)), "class 4 has a single example"),
    "objects": (changed(y_train=np.array([{}] * 40, dtype=object)), "cannot be read"),
    "text": (changed(y_train=np.array(["cat"] * 40)), "whole numbers"),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_npz_with_wrong_arrays_ends_in_one_line(tmp_path: Path, case: str) -> None:
    made, part = ARRAYS[case]
    np.savez(tmp_path / "a.npz", **made)
    line = refused(FileSettings("npz", path=str(tmp_path / "a.npz")))
    assert part in line


def test_any_damage_to_an_npz_is_refused_or_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, **arrays())
    settings = FileSettings("npz", path=str(path))
    good, hash_of_good = path.read_bytes(), load(settings).hash
    rng = np.random.default_rng(0)
    for trial in range(150):
        damaged = bytearray(good)
        if trial % 3 == 0:
            del damaged[int(rng.integers(len(good))) :]
        else:
            for place in rng.integers(0, len(good), 1 if trial % 3 == 1 else 20):
                damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(bytes(damaged))
        with suppress(UserError):
            assert load(settings).hash == hash_of_good  # a byte that nothing depends on


def raw_files(root: Path) -> dict[str, Path]:
    (root / "empty.npz").touch()
    (root / "text.npz").write_text("hello\nworld\n")
    np.save(root / "array.npy", np.zeros(3))
    np.save(root / "pickle.npy", np.array([{}], dtype=object))
    return {path.name: path for path in root.iterdir()}


@pytest.mark.parametrize("name", ["empty.npz", "text.npz", "array.npy", "pickle.npy"])
def test_files_that_are_no_npz_end_in_one_line(tmp_path: Path, name: str) -> None:
    assert "npz" in refused(FileSettings("npz", path=str(raw_files(tmp_path)[name])))


PATHS: dict[str, Callable[[str], DatasetSettings]] = {
    "npz": lambda path: FileSettings("npz", path=path),
    "imagenet32": lambda path: FileSettings("imagenet32", path=path),
    "folder": lambda path: FolderSettings("folder", path=path),
    "text": lambda path: TextSettings("text", path=path),
}


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("path", ["", "  ", "/nowhere/at/all", "~nobody-of-this-name/x", "a\nb", "\0"])
def test_a_path_that_is_not_there_ends_in_one_line_with_an_example(name: str, path: str) -> None:
    line = refused(PATHS[name](path))
    assert "dataset.path" in line
    assert f"dataset={name} dataset.path=" in line


@pytest.mark.parametrize("name", PATHS)
def test_a_folder_for_a_file_and_a_file_for_a_folder_end_in_one_line(tmp_path: Path, name: str) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"some bytes")
    path = file if name in ("imagenet32", "folder") else tmp_path
    assert str(path) in refused(PATHS[name](str(path)))


def test_imagenet32_names_the_file_that_is_missing_or_damaged(tmp_path: Path) -> None:
    settings = FileSettings("imagenet32", path=str(tmp_path))
    assert "train_data_batch_1.npz" in refused(settings)
    for n in range(1, 11):
        np.savez(tmp_path / f"train_data_batch_{n}.npz", data=np.zeros((2, 3072), np.uint8), labels=np.array([1, 2]))
    assert "val_data.npz" in refused(settings)
    np.savez(tmp_path / "val_data.npz", data=np.zeros((2, 12288), np.uint8), labels=np.array([1, 2]))
    assert "must have" not in refused(settings)
    np.savez(tmp_path / "val_data.npz", data=np.zeros((2, 3072), np.uint8), labels=np.array([1, 1001]))
    assert "0 to 999" in refused(settings)
    (tmp_path / "train_data_batch_7.npz").write_bytes(b"PK")
    assert "train_data_batch_7.npz" in refused(settings)


def test_folder_names_what_is_missing_or_damaged(tmp_path: Path) -> None:
    settings = FolderSettings("folder", path=str(tmp_path))
    assert "has no folder train" in refused(settings)
    (tmp_path / "train").mkdir()
    assert "test or val" in refused(settings)
    (tmp_path / "test").mkdir()
    assert "class folder" in refused(settings)
    folder(tmp_path, ("train/deeper",))  # classes one folder too deep: a single class
    (tmp_path / "test" / "strange").mkdir()
    (tmp_path / "test" / "strange" / "0.png").write_bytes(b"no image")
    assert "strange" in refused(settings)
    (tmp_path / "test" / "strange").rename(tmp_path / "test" / "deeper")
    assert "0.png" in refused(settings)


def test_text_that_is_too_short_ends_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "book.txt"
    for size, split in ((0, "train"), (50, "train"), (500, "val"), (620, "test")):
        path.write_bytes(b"x" * size)
        settings = TextSettings("text", path=str(path), validation=0.1 if size != 620 else 0.15)
        assert f"for {split}" in refused(settings)


SETTINGS: list[DatasetSettings] = [
    DigitsSettings("digits", train=10, test=1777, validation=0.5),
    DigitsSettings("digits", validation=0.001),
    ModularSettings("modular", fraction=1e-6),
    ModularSettings("modular", p=3, fraction=0.2),
    ModularSettings("modular", validation=1),
    ModularSettings("modular", fraction=0.9999999),
    DatasetSettings("nothing"),
]


@pytest.mark.parametrize("settings", SETTINGS, ids=repr)
def test_sizes_that_leave_nothing_end_in_one_line(settings: DatasetSettings) -> None:
    assert "dataset" in refused(settings)


@pytest.mark.parametrize("validation", [0.0001, 0.9999, 1])
def test_a_validation_fraction_without_a_stratified_split_is_refused(tmp_path: Path, validation: float) -> None:
    np.savez(tmp_path / "a.npz", **arrays())
    line = refused(FileSettings("npz", path=str(tmp_path / "a.npz"), validation=validation))
    assert f"dataset.validation={validation:g}" in line


X, XI = np.zeros((4, 2), np.int64), np.zeros((4, 2, 2, 1), np.uint8)
LABELS = np.array([0, 1, 0, 1])
UNSOUND = {
    "tokens too large": ("tokens", Split(X + 9, LABELS), "tokens from 9 to 9"),
    "tokens of bytes": ("tokens", Split(X.astype(np.uint8), LABELS), "int64 N,T"),
    "targets of another length": ("tokens", Split(X, np.zeros((4, 3), np.int64)), "labels must be int64"),
    "int32 labels": ("images", Split(XI, LABELS.astype(np.int32)), "int64"),
    "two labels for each image": ("images", Split(XI, np.zeros((4, 2), np.int64)), "one for each example"),
    "float images": ("images", Split(XI.astype(float), LABELS), "uint8"),
    "empty": ("images", Split(XI[:0], LABELS[:0]), "is empty"),
}


@pytest.mark.parametrize("case", UNSOUND)
@pytest.mark.parametrize("name", ["train", "test"])
def test_no_loader_can_hand_on_an_unsound_split(case: str, name: str) -> None:
    kind, bad, part = UNSOUND[case]
    good = Split(X if kind == "tokens" else XI, LABELS)
    splits = {"train": good, "val": good, "test": good, name: bad}
    dataset = Dataset("made", kind, 2, splits["train"], splits["val"], splits["test"], vocabulary=2)
    with pytest.raises(UserError, match=f"dataset=made: {name}.*{part}"):
        check(dataset, 0.1, "dataset=made")


def test_memory_that_runs_out_ends_in_one_line(monkeypatch: pytest.MonkeyPatch, kept: Path) -> None:
    def greedy(settings: DatasetSettings) -> Dataset:
        raise MemoryError

    monkeypatch.setitem(load.__globals__["LOADERS"], "digits", greedy)
    assert "memory" in refused(DigitsSettings("digits"))
