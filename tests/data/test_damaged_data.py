"""Damaged data on the command line: one line that names the file, status 2, and nothing trained, run or written."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.damage import check_refused, command
from tests.data.test_files import arrays, folder

QUICK = ("epochs=1", "model.width=4", "workers=1")
Y = np.arange(40) % 4


class Evil:
    """Unpickled, it leaves a file behind."""

    def __reduce__(self) -> Any:
        return (Path.touch, (Path("ran"),))


def pixels(value: float) -> np.ndarray:
    x = arrays()["x_train"].astype(np.float32)
    x[3, 2, 1, 0] = value
    return x


def saved(path: Path, **changed: Any) -> Path:
    np.savez(path / "a.npz", **(arrays() | changed))
    return path / "a.npz"


def cut(path: Path, size: Callable[[int], int]) -> Path:
    os.truncate(path, size(path.stat().st_size))
    return path


def flipped(path: Path) -> Path:
    """A bit of a pixel."""
    text = bytearray(path.read_bytes())
    text[len(text) // 3] ^= 4
    path.write_bytes(bytes(text))
    return path


def with_header(path: Path, shape: str, kind: str = "|u1") -> Path:
    """An array that says of itself that it is larger than the file."""
    saved(path)
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + b"\0" * 64
    with zipfile.ZipFile(path / "b.npz", "w") as target, zipfile.ZipFile(path / "a.npz") as source:
        for name in source.namelist():
            target.writestr(name, data if name == "x_train.npy" else source.read(name))
    return path / "b.npz"


NPZ: dict[str, tuple[Callable[[Path], Path], str]] = {
    "half": (lambda path: cut(saved(path), lambda size: size // 2), "not a complete .npz file"),
    "a byte short": (lambda path: cut(saved(path), lambda size: size - 1), "not a complete .npz file"),
    "empty": (lambda path: cut(saved(path), lambda size: 0), "not a complete .npz file"),
    "a bit flipped": (lambda path: flipped(saved(path)), "cannot be read"),
    "NaN pixels": (lambda path: saved(path, x_train=pixels(np.nan)), "x_train: is float32"),
    "pixels of 1e9": (lambda path: saved(path, x_train=pixels(1e9)), "x_train: is float32"),
    "signed pixels": (lambda path: saved(path, x_train=arrays()["x_train"].astype(np.int16)), "x_train: is int16"),
    "flat": (lambda path: saved(path, x_train=arrays()["x_train"].reshape(40, -1)), "of shape 40,108"),
    "negative label": (lambda path: saved(path, y_train=Y - 1), "labels from -1 to 2"),
    "test label out of range": (lambda path: saved(path, y_test=np.full(20, 4)), "labels from 4 to 4"),
    "no training data": (lambda path: saved(path, x_train=arrays()["x_train"][:0], y_train=Y[:0]), "x_train: is uint8"),
    "a class without examples": (lambda path: saved(path, y_train=np.where(Y == 2, 1, Y)), "class 2 has no training"),
    "a label short": (lambda path: saved(path, y_train=Y[:-1]), "40 examples and 39 labels"),
    "pickled objects": (lambda path: saved(path, y_train=np.array([Evil()] * 40, dtype=object)), "cannot be read"),
    "larger than any memory": (
        lambda path: with_header(path, "(10000000000000, 6, 6, 3)"),
        "does not fit into this machine's memory",
    ),
    "larger than the file": (lambda path: with_header(path, "(40, 6, 6, 3)"), "cannot be read"),
    "shape of nonsense": (lambda path: with_header(path, "(-1, 'a')"), "cannot be read"),
    "type of nonsense": (lambda path: with_header(path, "(40, 6, 6, 3)", "|Z9"), "cannot be read"),
    "objects by its header": (lambda path: with_header(path, "(40,)", "|O"), "cannot be read"),
}


@pytest.mark.campaign
@pytest.mark.parametrize("case", NPZ)
def test_a_damaged_npz_is_refused(case: str, tmp_path: Path) -> None:
    damaged, part = NPZ[case]
    path = damaged(tmp_path)
    check_refused(command(tmp_path, "dataset=npz", f"dataset.path={path.name}", *QUICK), path.name, part)
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "results").exists()


def image_bytes(size: int = 8) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def bomb() -> bytes:
    """A PNG of a few bytes that says it is 60,000 pixels wide and high."""
    text = bytearray(image_bytes())
    text[16:24] = struct.pack(">II", 60_000, 60_000)
    text[29:33] = struct.pack(">I", zlib.crc32(text[12:29]))
    return bytes(text)


IMAGES = {
    "half": image_bytes(64)[:3000],
    "empty": b"",
    "no image": b"<html>not found</html>",
    "a bit flipped": image_bytes(64)[:2000] + b"\0\0" + image_bytes(64)[2002:],
    "a bomb": bomb(),
}


@pytest.mark.campaign
@pytest.mark.parametrize("case", IMAGES)
def test_a_damaged_image_is_refused_by_name(case: str, tmp_path: Path) -> None:
    folder(tmp_path / "images", ("train", "test"))
    (tmp_path / "images" / "train" / "red" / "3.png").write_bytes(IMAGES[case])
    said = command(tmp_path, "dataset=folder", "dataset.path=images", *QUICK)
    check_refused(said, "images/train/red/3.png", "cannot be read", "must be an image")
    assert not (tmp_path / "results").exists()


def text_file(path: Path, content: bytes) -> str:
    (path / "book.txt").write_bytes(content)
    return "book.txt"


def pipe(path: Path) -> str:
    os.mkfifo(path / "pipe")
    return "pipe"


TEXTS: dict[str, tuple[Callable[[Path], str], str]] = {
    "empty": (lambda path: text_file(path, b""), "of its 0 bytes 0 are for train"),
    "too short": (lambda path: text_file(path, b"x" * 300), "more text or a shorter context"),
    "a pipe": (pipe, "must be a file"),
    "without an end": (lambda path: "/dev/zero", "must be a file"),
}


@pytest.mark.parametrize("case", TEXTS)
def test_a_text_that_is_none_is_refused(case: str, tmp_path: Path) -> None:
    made, part = TEXTS[case]
    name = made(tmp_path)
    check_refused(
        command(tmp_path, "dataset=text", f"dataset.path={name}", "model=transformer", "epochs=1"), name, part
    )
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("damage", ["half", "labels short", "labels from 0", "pickled"])
def test_a_damaged_imagenet32_batch_is_refused_by_name(damage: str, tmp_path: Path) -> None:
    for name in (*(f"train_data_batch_{n}.npz" for n in range(1, 11)), "val_data.npz"):
        np.savez(tmp_path / name, data=np.zeros((2, 3072), np.uint8), labels=np.array([1, 2]))
    name = "train_data_batch_7.npz"
    if damage == "half":
        cut(tmp_path / name, lambda size: size // 2)
    elif damage == "pickled":
        np.savez(tmp_path / name, data=np.zeros((2, 3072), np.uint8), labels=np.array([Evil(), 2], dtype=object))
    else:
        labels = np.array([1]) if damage == "labels short" else np.array([0, 1])
        np.savez(tmp_path / name, data=np.zeros((2, 3072), np.uint8), labels=labels)
    said = command(tmp_path, "dataset=imagenet32", "dataset.path=.", *QUICK)
    check_refused(said, "labels from -1" if damage == "labels from 0" else name)
    assert not (tmp_path / "ran").exists()
