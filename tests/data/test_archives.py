"""CIFAR's archive, damaged or made to do harm: only the batches with their own checksums are taken out of it."""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.data.load import load
from runner.data.settings import TorchvisionSettings
from runner.data.torchvision_import import torchvision_datasets
from runner.errors import UserError
from tests.data.test_damaged_data import Evil
from tests.data.test_vision import offline, write_cifar

__all__ = ["offline"]  # a fixture


def archive(root: Path, monkeypatch: pytest.MonkeyPatch, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    """CIFAR-10's archive below `root`, of made-up images, with these members behind them and its checksum right."""
    maker = torchvision_datasets().CIFAR10
    write_cifar(root / "genuine", "CIFAR10", monkeypatch)
    path = root / maker.filename
    with tarfile.open(path, "w:gz") as made:
        made.add(root / "genuine" / maker.base_folder, maker.base_folder)
        for member, content in members:
            member.size = len(content)
            made.addfile(member, io.BytesIO(content))
    monkeypatch.setattr(maker, "tgz_md5", hashlib.md5(path.read_bytes()).hexdigest())
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


BASE = "cifar-10-batches-py"
ESCAPES: dict[str, Callable[[Path], list[tuple[tarfile.TarInfo, bytes]]]] = {
    "above": lambda outside: [(member("../outside/evil"), b"evil")],
    "far above": lambda outside: [(member(f"{BASE}/../../outside/evil"), b"evil")],
    "absolute": lambda outside: [(member(str(outside / "evil")), b"evil")],
    "through a link": lambda outside: [
        (member(f"{BASE}/link", tarfile.SYMTYPE, str(outside)), b""),
        (member(f"{BASE}/link/evil"), b"evil"),
    ],
    "through a relative link": lambda outside: [
        (member("link", tarfile.SYMTYPE, "../outside"), b""),
        (member("link/evil"), b"evil"),
    ],
    "onto a hard link": lambda outside: [
        (member("link", tarfile.LNKTYPE, "../outside/there"), b""),
        (member("link"), b"evil"),
    ],
    "a device": lambda outside: [(member("device", tarfile.CHRTYPE), b"")],
}


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("case", ESCAPES)
def test_no_member_of_an_archive_gets_out_of_the_data_folder(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside, root = tmp_path / "outside", tmp_path / "data"
    outside.mkdir()
    (outside / "there").write_text("mine")
    root.mkdir()
    archive(root, monkeypatch, *ESCAPES[case](outside))
    for download in (True, False):
        assert len(load(TorchvisionSettings("cifar10", root=str(root), download=download, validation=0)).train) == 500
    assert [(path.name, path.read_text()) for path in outside.iterdir()] == [("there", "mine")]
    assert {path.name for path in root.iterdir()} == {"cifar-10-python.tar.gz", "genuine", BASE}
    assert not list(root.rglob("evil"))


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("damage", ["none", "half", "empty", "a byte short", "other", "half, its checksum right"])
def test_a_damaged_cifar_archive_is_refused_and_a_whole_one_unpacked(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = archive(tmp_path, monkeypatch)
    content = path.read_bytes()
    half = content[: len(content) // 2]
    damaged = {"half": half, "empty": b"", "a byte short": content[:-1], "other": b"<html>not found</html>"}
    path.write_bytes(damaged.get(damage, half if "right" in damage else content))
    if "right" in damage:
        monkeypatch.setattr(torchvision_datasets().CIFAR10, "tgz_md5", hashlib.md5(half).hexdigest())
    settings = TorchvisionSettings("cifar10", root=str(tmp_path), validation=0)
    if damage in ("none", "a byte short"):  # of the archive: all the batches in it are whole
        assert len(load(settings).train) == 500
    else:
        with pytest.raises(UserError, match=r"^dataset=cifar10: .*remove what is damaged[^\n]*$"):
            load(settings)


@pytest.mark.usefixtures("offline")
def test_a_checksum_that_is_right_unpickles_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The batches are pickles: only those with torchvision's own checksums are opened."""
    write_cifar(tmp_path, "CIFAR10", monkeypatch)
    (tmp_path / BASE / "data_batch_2").write_bytes(pickle.dumps(Evil()))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError):
        load(TorchvisionSettings("cifar10", root=str(tmp_path), download=False))
    assert not (tmp_path / "ran").exists()
