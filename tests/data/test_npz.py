"""What an .npz file holds is used, named or refused: validation arrays, others, and images of one value."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runner.data.load import load
from runner.data.settings import FileSettings
from runner.errors import UserError
from tests.data.test_files import arrays
from tests.data.test_folders import said, sizes


@pytest.mark.parametrize("value", [0, 1, 255])
@pytest.mark.parametrize("name", ["x_train", "x_test"])
def test_images_of_one_value_are_refused(name: str, value: int, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **{**arrays(), name: np.full_like(arrays()[name], value)})
    with pytest.raises(UserError, match=rf"{name[2:]}: every pixel of all \d+ images is {value}"):
        load(FileSettings("npz", path=str(tmp_path / "a.npz")))


def test_training_images_that_are_all_the_same_are_refused(tmp_path: Path) -> None:
    x = np.repeat(arrays()["x_train"][:1], 40, 0)
    np.savez(tmp_path / "a.npz", **arrays() | {"x_train": x})
    with pytest.raises(UserError, match="train: all 36 images are the same"):
        load(FileSettings("npz", path=str(tmp_path / "a.npz")))


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_validation_arrays_of_an_npz_are_used(name: str, tmp_path: Path) -> None:
    more = arrays(train=12)
    np.savez(tmp_path / "a.npz", **arrays(), **{f"x_{name}": more["x_train"], f"y_{name}": more["y_train"]})
    data = load(FileSettings("npz", path=str(tmp_path / "a.npz")))
    assert sizes(data) == (40, 12, 20)
    assert np.array_equal(data.val.x, more["x_train"])
    assert said(data, f"40 images of x_train for training; 12 of x_{name} for validation; 20 of x_test as the test set")


def test_arrays_of_an_npz_that_are_not_used_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **arrays(), x_extra=np.zeros(3), names=np.array(["a"], dtype=object))
    data = load(FileSettings("npz", path=str(tmp_path / "a.npz")))
    assert said(data, "not used: x_extra, names")
    assert said(data, "36 images of x_train for training; 4 of x_train for validation, held out; 20 of x_test as the")


NPZ: dict[str, tuple[dict[str, Any], str]] = {
    "images without labels": ({"x_val": arrays()["x_test"]}, "has no y_val"),
    "labels without images": ({"y_val": arrays()["y_test"]}, "has no x_val"),
    "other labels": ({"x_val": arrays()["x_test"], "y_val": np.full(20, 7)}, "val: has labels from 7 to 7"),
    "another size": ({"x_val": arrays((5, 5, 3))["x_test"], "y_val": arrays()["y_test"]}, "val: examples are 5,5,3"),
    "two names": ({f"{a}_{b}": arrays()[f"{a}_test"] for a in "xy" for b in ("val", "valid")}, "mean the same"),
    "floats": ({"x_train": np.random.default_rng(0).random((40, 6, 6, 3))}, "(255 * x).round().astype('uint8')"),
    "int64": ({"x_train": arrays()["x_train"].astype(np.int64)}, "to 255 become it by x.astype('uint8')"),
    "floats to 255": ({"x_train": arrays()["x_train"].astype(np.float32)}, "become it by x.round().astype('uint8')"),
    "black and white": ({"x_train": arrays()["x_train"] > 99}, "become it by (255 * x).astype('uint8')"),
    "16 bits": ({"x_train": arrays()["x_train"].astype(np.uint16) * 256}, "to 65280: bring them to 0 to 255"),
    "not a number": ({"x_train": np.full((40, 6, 6, 3), np.nan)}, "it holds what is no number"),
    "one-hot labels": ({"y_train": np.eye(4)[arrays()["y_train"] % 4]}, "becomes it by y.argmax(1)"),
    "labels as floats": ({"y_train": arrays()["y_train"].astype(float)}, "these become it by y.astype('int64')"),
}


@pytest.mark.parametrize("case", NPZ)
def test_arrays_that_cannot_be_used_are_refused(case: str, tmp_path: Path) -> None:
    more, part = NPZ[case]
    np.savez(tmp_path / "a.npz", **arrays() | more)
    with pytest.raises(UserError) as caught:
        load(FileSettings("npz", path=str(tmp_path / "a.npz")))
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["x_train", "x_train.npy", "y_test.npy"])
def test_a_member_of_an_npz_that_is_no_array_is_refused(name: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **arrays())
    with zipfile.ZipFile(tmp_path / "a.npz") as source, zipfile.ZipFile(tmp_path / "b.npz", "w") as target:
        for member in source.namelist():
            if member.removesuffix(".npy") != name.removesuffix(".npy"):
                target.writestr(member, source.read(member))
        target.writestr(name, b"hello")
    with pytest.raises(UserError, match=rf"^[^\n]*{name.removesuffix('.npy')}: is no array[^\n]*$"):
        load(FileSettings("npz", path=str(tmp_path / "b.npz")))
