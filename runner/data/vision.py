"""CIFAR-10, CIFAR-100, MNIST and Fashion-MNIST: `load(settings)`.

What lies below `dataset.root` is read without a network, packed or not; torchvision downloads what is not there, shows
its progress and compares checksums.
"""

from __future__ import annotations

import importlib
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from runner.data.check import images, labels
from runner.data.dataset import Dataset, Split
from runner.data.images import image_dataset
from runner.data.originals import UnfitError, idx, read_cifar, read_idx
from runner.data.reading import reason
from runner.data.room import check_room
from runner.data.settings import TorchvisionSettings
from runner.data.torchvision_import import torchvision_datasets
from runner.errors import UserError
from runner.system.files import replacing
from runner.system.locks import Lock

TIMEOUT = 30  # seconds of silence after which a server counts as not there


@dataclass(frozen=True)
class Source:
    """A class of torchvision.datasets, the folder below the root that it reads, and what may be put where by hand."""

    maker: str
    folder: str
    by_hand: str
    classes: int
    normalisation: tuple[tuple[float, ...], tuple[float, ...]] | None = None  # None: of the training split

    @property
    def bytes(self) -> int:
        """Of all images as arrays."""
        return 60_000 * 32 * 32 * 3 if self.maker.startswith("CIFAR") else 70_000 * 28 * 28


SOURCES = {
    # Mean and standard deviation as in the paper's code.
    "cifar10": Source(
        "CIFAR10",
        "cifar-10-batches-py",
        "cifar-10-python.tar.gz into {root}",
        10,
        ((125.3, 123.0, 113.9), (63.0, 62.1, 66.7)),
    ),
    "cifar100": Source(
        "CIFAR100",
        "cifar-100-python",
        "cifar-100-python.tar.gz into {root}",
        100,
        ((129.3, 124.1, 112.4), (68.2, 65.4, 70.4)),
    ),
    "mnist": Source("MNIST", "MNIST/raw", "its four .gz files into {root}/MNIST/raw", 10),
    "fashion_mnist": Source("FashionMNIST", "FashionMNIST/raw", "its four .gz files into {root}/FashionMNIST/raw", 10),
}


def load(settings: TorchvisionSettings) -> Dataset:
    """The dataset of these `settings`, uint8 32x32x3 (CIFAR) or 28x28x1.

    UserError if it is not there, damaged, or cannot be downloaded.
    """
    source, where = SOURCES[settings.name], f"dataset={settings.name}"
    # At the most there are the bytes of the files, the arrays made of them, and one copy of these.
    check_room(3 * source.bytes, where, "dataset=mnist needs less, dataset=digits next to nothing")
    train, test, notes = _open(source, settings)
    splits = [
        Split(images(part.x, f"{where}: {name}"), labels(part.y, f"{where}: {name}"))
        for name, part in (("train", train), ("test", test))
    ]
    data = image_dataset(settings, splits[0], splits[1], source.classes, normalisation=source.normalisation)
    return replace(data, notes=tuple(notes))


def _open(source: Source, settings: TorchvisionSettings) -> tuple[Split, Split, list[str]]:
    """Training and test set, and notes: what lies below the root, else a download."""
    root = Path(os.path.expanduser(settings.root))
    packed = source.by_hand.format(root=root)
    instead = "give other files as dataset=npz or folder, or use dataset=digits or dataset=modular, which need none"
    try:
        return _read(source, root)
    except Exception as error:
        problem = f"is not complete in {root / source.folder}: {reason(error)}"
        if not settings.download:
            raise UserError(
                f"dataset.root={settings.root}: {settings.name} {problem}; put {packed}, set dataset.download=true, or "
                f"dataset.root to the folder that holds it, {instead}"
            ) from error
    try:
        with _alone(root, source):
            with suppress(UnfitError):  # another process has downloaded it meanwhile
                return _read(source, root)
            _download(source, root)
            return _read(source, root)
    except Exception as error:
        raise UserError(
            f"dataset={settings.name}: {problem}, and the download failed ({reason(error)}); remove what is damaged, "
            f"put {packed}, set dataset.root to the folder that holds it, {instead}"
        ) from error


def _read(source: Source, root: Path) -> tuple[Split, Split, list[str]]:
    if source.maker.startswith("CIFAR"):
        return read_cifar(root, getattr(torchvision_datasets(), source.maker))
    return read_idx(root / source.folder)


def _download(source: Source, root: Path) -> None:
    """The archives that cannot be read here, each whole or not at all."""
    maker = getattr(torchvision_datasets(), source.maker)
    if source.maker.startswith("CIFAR"):
        _fetch([maker.url], root / maker.filename, maker.tgz_md5)
        return
    for name, md5 in maker.resources:
        try:
            idx(root / source.folder, name.removesuffix(".gz"), [])
        except UnfitError:
            _fetch([f"{mirror}{name}" for mirror in maker.mirrors], root / source.folder / name, md5)


def _fetch(addresses: Sequence[str], path: Path, md5: str) -> None:
    """The first address that answers, in a file of its own until its checksum is right."""
    utils = importlib.import_module("torchvision.datasets.utils")
    for number, address in enumerate(addresses, 1):
        try:
            with replacing(path, alone=True) as draft:
                utils.download_url(address, str(path.parent), draft.name, md5)
            return
        except (OSError, RuntimeError):
            if number == len(addresses):
                raise


@contextmanager
def _alone(root: Path, source: Source) -> Iterator[None]:
    """One process at a time downloads; the next finds the files. A silent server is given up.

    Nothing is left of a download that failed, not even the folders that were made for it.
    """
    own = root / source.folder
    new = [folder for folder in (own, *own.parents) if not folder.exists()]
    root.mkdir(parents=True, exist_ok=True)
    before = socket.getdefaulttimeout()
    path = root / f".{source.maker.lower()}.lock"
    lock = Lock(path)
    lock.wait()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
        # A process that waits for this lock still gets it, and finds the files. One that comes later makes a new lock.
        path.unlink(missing_ok=True)
        lock.release()
        for folder in new:
            with suppress(OSError):  # it holds something
                folder.rmdir()
