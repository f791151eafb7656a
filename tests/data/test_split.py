"""The splits are fixed, disjoint and stratified, and the hash tells any two datasets apart."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from runner.data.check import content_hash
from runner.data.dataset import Dataset, Split
from runner.data.images import statistics
from runner.data.load import load
from runner.data.settings import DatasetSettings, DigitsSettings, ModularSettings
from runner.data.split import STATE, hold_out, stratified

DIGITS = DigitsSettings("digits")


def examples(split: Split) -> Counter[bytes]:
    return Counter(x.tobytes() + y.tobytes() for x, y in zip(split.x, split.y, strict=True))


@pytest.mark.parametrize("settings", [DIGITS, ModularSettings("modular", p=13)])
def test_split_is_the_same_for_every_call(settings: DatasetSettings) -> None:
    first = load(settings)
    np.random.seed(5)  # noqa: NPY002 - the global state must not matter
    second = load(settings)
    for a, b in zip((first.train, first.val, first.test), (second.train, second.val, second.test), strict=True):
        assert np.array_equal(a.x, b.x)
        assert np.array_equal(a.y, b.y)
    assert first.hash == second.hash


@pytest.mark.parametrize(
    ("settings", "found"),
    [(DIGITS, "c17799803c02"), (ModularSettings("modular"), "8f94f9dc67c7")],
)
def test_embedded_datasets_keep_their_hash(settings: DatasetSettings, found: str) -> None:
    """Another hash is another trial id: committed results could no longer be run again."""
    assert load(settings).hash == found


@pytest.mark.parametrize("seed", range(40))
def test_a_stratified_split_is_the_one_that_scikit_learn_drew(seed: int) -> None:
    """Every dataset with a held-out part has its hash, and so the ids of its trials, from it."""
    from sklearn.model_selection import train_test_split

    random = np.random.default_rng(seed)
    counts = random.integers(2, (6, 40, 400)[seed % 3], random.integers(2, 12))
    if seed % 4 == 0:
        counts[:] = counts[0]  # all remainders are ties
    y = random.permutation(np.repeat(random.permutation(50)[: len(counts)], counts))
    for size in {len(counts), len(y) // 2, len(y) // 3, len(y) - len(counts)}:
        if len(counts) <= size <= len(y) - len(counts):
            want = train_test_split(np.arange(len(y)), test_size=size, random_state=STATE, stratify=y)
            for mine, theirs in zip(stratified(y, size, "key"), want, strict=True):
                assert np.array_equal(mine, np.sort(theirs))


def test_digits_sizes_and_stratification() -> None:
    from sklearn.datasets import load_digits

    data = load(DIGITS)
    assert (len(data.train), len(data.val), len(data.test)) == (400, 499, 898)
    assert data.train.x.shape[1:] == (8, 8, 1)
    assert (data.train.x.min(), data.train.x.max()) == (0, 255)
    shares = np.bincount(load_digits().target) / 1797
    for split in (data.train, data.val, data.test):
        assert np.abs(np.bincount(split.y, minlength=10) - shares * len(split)).max() < 2


def test_digits_splits_are_all_the_images_once() -> None:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    data = load(DIGITS)
    original = Split(np.rint(bunch.images * 255 / 16).astype(np.uint8)[..., None], bunch.target.astype(np.int64))
    assert examples(data.train) + examples(data.val) + examples(data.test) == examples(original)


@pytest.mark.parametrize(("validation", "size"), [(0, 0), (0.1, 50), (0.5, 250), (1, 499)])
def test_digits_validation_takes_nothing_from_train_or_test(validation: float, size: int) -> None:
    whole, data = load(DIGITS), load(replace(DIGITS, validation=validation))
    assert np.array_equal(data.train.x, whole.train.x)
    assert np.array_equal(data.test.x, whole.test.x)
    assert len(data.val) == size
    assert not examples(data.val) - examples(whole.val)


def test_hold_out_is_stratified_and_disjoint() -> None:
    y = np.repeat(np.arange(4), [100, 200, 300, 400])
    train, val = hold_out(Split(np.arange(1000)[:, None], y), 0.1)
    assert np.array_equal(np.bincount(val.y), [10, 20, 30, 40])
    assert sorted([*train.x[:, 0], *val.x[:, 0]]) == list(range(1000))


def test_indices_are_those_that_committed_results_used() -> None:
    """A scikit-learn that splits otherwise must be noticed here, not in a table."""
    kept, held = stratified(np.arange(40) % 4, 8, "dataset.validation")
    assert list(held) == [7, 9, 19, 20, 22, 25, 28, 30]
    assert len(kept) == 32


def test_mean_and_std_are_those_of_numpy() -> None:
    x = np.random.default_rng(0).integers(0, 256, (5000, 3, 2, 3)).astype(np.uint8)
    mean, std = statistics(x)
    assert np.allclose(mean, x.mean((0, 1, 2)), rtol=1e-12)
    assert np.allclose(std, x.std((0, 1, 2)), rtol=1e-12)


def test_std_of_a_single_colour_is_not_zero() -> None:
    assert statistics(np.full((4, 2, 2, 1), 7, np.uint8)) == ((7.0,), (1.0,))


def tiny() -> Dataset:
    def split(n: int) -> Split:
        return Split(np.arange(4 * n, dtype=np.uint8).reshape(n, 2, 2, 1), np.arange(n, dtype=np.int64) % 2)

    return Dataset("tiny", "images", 2, split(4), split(2), split(3))


@pytest.mark.parametrize("name", ["train", "val", "test"])
@pytest.mark.parametrize("axis", ["x", "y"])
def test_hash_sees_every_array(name: str, axis: str) -> None:
    before, changed = tiny(), tiny()
    getattr(getattr(changed, name), axis).flat[-1] ^= 1
    assert content_hash(changed) != content_hash(before)


def test_hash_sees_shapes_classes_and_where_the_splits_are() -> None:
    data = tiny()
    wide = [replace(s, x=s.x.reshape(-1, 1, 4, 1)) for s in (data.train, data.val, data.test)]
    others = [
        replace(data, train=wide[0], val=wide[1], test=wide[2]),
        replace(data, classes=3),
        replace(data, val=Split(data.val.x[:0], data.val.y[:0])),
        replace(data, val=data.test, test=data.val),
    ]
    assert len({content_hash(d) for d in (data, *others)}) == 5


def test_hash_sees_content_and_not_memory_layout_or_name() -> None:
    data = tiny()
    x = np.asfortranarray(data.train.x)
    assert content_hash(replace(data, name="other", train=Split(x, data.train.y))) == content_hash(data)
