"""`dataset.train=N` trains on N examples of any dataset, and validation and test sets stay what they were."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runner.data.dataset import Split
from runner.data.load import load
from runner.data.settings import DATASETS, DatasetSettings, DigitsSettings, ModularSettings
from runner.data.split import hold_out, nested
from runner.errors import UserError
from runner.records.identity import differing
from runner.trials.trial import Facts
from tests.data.test_cache import MAKERS
from tests.helpers import trial

SIZES = {"folder": 6, "npz": 13, "text": 50, "mnist": 20, "digits": 100, "modular": 200}
GENERATED: dict[str, Callable[[Path], DatasetSettings]] = {
    "digits": lambda root: DigitsSettings("digits"),
    "modular": lambda root: ModularSettings("modular", p=23),
}


def rows(split: Split) -> set[bytes]:
    return {x.tobytes() + y.tobytes() for x, y in zip(split.x, split.y, strict=True)}


@pytest.mark.parametrize("validation", [0, 0.25])
@pytest.mark.parametrize("name", SIZES)
def test_training_is_on_as_many_and_the_rest_stays(name: str, validation: float, tmp_path: Path) -> None:
    settings = replace((MAKERS | GENERATED)[name](tmp_path / "data"), validation=validation)
    whole, some = load(settings), load(replace(settings, train=SIZES[name]))
    fewer = load(replace(settings, train=SIZES[name] // 2 + 5))
    assert len(some.train) == SIZES[name]
    if name != "digits":  # whose training set is split off otherwise
        assert rows(some.train) <= rows(whole.train)
        assert rows(fewer.train) <= rows(some.train) or SIZES[name] // 2 + 5 > SIZES[name]
        for a, b in ((some.val, whole.val), (some.test, whole.test)):
            assert np.array_equal(a.x, b.x)
            assert np.array_equal(a.y, b.y)
    if some.mean:
        assert np.allclose(some.mean, some.train.x.mean((0, 1, 2)))


def test_a_folder_is_decoded_as_far_as_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import PIL.Image

    opened, whole = [], PIL.Image.open
    monkeypatch.setattr(PIL.Image, "open", lambda fp, *more, **named: opened.append(fp) or whole(fp, *more, **named))
    settings = replace(MAKERS["folder"](tmp_path / "data"), cache="false")
    load(replace(settings, train=6))
    assert len(opened) == 6 + 6 + 24, "for training, for validation, for testing"


def test_classes_keep_their_shares_and_none_is_left_out() -> None:
    y = np.repeat(np.arange(4), [400, 300, 200, 3])
    for size in (4, 10, 90, 451, 903):
        counts = np.bincount(y[nested(y, size)], minlength=4)
        assert counts.sum() == size
        assert counts.min() >= 1
        assert np.abs(counts[:3] - size * np.array([400, 300, 200]) / 903).max() <= 2


def test_fewer_are_among_more() -> None:
    y = np.random.default_rng(0).integers(0, 5, 300)
    for kind in (y, np.stack([y, y], 1)):
        before: set[int] = set()
        for size in range(5, 301, 5):
            now = set(nested(kind, size).tolist())
            assert len(now) == size
            assert before <= now
            before = now


def test_the_choice_is_the_same_on_every_machine() -> None:
    assert nested(np.arange(40) % 4, 6).tolist() == [0, 12, 19, 27, 37, 38]


@pytest.mark.parametrize(
    ("size", "right"), [(0, "from 1"), (1, "at least 2, one for each class"), (19, "must be 1 to 18")]
)
def test_sizes_that_cannot_be_are_refused(size: int, right: str, tmp_path: Path) -> None:
    settings = MAKERS["folder"](tmp_path / "data")
    with pytest.raises(UserError, match=f"dataset.train={size}: .*{right}"):
        load(replace(settings, train=size))


# A kind that was added later, as module, has its default in its ids.
@pytest.mark.parametrize("name", [name for name in DATASETS if name not in ("digits", "module")])
def test_ids_without_it_stay_and_with_it_differ(name: str) -> None:
    from tests.helpers import images

    settings = DATASETS[name](name)
    one, other = (replace(trial(images()), dataset=replace(settings, train=n)) for n in (None, 30))
    assert "dataset.train" not in differing(one.to_flat())
    assert other.to_flat()["dataset.train"] == 30
    assert one.id != other.id
    assert Facts.of(images()) == one.facts


@pytest.mark.parametrize("writeable", [True, False])
@pytest.mark.parametrize("size", [None, 4, 500, 880])
def test_parts_are_those_of_a_copy_though_they_lie_in_the_same_memory(size: int | None, writeable: bool) -> None:
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 256, (1000, 5, 3)).astype(np.uint8), np.arange(1000) % 4
    mine = Split(x.copy(), y.copy())
    mine.x.flags.writeable = writeable
    train, val = hold_out(mine, 0.1, size)
    assert len(val) == 100
    assert len(train) == (900 if size is None else size)
    assert rows(train) | rows(val) <= rows(Split(x, y))
    assert not rows(train) & rows(val)
    for part in (train, val):
        where = [int(np.flatnonzero((x == one).all((1, 2)))[0]) for one in part.x]
        assert where == sorted(where), "in the order of the data"
