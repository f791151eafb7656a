"""Claims about `dataset.split`: each number divides the same data in another way, and 0 as it always was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runner.data.dataset import Dataset
from runner.data.load import load
from runner.data.settings import DatasetSettings, DigitsSettings, FileSettings, ModularSettings, TextSettings

SPLITS = range(4)


def rows(dataset: Dataset, *parts: str) -> list[bytes]:
    """Each example of these parts with its answer, as bytes, sorted."""
    splits = [getattr(dataset, name) for name in parts]
    return sorted(x.tobytes() + y.tobytes() for part in splits for x, y in zip(part.x, part.y, strict=True))


def npz(folder: Path) -> FileSettings:
    rng = np.random.default_rng(0)
    arrays = {f"x_{name}": rng.integers(0, 256, (n, 4, 4), dtype=np.uint8) for name, n in (("train", 60), ("test", 20))}
    arrays |= {f"y_{name}": np.arange(n) % 3 for name, n in (("train", 60), ("test", 20))}
    np.savez(folder / "some.npz", **arrays)
    return FileSettings("npz", path=str(folder / "some.npz"), cache="false")


def text(folder: Path) -> TextSettings:
    (folder / "book.txt").write_bytes(np.random.default_rng(0).integers(0, 256, 4001, dtype=np.uint8).tobytes())
    return TextSettings("text", path=str(folder / "book.txt"), cache="false", context=10)


DATA: dict[str, Callable[[Path], DatasetSettings]] = {
    "digits": lambda folder: DigitsSettings("digits", cache="false"),
    "modular": lambda folder: ModularSettings("modular", p=11),
    "npz": npz,
    "text": text,
}


@pytest.mark.parametrize("name", DATA)
def test_each_number_is_another_split_of_the_same_sizes(name: str, tmp_path: Path) -> None:
    settings = DATA[name](tmp_path)
    datasets = [load(replace(settings, split=split)) for split in SPLITS]
    assert len({one.hash for one in datasets}) == len(SPLITS)
    assert len({(len(one.train), len(one.val), len(one.test)) for one in datasets}) == 1
    assert load(replace(settings, split=2)).hash == datasets[2].hash


@pytest.mark.parametrize("name", ["digits", "modular"])
def test_every_part_is_drawn_anew_from_the_same_examples(name: str, tmp_path: Path) -> None:
    datasets = [load(replace(DATA[name](tmp_path), split=split)) for split in SPLITS]
    everything = [rows(one, "train", "val", "test") for one in datasets]
    assert all(one == everything[0] for one in everything)
    for part in ("train", "val", "test"):
        assert len({tuple(rows(one, part)) for one in datasets}) == len(SPLITS)
    if name == "digits":  # stratified: no class has more or less than its share
        counts = np.array([np.bincount(one.test.y, minlength=10) for one in datasets])
        assert (np.ptp(counts, axis=0) <= 1).all()


def test_a_test_set_that_comes_with_the_data_stays(tmp_path: Path) -> None:
    datasets = [load(replace(npz(tmp_path), split=split)) for split in SPLITS]
    assert len({tuple(rows(one, "test")) for one in datasets}) == 1
    assert len({tuple(rows(one, "train")) for one in datasets}) == len(SPLITS)
    assert len({tuple(rows(one, "train", "val")) for one in datasets}) == 1


def test_a_text_is_a_ring_that_each_split_cuts_elsewhere(tmp_path: Path) -> None:
    settings = text(tmp_path)
    ring = (tmp_path / "book.txt").read_bytes() * 2
    ends = set()
    for split in SPLITS:
        found = load(replace(settings, split=split)).test
        stretch = found.x.tobytes() + found.y[-1, -1:].tobytes()
        assert ring.count(stretch) >= 1
        ends.add(ring.index(stretch) % len(ring) // 2)
    assert len(ends) == len(SPLITS)
