"""Images from .npz files and folders arrive as they were written, in the one form that training knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from runner.data.load import load
from runner.data.settings import FileSettings, FolderSettings


def arrays(shape: tuple[int, ...] = (6, 6, 3), train: int = 40, test: int = 20) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    found: dict[str, Any] = {}
    for name, n in (("train", train), ("test", test)):
        found[f"x_{name}"] = rng.integers(0, 256, (n, *shape), dtype=np.uint8)
        found[f"y_{name}"] = np.arange(n) % 4
    return found


def npz(path: Path, **settings: Any) -> FileSettings:
    return FileSettings("npz", path=str(path), **settings)


def test_npz_arrives_as_it_was_written(tmp_path: Path) -> None:
    made = arrays()
    np.savez(tmp_path / "a.npz", **made)
    data = load(npz(tmp_path / "a.npz", validation=0, flip=True, pad=2, label="Tiny"))
    assert np.array_equal(data.train.x, made["x_train"])
    assert np.array_equal(data.test.x, made["x_test"])
    assert np.array_equal(data.test.y, made["y_test"])
    assert (data.name, data.kind, data.classes, data.flip, data.pad) == ("Tiny", "images", 4, True, 2)
    assert len(data.val) == 0
    assert np.allclose(data.mean, made["x_train"].mean((0, 1, 2)))


def test_npz_validation_is_taken_from_train_and_leaves_test_alone(tmp_path: Path) -> None:
    made = arrays()
    np.savez(tmp_path / "a.npz", **made)
    data = load(npz(tmp_path / "a.npz", validation=0.25))
    assert (len(data.train), len(data.val)) == (30, 10)
    assert np.array_equal(data.test.x, made["x_test"])
    assert np.allclose(data.mean, data.train.x.mean((0, 1, 2)))


@pytest.mark.parametrize("y_type", ["uint8", "int32", "uint64", ">i8"])
def test_npz_takes_grey_images_and_labels_in_a_column(tmp_path: Path, y_type: str) -> None:
    made = arrays(shape=(5, 7))
    made |= {key: made[key][:, None].astype(y_type) for key in ("y_train", "y_test")}
    np.savez_compressed(tmp_path / "a.npz", **made)
    data = load(npz(tmp_path / "a.npz", validation=0))
    assert data.train.x.shape == (40, 5, 7, 1)
    assert data.train.y.dtype == np.int64
    assert data.train.y.dtype.isnative
    assert np.array_equal(data.train.y, np.arange(40) % 4)


def test_imagenet32_is_unfolded_to_colours_last_and_labels_from_0(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (1000, 3, 32, 32), dtype=np.uint8)
    y = rng.permutation(1000) + 1
    inner = tmp_path / "Imagenet32_train_npz"
    inner.mkdir()
    for n in range(10):  # as in the release: data in CHW order, labels from 1
        part = slice(100 * n, 100 * n + 100)
        np.savez(inner / f"train_data_batch_{n + 1}.npz", data=x[part].reshape(100, -1), labels=y[part])
    np.savez(tmp_path / "val_data.npz", data=x[:50].reshape(50, -1), labels=y[:50])
    data = load(FileSettings("imagenet32", path=str(tmp_path), validation=0))
    assert np.array_equal(data.train.x, x.transpose(0, 2, 3, 1))
    assert np.array_equal(data.train.y, y - 1)
    assert np.array_equal(data.test.x, data.train.x[:50])
    assert (data.classes, data.std) == (1000, (255.0, 255.0, 255.0))


COLOURS = {"blue": (0, 0, 250), "green": (0, 250, 0), "red": (250, 0, 0)}


def folder(root: Path, parts: tuple[str, ...], count: int = 6) -> FolderSettings:
    for part in parts:
        for name, colour in COLOURS.items():
            (root / part / name).mkdir(parents=True)
            for i in range(count):
                Image.new("RGB", (20 + 4 * i, 16), colour).save(root / part / name / f"{i}.png")
    return FolderSettings("folder", path=str(root), size=8, validation=0.5)


@pytest.mark.parametrize("parts", [("train", "test"), ("train", "val")])
def test_folder_classes_are_in_alphabetical_order_and_images_square(tmp_path: Path, parts: tuple[str, ...]) -> None:
    data = load(folder(tmp_path, parts))
    assert data.train.x.shape == (9, 8, 8, 3)
    assert (len(data.val), len(data.test), data.classes) == (9, 18, 3)
    for split in (data.train, data.val, data.test):
        assert np.array_equal(split.x[:, 4, 4], np.array(list(COLOURS.values()))[split.y])


def test_hidden_folders_are_no_classes(tmp_path: Path) -> None:
    settings = folder(tmp_path, ("train", "test"))
    for part in ("train", "test"):
        (tmp_path / part / ".empty").mkdir()
        (tmp_path / part / ".ipynb_checkpoints").mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / part / ".ipynb_checkpoints" / "0.png")
    data = load(settings)
    assert (data.classes, len(data.test)) == (3, 18)


def test_folder_with_both_val_and_test_validates_on_val(tmp_path: Path) -> None:
    data = load(folder(tmp_path, ("train", "test", "val")))
    assert (len(data.train), len(data.val), len(data.test)) == (18, 18, 18)


def test_folder_images_are_cropped_in_the_centre(tmp_path: Path) -> None:
    settings = folder(tmp_path, ("train", "test"))
    wide = np.zeros((8, 24, 3), dtype=np.uint8)
    wide[:, 8:16] = 200
    for i in range(6):
        Image.fromarray(wide).save(tmp_path / "test" / "red" / f"{i}.png")
    data = load(settings)
    assert (data.test.x[data.test.y == 2] == 200).all()


def test_folder_labels_go_by_name_where_the_test_set_lacks_a_class(tmp_path: Path) -> None:
    settings = folder(tmp_path, ("train", "test"))
    for file in (tmp_path / "test" / "blue").iterdir():
        file.unlink()
    (tmp_path / "test" / "blue").rmdir()
    assert set(load(settings).test.y.tolist()) == {1, 2}
