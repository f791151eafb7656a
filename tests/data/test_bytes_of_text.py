"""A text stays bytes in memory, and trains as the whole numbers that it was held as before."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from runner.config.settings import RunSettings
from runner.data.check import content_hash
from runner.data.dataset import Dataset, Split
from runner.data.load import load
from runner.data.settings import TextSettings
from runner.training.train import train
from runner.trials.trial import Facts
from tests.helpers import trial

TIMES = ("started", "seconds", "samples_per_second", "peak_mib")


def book(root: Path, size: int) -> TextSettings:
    (root / "book.txt").write_bytes(np.random.default_rng(0).integers(97, 105, size, dtype=np.uint8).tobytes())
    return TextSettings("text", path=str(root / "book.txt"), context=16, cache="false")


def whole_numbers(dataset: Dataset) -> Dataset:
    wide = (Split(s.x.astype(np.int64), s.y.astype(np.int64)) for s in (dataset.train, dataset.val, dataset.test))
    return replace(dataset, **dict(zip(("train", "val", "test"), wide, strict=True)))


def test_it_takes_two_bytes_for_each_and_no_more_to_read(tmp_path: Path) -> None:
    size = 2**22
    settings = book(tmp_path, size)
    load(replace(settings, validation=0.2))  # what is imported takes memory too
    tracemalloc.start()
    dataset = load(settings)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    held = sum(array.nbytes for s in (dataset.train, dataset.val, dataset.test) for array in (s.x, s.y))
    assert held <= 2 * size
    assert most < 2 * size + 3 * 8 * 2**22, "with what is converted at a time"


def test_its_hash_is_that_of_whole_numbers(tmp_path: Path) -> None:
    dataset = load(book(tmp_path, 5000))
    assert dataset.hash == content_hash(whole_numbers(dataset))


def test_the_hash_of_a_text_stays(tmp_path: Path) -> None:
    """Another is another trial id."""
    (tmp_path / "book.txt").write_bytes(b"The quick brown fox jumps over the lazy dog. " * 100)
    assert load(TextSettings("text", path=str(tmp_path / "book.txt"))).hash == "5abfb12bd363"


@pytest.mark.parametrize("name", ["adamw", "sparse_adamw"])
def test_training_is_the_same_to_the_bit(tmp_path: Path, name: str) -> None:
    dataset = load(book(tmp_path, 2500))
    found = []
    for data in (dataset, whole_numbers(dataset)):
        one = replace(
            trial(data, "transformer", name, wd_convention="torch"),
            dataset=book(tmp_path, 2500),
            facts=Facts.of(data),
            epochs=1,
        )
        *_, last = train([one], data, torch.device("cpu"), RunSettings())
        found.append({key: value for key, value in last.trials[0].items() if key not in TIMES})
    assert found[0]["status"] == "ok"
    assert repr(found[0]) == repr(found[1])
