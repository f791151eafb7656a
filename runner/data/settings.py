"""What can be set about a dataset, one frozen dataclass per kind; imports nothing heavy.

Fields marked `PLACE` say where the data lies, not what it is: they are no part of a trial's id, because the
hash of the loaded arrays is. `cache` is the folder in which decoded arrays are kept, "" the user's own, "false" none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import PurePath
from typing import Any

from runner.data.code_place import PLACE as PLACE_OF_CODE
from runner.data.code_place import WORDS
from runner.errors import UserError
from runner.fields import before, check, one_of, right, whole

PLACE = {"result": False}
OPERATIONS = ("add", "sub", "mul", "div")
DIGITS = 1797  # images of scikit-learn's
_FRACTION = right(lambda value: 0 <= value <= 1, "a fraction from 0 to 1")
_PART = right(lambda value: 0 < value < 1, "between 0 and 1, a fraction of the examples")
_EXAMPLES = right(lambda value: value >= 1, "a number of training examples from 1, or null for all")


def _between(least: int, most: int, what: str) -> dict[str, Any]:
    """Metadata of a size from `least` to `most`; `what` it counts."""
    return right(lambda value: least <= value <= most, f"{least} to {most} {what}")


def _is_prime(p: int) -> bool:
    return 3 <= p <= 499 and all(p % d for d in range(2, int(p**0.5) + 1))


def pairs(p: int, operation: str | None) -> int:
    """How many pairs (a, b) there are modulo p; the `operation` "div" leaves out b = 0."""
    return p * (p - 1) if operation == "div" else p * p


def shown(settings: Mapping[str, Any]) -> str:
    """What tables call the data of these settings by key: their label, `cats.npz`, `flowers/`, or their group."""
    name, path = str(settings["name"]), str(settings.get("path") or "")
    file = PurePath(path).name if name in ("npz", "text", "folder") else ""
    if name == "module":
        file = str(settings.get("make") or "").partition(":")[2]
    return str(settings.get("label") or "") or file + "/" * bool(file and name == "folder") or name


@dataclass(frozen=True)
class DatasetSettings:
    """Common to all: `validation` is the fraction of the training set held out (0: selection is on test).

    Digits and modular, whose training set has a size of its own, take that fraction of what is beside it. `train` is
    the number of examples to train on, stratified and the same for every seed; None is all that are not held out.
    `split` numbers the ways to divide the data: each number gives other examples to train on, to validate on and, where
    the test set does not come with the data, to test on.
    """

    name: str
    validation: float = field(default=0.1, metadata=_FRACTION)
    label: str = field(default="", metadata=PLACE)  # the name in tables; if empty that of the file, or the group's
    train: int | None = field(default=None, metadata=_EXAMPLES)
    split: int = field(default=0, metadata=whole(0, 10**6) | before(0))

    def __post_init__(self) -> None:
        check(self, "dataset")

    @property
    def title(self) -> str:
        """What a study of this data is called."""
        return self.name

    @property
    def shown(self) -> str:
        """What tables call the data, which tells two files apart."""
        return shown({f.name: getattr(self, f.name) for f in fields(self)})


@dataclass(frozen=True)
class ImageSettings(DatasetSettings):
    """Images: `flip` mirrors at random, `pad` shifts by random crops after padding with `pad` pixels."""

    flip: bool = False
    pad: int = field(default=0, metadata=_between(0, 64, "pixels"))


@dataclass(frozen=True)
class DigitsSettings(ImageSettings):
    """scikit-learn's 1,797 digits; `train` images, `test` images, of the rest `validation` for validation.

    The rest is never trained on, whatever `validation` is.
    """

    validation: float = field(default=1.0, metadata=_FRACTION)
    train: int = 400
    test: int = 898
    cache: str = field(default="", metadata=PLACE)

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.train, self.test) < 10 or self.train + self.test > DIGITS - 10:
            raise UserError(
                f"dataset.train={self.train} dataset.test={self.test}: each at least 10, together at most {DIGITS - 10}"
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

    size: int = field(default=32, metadata=_between(4, 512, "pixels"))
    # Of folders of classes alone; what it was before them does not matter, for they were refused.
    test: float = field(default=0.2, metadata=_PART | before(0.2))


@dataclass(frozen=True)
class ModularSettings(DatasetSettings):
    """All pairs (a, b) of `a op b mod p`; `fraction` of them for training (Power et al. 2022).

    Of the other pairs `validation` are for validation; what is left is the test set.
    """

    validation: float = field(default=0.5, metadata=_FRACTION)
    p: int = field(default=97, metadata=right(_is_prime, "a prime from 3 to 499"))
    operation: str = field(default="add", metadata=one_of(OPERATIONS))
    fraction: float = field(default=0.5, metadata=right(lambda value: 0 < value < 1, "between 0 and 1"))


@dataclass(frozen=True)
class TextSettings(DatasetSettings):
    """A text file, next-byte prediction in windows of `context` bytes; the last `test` of it is the test set."""

    path: str = field(default="", metadata=PLACE)
    cache: str = field(default="", metadata=PLACE)
    context: int = field(default=64, metadata=_between(2, 4096, "bytes"))
    test: float = field(
        default=0.1, metadata=right(lambda value: 0 < value < 1, "between 0 and 1, a fraction of the file")
    )


@dataclass(frozen=True)
class ModuleDataSettings(ImageSettings):
    """What `make`, "package.module:name", gives for `args`; `test` of it is the test set where it gives none."""

    make: str = field(default="", metadata=PLACE | right(lambda make: not make or PLACE_OF_CODE.fullmatch(make), WORDS))
    args: dict[str, Any] | None = field(default=None, hash=False, metadata=PLACE)
    test: float = field(default=0.2, metadata=_PART)

    @property
    def title(self) -> str:
        return self.make.partition(":")[2]


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
    "module": ModuleDataSettings,
}
