"""CIFAR-10, CIFAR-100, MNIST and Fashion-MNIST through torchvision: `load(settings)`.

torchvision downloads what is not below `dataset.root`, shows its progress and compares checksums.
"""

from __future__ import annotations

import os
import socket
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runner.data.check import images, labels
from runner.data.dataset import Dataset, Split
from runner.data.images import image_dataset
from runner.data.reading import reason
from runner.data.room import check_room
from runner.data.settings import TorchvisionSettings
from runner.data.torchvision_import import torchvision_datasets
from runner.errors import UserError
from runner.lock import Lock

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
    """uint8 32x32x3 (CIFAR) or 28x28x1; UserError if it is not there, damaged, or cannot be downloaded."""
    source, where = SOURCES[settings.name], f"dataset={settings.name}"
    # torchvision holds what it has read from the files beside the arrays that it makes of it, which are copied once.
    check_room(3 * source.bytes, where, "dataset=mnist needs less, dataset=digits next to nothing")
    train, test = _open(source, settings)
    splits = []
    for name, part in (("train", train), ("test", test)):
        x = images(np.asarray(part.data), f"{where}: {name}")
        splits.append(Split(x, labels(np.asarray(part.targets), f"{where}: {name}")))
    return image_dataset(settings, splits[0], splits[1], source.classes, normalisation=source.normalisation)


def _open(source: Source, settings: TorchvisionSettings) -> tuple[Any, Any]:
    """torchvision's training and test set: what lies below the root, else a download."""
    maker = getattr(torchvision_datasets(), source.maker)
    root = Path(os.path.expanduser(settings.root))
    try:
        return _both(maker, root, download=False)
    except Exception as error:
        # torchvision says "not found or corrupted" of one, and its parsers nearly anything of the other.
        if not settings.download:
            raise UserError(
                f"dataset.root={settings.root}: {settings.name} is missing or damaged in {root / source.folder} "
                f"({reason(error)}); set dataset.download=true, or dataset.root to the folder that holds it, or use "
                "dataset=digits or dataset=modular, which need no files"
            ) from error
    try:
        with _alone(root, settings.name):
            return _both(maker, root, download=True)
    except Exception as error:
        raise UserError(
            f"dataset={settings.name}: is not complete in {root / source.folder}, and the download failed "
            f"({reason(error)}); remove what is damaged, put {source.by_hand.format(root=root)}, or set dataset.root "
            "to the folder that holds it, or use dataset=digits or dataset=modular, which need no download"
        ) from error


def _both(maker: Any, root: Path, download: bool) -> tuple[Any, Any]:
    return maker(str(root), train=True, download=download), maker(str(root), train=False, download=False)


@contextmanager
def _alone(root: Path, name: str) -> Iterator[None]:
    """One process at a time downloads; the next finds the files. A silent server is given up."""
    root.mkdir(parents=True, exist_ok=True)
    before = socket.getdefaulttimeout()
    lock = Lock(root / f".{name}.lock")
    lock.wait()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        with _inside():
            yield
    finally:
        socket.setdefaulttimeout(before)
        lock.release()


@contextmanager
def _inside() -> Iterator[None]:
    """No member of a tar archive is unpacked to outside the folder, nor as a link there.

    torchvision asks for no filter, and before Python 3.14 none is the default; 3.11.0 to 3.11.3 have none to ask for.
    """
    if not hasattr(tarfile, "data_filter"):
        whole = tarfile.TarFile.extractall
        tarfile.TarFile.extractall = _extract_checked(whole)  # type: ignore[method-assign]
        try:
            yield
        finally:
            tarfile.TarFile.extractall = whole  # type: ignore[method-assign]
        return
    before = getattr(tarfile.TarFile, "extraction_filter", None)
    if before is None:
        tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)
    try:
        yield
    finally:
        tarfile.TarFile.extraction_filter = before


def _extract_checked(whole: Any) -> Any:
    """`TarFile.extractall` that first looks at every member: a plain file or folder, below the folder."""

    def extractall(archive: tarfile.TarFile, path: str = ".", *more: Any, **named: Any) -> None:
        top = os.path.realpath(path)
        for member in archive.getmembers():
            member.name = member.name.lstrip("/")
            place = os.path.realpath(os.path.join(top, member.name))
            if not (member.isfile() or member.isdir()) or os.path.commonpath([top, place]) != top:
                raise tarfile.TarError(f"{member.name!r} would be unpacked outside the folder, or is no plain file")
        whole(archive, path, *more, **named)

    return extractall
