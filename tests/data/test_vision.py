"""torchvision's datasets, read from files in their genuine format; no test touches a network."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import struct
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runner.data.load import load
from runner.data.settings import TorchvisionSettings
from runner.data.torchvision_import import torchvision_datasets
from runner.errors import UserError

IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def pictures(n: int, shape: tuple[int, ...], classes: int) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(n).integers(0, 256, (n, *shape), dtype=np.uint8)
    return x, np.arange(n, dtype=np.uint8) % classes


def idx(array: np.ndarray) -> bytes:
    """The format of LeCun's files: type and number of dimensions, sizes big-endian, bytes."""
    return struct.pack(f">{1 + array.ndim}I", 8 * 256 + array.ndim, *array.shape) + array.tobytes()


def idx_files() -> dict[str, bytes]:
    made = (*pictures(60, (28, 28), 10), *pictures(30, (28, 28), 10))
    return dict(zip(IDX, map(idx, made), strict=True))


def write_idx(root: Path, folder: str) -> None:
    (root / folder / "raw").mkdir(parents=True)
    for name, content in idx_files().items():
        (root / folder / "raw" / name).write_bytes(content)


def write_cifar(root: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> tuple[np.ndarray, np.ndarray]:
    """CIFAR's pickles of made-up images, with their checksums in the place of the genuine ones."""
    maker = getattr(torchvision_datasets(), name)
    classes, key = (10, "labels") if name == "CIFAR10" else (100, "fine_labels")
    (root / maker.base_folder).mkdir(parents=True)

    def write(file: str, content: dict[str, Any]) -> list[str]:
        data = pickle.dumps(content, protocol=2)
        (root / maker.base_folder / file).write_bytes(data)
        return [file, hashlib.md5(data).hexdigest()]

    x, y = pictures(500, (32, 32, 3), classes)
    rows = x.transpose(0, 3, 1, 2).reshape(500, -1)
    count = len(maker.train_list)
    parts = zip(maker.train_list, np.split(rows, count), np.split(y, count), strict=True)
    train = [write(file, {"data": a, key: b.tolist()}) for (file, _), a, b in parts]
    test = [write(maker.test_list[0][0], {"data": rows[:200], key: y[:200].tolist()})]
    _, md5 = write(maker.meta["filename"], {maker.meta["key"]: [str(n) for n in range(classes)]})
    monkeypatch.setattr(maker, "train_list", train)
    monkeypatch.setattr(maker, "test_list", test)
    monkeypatch.setattr(maker, "meta", {**maker.meta, "md5": md5})
    return x, y


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_idx_files_arrive_as_they_were_written(tmp_path: Path, name: str, folder: str) -> None:
    write_idx(tmp_path, folder)
    data = load(TorchvisionSettings(name, root=str(tmp_path), download=False, validation=0, pad=2))
    x, y = pictures(60, (28, 28), 10)
    assert np.array_equal(data.train.x[..., 0], x)
    assert np.array_equal(data.train.y, y)
    assert (len(data.test), data.classes, data.pad) == (30, 10, 2)
    assert np.allclose(data.mean, x.mean())
    assert np.allclose(data.std, x.std())


@pytest.mark.parametrize(("name", "mean"), [("cifar10", 125.3), ("cifar100", 129.3)])
def test_cifar_arrives_with_colours_last_and_the_papers_mean(
    tmp_path: Path, name: str, mean: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = write_cifar(tmp_path, name.upper(), monkeypatch)
    data = load(TorchvisionSettings(name, root=str(tmp_path), download=False, validation=0))
    assert np.array_equal(data.train.x, x)
    assert np.array_equal(data.train.y, y)
    assert data.mean[0] == mean
    assert data.train.x.flags.c_contiguous
    held = load(TorchvisionSettings(name, root=str(tmp_path), download=False, validation=0.2))
    assert (len(held.train), len(held.val)) == (400, 100)


def test_archives_put_there_by_hand_are_unpacked_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: None
) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    resources = []
    for name, content in idx_files().items():
        packed = gzip.compress(content)
        (raw / f"{name}.gz").write_bytes(packed)
        resources.append((f"{name}.gz", hashlib.md5(packed).hexdigest()))
    monkeypatch.setattr(torchvision_datasets().MNIST, "resources", resources)
    assert len(load(TorchvisionSettings("mnist", root=str(tmp_path), validation=0)).train) == 60


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "mnist", "fashion_mnist"])
@pytest.mark.parametrize("download", [True, False])
def test_missing_files_end_in_one_line_that_names_the_way_out(
    tmp_path: Path, name: str, download: bool, offline: None
) -> None:
    with pytest.raises(UserError) as caught:
        load(TorchvisionSettings(name, root=str(tmp_path / "nothing"), download=download))
    line = str(caught.value)
    assert "\n" not in line
    for part in (name, "dataset.root", str(tmp_path), "dataset=digits", "dataset=modular"):
        assert part in line


@pytest.mark.parametrize("download", [True, False])
@pytest.mark.parametrize("damage", ["truncated", "empty", "other"])
def test_damaged_idx_files_end_in_one_line(tmp_path: Path, damage: str, download: bool, offline: None) -> None:
    write_idx(tmp_path, "MNIST")
    path = tmp_path / "MNIST" / "raw" / IDX[0]
    content = path.read_bytes()
    path.write_bytes({"truncated": content[:-1000], "empty": b"", "other": b"<html>not found</html>" * 99}[damage])
    with pytest.raises(UserError, match=r"^[^\n]*MNIST/raw[^\n]*$"):
        load(TorchvisionSettings("mnist", root=str(tmp_path), download=download))


def test_a_damaged_cifar_file_is_never_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar(tmp_path, "CIFAR10", monkeypatch)
    path = tmp_path / "cifar-10-batches-py" / "data_batch_3"
    path.write_bytes(path.read_bytes()[:-7])
    monkeypatch.setattr(pickle, "load", lambda *_, **__: pytest.fail("unpickled what failed its checksum"))
    with pytest.raises(UserError, match=r"^[^\n]*cifar-10-batches-py[^\n]*$"):
        load(TorchvisionSettings("cifar10", root=str(tmp_path), download=False))


@pytest.mark.usefixtures("offline")
def test_a_root_that_cannot_be_made_ends_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    settings = TorchvisionSettings("cifar10", root=str(tmp_path / "file"))
    for changed in (settings, replace(settings, root=str(tmp_path / "file" / "below"))):
        with pytest.raises(UserError, match=r"^[^\n]*download failed[^\n]*$"):
            load(changed)


def run(code: str, path: Path) -> str:
    code = f"import sys; sys.path.insert(0, {str(path)!r}); " + code
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_a_torchvision_that_loads_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").touch()
    (tmp_path / "torchvision" / "datasets.py").write_text("genuine = True")
    code = (
        "import runner.data.torchvision_import as t; "
        "print(t.torchvision_datasets().genuine, t._STAND_INS, 'torch' in sys.modules)"
    )
    assert run(code, tmp_path) == "True [] False\n"


@pytest.mark.parametrize(
    "error", ["RuntimeError('compiled with other CUDA\\nversions')", "ImportError('no PIL')", "OSError('lib')"]
)
def test_a_torchvision_that_cannot_load_ends_in_one_line(tmp_path: Path, error: str) -> None:
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(f"raise {error}")
    code = (
        "import runner.data.torchvision_import as t\ntry: t.torchvision_datasets()\nexcept t.UserError as e: print(e)"
    )
    line = run(code, tmp_path)
    assert line.startswith("torchvision cannot be imported (")
    assert line.count("\n") == 1


def test_torchvision_imports_beside_this_torch() -> None:
    assert torchvision_datasets() is torchvision_datasets()
    assert torchvision_datasets().__name__ == "torchvision.datasets"
