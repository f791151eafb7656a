"""The files of MNIST and CIFAR are read as they lie there, packed or not; what is wrong is said by the file's name."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import os
import tarfile
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runner.data.load import load
from runner.data.settings import TorchvisionSettings
from runner.data.torchvision_import import torchvision_datasets
from runner.errors import UserError
from tests.damage import check_refused, command
from tests.data.test_vision import IDX, idx_files, offline, pictures, write_cifar

__all__ = ["offline"]  # a fixture


def settings(name: str, root: Path, **more: Any) -> TorchvisionSettings:
    return TorchvisionSettings(name, root=str(root), validation=0, **{"download": False, **more})


def packed(root: Path, folder: str, level: int = 9) -> Path:
    raw = root / folder / "raw"
    raw.mkdir(parents=True)
    for name, content in idx_files().items():
        (raw / f"{name}.gz").write_bytes(gzip.compress(content, level))
    return raw


@pytest.mark.parametrize("download", [True, False])
@pytest.mark.parametrize("level", [1, 9])
@pytest.mark.usefixtures("offline")
def test_packed_files_are_read_whatever_packed_them(level: int, download: bool, tmp_path: Path) -> None:
    """Their checksum is another than the original's: gzip's own says that the content is whole."""
    packed(tmp_path, "FashionMNIST", level)
    data = load(settings("fashion_mnist", tmp_path, download=download))
    x, y = pictures(60, (28, 28), 10)
    assert np.array_equal(data.train.x[..., 0], x)
    assert np.array_equal(data.train.y, y)
    assert len(data.test) == 30


@pytest.mark.parametrize("damage", ["truncated", "empty", "a web page"])
def test_a_damaged_raw_file_beside_a_whole_packed_one_is_passed_over(damage: str, tmp_path: Path) -> None:
    raw = packed(tmp_path, "MNIST")
    content = idx_files()[IDX[0]]
    path = raw / IDX[0]
    path.write_bytes({"truncated": content[:-1000], "empty": b"", "a web page": b"<html>" * 99}[damage])
    before = path.read_bytes()
    data = load(settings("mnist", tmp_path))
    assert len(data.train) == 60
    assert any(note.startswith(IDX[0]) and f"{IDX[0]}.gz is read in its place" in note for note in data.notes)
    assert path.read_bytes() == before


def test_a_file_is_known_by_its_content_and_not_by_its_suffix(tmp_path: Path) -> None:
    raw = packed(tmp_path, "MNIST")
    (raw / f"{IDX[0]}.gz").write_bytes(idx_files()[IDX[0]])  # as a browser that unpacks leaves it
    (raw / f"{IDX[1]}.gz").rename(raw / IDX[1])
    assert len(load(settings("mnist", tmp_path)).train) == 60


def half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


MNIST: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing": (Path.unlink, f"has no {IDX[2]}, nor {IDX[2]}.gz"),
    "half": (half, f"{IDX[2]}.gz Compressed file ended"),
    "a pipe": (pipe, f"{IDX[2]}.gz is no plain file"),
    "a short one, unpacked": (
        lambda path: path.with_suffix("").write_bytes(idx_files()[IDX[2]][:-7]) and path.unlink(),
        f"{IDX[2]} has 23529 bytes where its header says 23536",
    ),
    "labels in its place": (
        lambda path: path.write_bytes(gzip.compress(idx_files()[IDX[3]])) and None,
        f"{IDX[2]}.gz (38 bytes) is no IDX file of bytes in 3 dimensions",
    ),
}


@pytest.mark.parametrize("case", MNIST)
def test_what_is_wrong_with_an_mnist_file_is_said_by_its_name(case: str, tmp_path: Path) -> None:
    damage, part = MNIST[case]
    damage(packed(tmp_path / "data", "MNIST") / f"{IDX[2]}.gz")
    words = ("dataset=mnist", "dataset.download=false", "epochs=1", "model.width=4")
    check_refused(command(tmp_path, *words), "data/MNIST/raw", part, "its four .gz files", "dataset=npz")
    assert not (tmp_path / "results").exists()


def archive(root: Path, monkeypatch: pytest.MonkeyPatch, mode: str = "w:gz", suffix: str = "") -> Path:
    """CIFAR-10's archive alone, packed anew: its checksum is not the original's, those of the batches are."""
    maker = torchvision_datasets().CIFAR10
    write_cifar(root / "elsewhere", "CIFAR10", monkeypatch)
    path = root / "data" / maker.filename.removesuffix(suffix)
    path.parent.mkdir()
    with tarfile.open(path, mode) as made:  # type: ignore[call-overload]
        made.add(root / "elsewhere" / maker.base_folder, maker.base_folder)
    return path


@pytest.mark.parametrize(("mode", "suffix"), [("w:gz", ""), ("w:bz2", ""), ("w", ".gz")])
@pytest.mark.usefixtures("offline")
def test_cifar_comes_out_of_an_archive_without_a_network(
    mode: str, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = archive(tmp_path, monkeypatch, mode, suffix)
    assert len(load(settings("cifar10", path.parent)).train) == 500
    path.unlink()  # the batches were kept
    assert len(load(settings("cifar10", path.parent)).test) == 200


def test_a_cifar_batch_that_is_not_the_original_is_named_with_its_checksum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cifar(tmp_path, "CIFAR10", monkeypatch)
    path = tmp_path / "cifar-10-batches-py" / "data_batch_4"
    content = path.read_bytes()
    path.write_bytes(content[:-7])
    with pytest.raises(UserError) as caught:
        load(settings("cifar10", tmp_path))
    line = str(caught.value)
    original = dict(torchvision_datasets().CIFAR10.train_list)["data_batch_4"]
    for part in (f"data_batch_4 ({len(content) - 7} bytes) has the MD5 checksum", original, "dataset=npz or folder"):
        assert part in line
    assert "\n" not in line


def test_a_damaged_batch_is_read_from_the_archive_instead_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = archive(tmp_path, monkeypatch)
    load(settings("cifar10", path.parent))
    batch = path.parent / "cifar-10-batches-py" / "test_batch"
    batch.write_bytes(b"mine")
    data = load(settings("cifar10", path.parent))
    assert len(data.test) == 200
    assert any("test_batch (4 bytes)" in note and f"{path.name} is read in its place" in note for note in data.notes)
    assert batch.read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "mnist", "fashion_mnist"])
@pytest.mark.parametrize("download", [True, False])
@pytest.mark.usefixtures("offline")
def test_a_wrong_root_leaves_nothing_behind(name: str, download: bool, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for root in (tmp_path / "a" / "b", tmp_path / "there"):
        with pytest.raises(UserError):
            load(settings(name, root, download=download))
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


class Response(io.BytesIO):
    """What urlopen answers with."""

    url = None

    @property
    def length(self) -> int:
        return len(self.getvalue())


@pytest.mark.parametrize("whole", [True, False])
def test_a_download_takes_its_place_when_it_is_whole(
    whole: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = archive(tmp_path, monkeypatch).read_bytes()
    monkeypatch.setattr(torchvision_datasets().CIFAR10, "tgz_md5", hashlib.md5(content).hexdigest())
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: Response(content if whole else content[:-9]))
    root = tmp_path / "new"
    root.mkdir()
    damaged = root / "cifar-10-python.tar.gz"
    damaged.write_bytes(b"half of it")
    if whole:
        assert len(load(settings("cifar10", root, download=True)).train) == 500
        assert damaged.read_bytes() == content
        assert {path.name for path in root.iterdir()} == {damaged.name, "cifar-10-batches-py"}
    else:
        with pytest.raises(UserError, match=r"download failed \(File not found or corrupted"):
            load(settings("cifar10", root, download=True))
        assert [path.read_bytes() for path in root.iterdir()] == [b"half of it"]


def test_a_file_that_unpacks_without_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = packed(tmp_path, "MNIST")
    monkeypatch.setattr("runner.data.originals.LARGEST", 10_000)
    with pytest.raises(UserError, match="holds more than 10000 bytes"):
        load(settings("mnist", tmp_path))
    (raw / f"{IDX[0]}.gz").write_bytes(bz2.compress(b"0"))
    with pytest.raises(UserError, match="no IDX file"):
        load(settings("mnist", tmp_path))
