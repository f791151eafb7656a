"""Data of somebody's own function: arrays or datasets of any kind, divided and named, or refused in one line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch.utils.data import TensorDataset

from runner.data.dataset import Dataset
from runner.data.load import load
from runner.data.settings import ModuleDataSettings
from runner.errors import UserError

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (90, 8, 10, 3), dtype=np.uint8)
FLOATS = RNG.normal(size=(90, 5))
ANSWERS = np.arange(90) % 3
COUNT = iter(range(10**6))
NAMES = np.array(["dog", "cat", "eel"])


class Pictures:
    """A map-style dataset as torchvision's are: Pillow images with their classes."""

    def __len__(self) -> int:
        return 60

    def __getitem__(self, index: int) -> tuple[PIL.Image.Image, int]:
        return PIL.Image.fromarray(COLOUR[index]), index % 3


def loaded(found: Any, **more: Any) -> Dataset:
    """The dataset of a function that gives `found`, in a module of its own name."""
    name = f"given{next(COUNT)}"
    module = ModuleType(name)
    module.__dict__["make"] = found if callable(found) and not hasattr(found, "__getitem__") else lambda: found
    sys.modules[name] = module
    return load(ModuleDataSettings("module", make=f"{name}:make", **more))


def test_arrays_by_name_are_images_with_their_own_parts() -> None:
    names = ("train", "test", "val")
    given = {}
    for i, name in enumerate(names):
        given |= {f"x_{name}": COLOUR[30 * i : 30 * i + 30], f"y_{name}": ANSWERS[30 * i : 30 * i + 30]}
    found = loaded(given)
    assert found.kind == "images"
    assert found.classes == 3
    assert found.name == "make"
    for i, name in enumerate(names):
        np.testing.assert_array_equal(getattr(found, name).x, COLOUR[30 * i : 30 * i + 30])
        np.testing.assert_array_equal(getattr(found, name).y, ANSWERS[30 * i : 30 * i + 30])


@pytest.mark.parametrize(
    "found",
    [
        lambda: (COLOUR, ANSWERS),
        lambda: ((COLOUR[:60], ANSWERS[:60]), (COLOUR[60:], ANSWERS[60:])),
        lambda: {"train": (COLOUR, ANSWERS)},
        lambda: (COLOUR.transpose(0, 3, 1, 2), ANSWERS[:, None]),
        lambda: (torch.from_numpy(COLOUR), torch.from_numpy(ANSWERS)),
        lambda: TensorDataset(torch.from_numpy(COLOUR), torch.from_numpy(ANSWERS)),
        lambda: Pictures(),
        lambda: [Pictures(), Pictures()],
        lambda: (COLOUR, NAMES[ANSWERS]),
        lambda: (COLOUR, list(NAMES[ANSWERS])),
    ],
)
def test_images_of_any_origin_are_the_same_images(found: Callable[[], Any]) -> None:
    data = loaded(found)
    assert data.kind == "images"
    assert data.train.x.shape[1:] == (8, 10, 3)
    known = {image.tobytes(): answer for image, answer in zip(COLOUR, ANSWERS, strict=True)}
    for split in data.splits.values():
        assert len(split)
        for image, answer in zip(split.x, split.y, strict=True):
            wanted = known[image.tobytes()]
            assert (data.names[answer] if data.names else answer) == (NAMES[wanted] if data.names else wanted)
    if len(data.train) + len(data.val) + len(data.test) == 90:  # without a test set a fifth is held out
        every = np.concatenate([split.x for split in data.splits.values()])
        assert len({image.tobytes() for image in every}) == 90


def test_a_test_set_is_held_out_by_class_and_another_split_holds_out_others() -> None:
    one, same, other = (loaded((FLOATS, ANSWERS), test=0.3, split=split) for split in (0, 0, 1))
    assert np.bincount(one.test.y).tolist() == [9, 9, 9]
    np.testing.assert_array_equal(one.test.x, same.test.x)
    assert one.hash == same.hash
    assert not np.array_equal(one.test.x, other.test.x)
    for data in (one, other):
        every = np.concatenate([split.x for split in data.splits.values()])
        np.testing.assert_array_equal(np.sort(every, 0), np.sort(FLOATS.astype(np.float32), 0))


@pytest.mark.parametrize("shape", [(90, 5), (90, 3, 8, 8), (90, 7, 2)])
def test_floats_are_given_to_the_network_as_they_are(shape: tuple[int, ...]) -> None:
    x = RNG.normal(size=shape)
    data = loaded(((x, ANSWERS), (x[:30], ANSWERS[:30])), validation=0)
    assert data.kind == "numbers"
    assert data.example == shape[1:]
    assert data.train.x.dtype == np.float32
    np.testing.assert_allclose(data.train.x, x, rtol=1e-6)


def test_whole_numbers_in_rows_are_tokens_with_an_answer_each_or_at_every_position() -> None:
    x = RNG.integers(0, 11, (90, 6))
    data = loaded((x, ANSWERS))
    assert (data.kind, data.vocabulary, data.classes) == ("tokens", 11, 3)
    data = loaded(((x, x), (x, x)))
    assert data.classes == 11
    assert data.train.y.shape[1:] == (6,)


def fails() -> Any:
    raise ValueError("no such server")


BAD = FLOATS.copy()
BAD[7, 2] = np.nan


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (fails, "fails (ValueError: no such server)"),
        (lambda: None, "train: is NoneType; must be a pair (x, y) or a map-style torch dataset"),
        (lambda: {"test": (FLOATS, ANSWERS)}, "gives test; must give x_train, y_train"),
        (lambda: {"x_train": FLOATS, "y_train": ANSWERS, "x_test": FLOATS}, "gives only one of x_test and y_test"),
        (lambda: {"x_train": FLOATS, "y_train": ANSWERS, "xtest": FLOATS}, "gives xtest; must give x_train, y_train"),
        (lambda: (FLOATS, ANSWERS[:-1]), "train: has x of shape (90, 5) and y of shape (89,)"),
        (lambda: {"train": (FLOATS, ANSWERS[:-1])}, "train: has x of shape (90, 5) and y of shape (89,)"),
        (lambda: (BAD, ANSWERS), "train: x[7] has nan or inf"),
        (lambda: (FLOATS * 1e300, ANSWERS), "too large for float32"),
        (lambda: (FLOATS, ANSWERS / 2), "y: is float64 of shape 90; must be whole numbers"),
        (lambda: (FLOATS, ANSWERS - 1), "labels from -1 to 1"),
        (lambda: (np.ma.masked_greater(FLOATS, 1), ANSWERS), "has masked values"),
        (lambda: (FLOATS, np.array(["a", 1, None] * 30, object)), "y has text among other things"),
        (lambda: (COLOUR.astype(np.int32), ANSWERS), "x is int32 of shape (90, 8, 10, 3); must be images (uint8"),
        (lambda: {"train": (FLOATS, NAMES[ANSWERS]), "test": (FLOATS, ["owl"] * 90)}, "test has the class 'owl'"),
        (lambda: {"train": (FLOATS, ANSWERS), "test": (COLOUR, ANSWERS)}, "gives numbers to train, images to test"),
        (lambda: (FLOATS, np.zeros(90, int)), "has a single class"),
        (lambda: (FLOATS, np.where(ANSWERS == 1, 2, ANSWERS)), "class 1 has no training example"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_in_one_line(found: Callable[[], Any], line: str) -> None:
    with pytest.raises(UserError) as refused:
        loaded(found)
    assert line in str(refused.value)
    assert "\n" not in str(refused.value)


def test_only_images_are_mirrored() -> None:
    with pytest.raises(UserError, match=r"gives numbers, and dataset\.flip and dataset\.pad are for images"):
        loaded((FLOATS, ANSWERS), flip=True)
    assert loaded((COLOUR, ANSWERS), flip=True).flip


def test_a_function_of_the_current_folder_is_called_with_its_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "own_numbers.py").write_text(
        "import numpy as np\n\ndef load(columns=2):\n"
        "    return np.arange(20.0)[:, None] * np.ones(columns), np.arange(20) % 2\n"
    )
    data = load(ModuleDataSettings("module", make="own_numbers:load", args={"columns": 4}))
    assert data.example == (4,)
    assert data.name == "load"
