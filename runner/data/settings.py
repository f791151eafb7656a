"""What can be set about a dataset, one frozen dataclass per kind; imports nothing heavy.

Fields marked `PLACE` say where the data lies, not what it is: they are no part of a trial's id, because the
hash of the loaded arrays is. `cache` is the folder in which decoded arrays are kept, "" the user's own, "false" none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import PurePath
from typing import Any

from runner.errors import UserError

PLACE = {"result": False}
OPERATIONS = ("add", "sub", "mul", "div")


def shown(settings: Mapping[str, Any]) -> str:
    """What tables call the data of these settings by key: their label, `cats.npz`, `flowers/`, or their group."""
    name, path = str(settings["name"]), str(settings.get("path") or "")
    file = PurePath(path).name if name in ("npz", "text", "folder") else ""
    return str(settings.get("label") or "") or file + "/" * bool(file and name == "folder") or name


@dataclass(frozen=True)
class DatasetSettings:
    """Common to all: `validation` is the fraction of the training set held out (0: selection is on test).

    Digits and modular, whose training set has a size of its own, take that fraction of what is beside it. `train` is
    the number of examples to train on, stratified and the same for every seed; None is all that are not held out.
    """

    name: str
    validation: float = 0.1
    label: str = field(default="", metadata=PLACE)  # the name in tables; if empty that of the file, or the group's
    train: int | None = None

    def __post_init__(self) -> None:
        if self.train is not None and self.train < 1:
            raise UserError(
                f"dataset.train={self.train}: must be a number of training examples from 1, or null for all"
            )
        if not 0 <= self.validation <= 1:
            raise UserError(f"dataset.validation={self.validation}: must be a fraction from 0 to 1")

    @property
    def shown(self) -> str:
        """What tables call the data, which tells two files apart."""
        return shown({f.name: getattr(self, f.name) for f in fields(self)})


@dataclass(frozen=True)
class ImageSettings(DatasetSettings):
    """Images: `flip` mirrors at random, `pad` shifts by random crops after padding with `pad` pixels."""

    flip: bool = False
    pad: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.pad <= 64:
            raise UserError(f"dataset.pad={self.pad}: must be 0 to 64 pixels")


@dataclass(frozen=True)
class DigitsSettings(ImageSettings):
    """scikit-learn's 1,797 digits; split once: `train` images, `test` images, of the rest `validation` for validation.

    The rest is never trained on, whatever `validation` is.
    """

    validation: float = 1.0
    train: int = 400
    test: int = 898
    cache: str = field(default="", metadata=PLACE)

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.train, self.test) < 10 or self.train + self.test > 1797 - 10:
            raise UserError(
                f"dataset.train={self.train} dataset.test={self.test}: each at least 10, together at most 1787"
            )


@dataclass(frozen=True)
class TorchvisionSettings(ImageSettings):
    """CIFAR-10/100, MNIST, Fashion-MNIST as torchvision stores them below `root`."""

    root: str = field(default="data", metadata=PLACE)
    cache: str = field(default="", metadata=PLACE)
    download: bool = field(default=True, metadata=PLACE)


@dataclass(frozen=True)
class FileSettings(ImageSettings):
    """Images at `path`: an .npz file, or the folder of ImageNet32's."""

    path: str = field(default="", metadata=PLACE)
    cache: str = field(default="", metadata=PLACE)


@dataclass(frozen=True)
class FolderSettings(FileSettings):
    """A folder of image files, made `size` x `size` pixels."""

    size: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 4 <= self.size <= 512:
            raise UserError(f"dataset.size={self.size}: must be 4 to 512 pixels")


@dataclass(frozen=True)
class ModularSettings(DatasetSettings):
    """All pairs (a, b) of `a op b mod p`; `fraction` of them for training (Power et al. 2022).

    Of the other pairs `validation` are for validation; what is left is the test set.
    """

    validation: float = 0.5
    p: int = 97
    operation: str = "add"
    fraction: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.operation not in OPERATIONS:
            raise UserError(f"dataset.operation={self.operation}: must be one of {', '.join(OPERATIONS)}")
        if not (3 <= self.p <= 499 and all(self.p % d for d in range(2, int(self.p**0.5) + 1))):
            raise UserError(f"dataset.p={self.p}: must be a prime from 3 to 499")
        if not 0 < self.fraction < 1:
            raise UserError(f"dataset.fraction={self.fraction}: must be between 0 and 1")


@dataclass(frozen=True)
class TextSettings(DatasetSettings):
    """A text file, next-byte prediction in windows of `context` bytes; the last `test` of it is the test set."""

    path: str = field(default="", metadata=PLACE)
    cache: str = field(default="", metadata=PLACE)
    context: int = 64
    test: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 2 <= self.context <= 4096:
            raise UserError(f"dataset.context={self.context}: must be 2 to 4096 bytes")
        if not 0 < self.test < 1:
            raise UserError(f"dataset.test={self.test}: must be between 0 and 1, a fraction of the file")


DATASETS: dict[str, type[DatasetSettings]] = {
    "digits": DigitsSettings,
    "modular": ModularSettings,
    "cifar10": TorchvisionSettings,
    "cifar100": TorchvisionSettings,
    "fashion_mnist": TorchvisionSettings,
    "mnist": TorchvisionSettings,
    "imagenet32": FileSettings,
    "text": TextSettings,
    "npz": FileSettings,
    "folder": FolderSettings,
}
