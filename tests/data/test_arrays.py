"""Worker processes map the arrays of a dataset instead of getting copies, and nothing stays when they are killed."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from runner.data.dataset import Dataset, Split
from runner.data.load import load
from runner.data.settings import DatasetSettings, FileSettings, TextSettings

METHODS = [m for m in ("forkserver", "spawn") if m in multiprocessing.get_all_start_methods()]
PSS = Path("/proc/self/smaps_rollup")
COUNT = 4000  # images of 3 kB: 12 MB


def npz(root: Path) -> DatasetSettings:
    x = np.random.default_rng(0).integers(0, 256, (COUNT, 32, 32, 3), dtype=np.uint8)
    y = np.arange(COUNT) % 10
    np.savez(root / "some.npz", x_train=x, y_train=y, x_test=x[:100], y_test=y[:100])
    return FileSettings("npz", path=str(root / "some.npz"))


def text(root: Path) -> DatasetSettings:
    (root / "book.txt").write_bytes(np.random.default_rng(0).bytes(2**23))
    return TextSettings("text", path=str(root / "book.txt"))


def size(dataset: Dataset) -> int:
    return sum(array.nbytes for split in splits(dataset) for array in (split.x, split.y))


def splits(dataset: Dataset) -> tuple[Split, Split, Split]:
    return dataset.train, dataset.val, dataset.test


def own() -> int:
    """Bytes of memory of this process that are part of no file: a copy would be."""
    lines = dict(line.split(":", 1) for line in PSS.read_text().splitlines()[1:])
    return 1024 * int(lines["Anonymous"].split()[0])


def look(dataset: Dataset, there: Connection) -> None:
    """In a worker: read all of the dataset, and tell what it took and what was there."""
    sums = [int(array.sum()) for split in splits(dataset) for array in (split.x, split.y)]
    there.send((own() if PSS.exists() else 0, sums))
    there.recv()


@contextmanager
def worker(dataset: Dataset, method: str) -> Iterator[tuple[int, Connection, list[int]]]:
    """A process that has read the dataset: its id, and what it found."""
    context = multiprocessing.get_context(method)
    here, there = context.Pipe()
    process = context.Process(target=look, args=(dataset, there), daemon=True)
    process.start()
    there.close()
    taken, sums = here.recv()
    try:
        yield taken, here, sums
    finally:
        here.send(None)
        process.join()


@pytest.mark.skipif(not PSS.exists(), reason="this system does not say what a process shares")
@pytest.mark.parametrize("cache", ["", "false"])
@pytest.mark.parametrize("maker", [npz, text])
def test_a_worker_holds_no_copy(tmp_path: Path, maker: object, cache: str) -> None:
    assert callable(maker)
    dataset = load(replace(maker(tmp_path), cache=cache))
    small = load(replace(maker(tmp_path), cache=cache, train=20))
    with worker(small, METHODS[0]) as (before, _, _), worker(dataset, METHODS[0]) as (taken, _, _):
        assert taken - before < size(dataset) / 4


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("cache", ["", "false"])
def test_a_worker_sees_the_same_numbers(tmp_path: Path, cache: str, method: str) -> None:
    dataset = load(replace(npz(tmp_path), cache=cache))
    expected = [int(array.sum()) for split in splits(dataset) for array in (split.x, split.y)]
    with worker(dataset, method) as (_, _, sums):
        assert sums == expected


def test_a_worker_has_the_data_though_the_cache_was_emptied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    dataset = load(npz(tmp_path))
    (kept,) = (tmp_path / "adamw-runner").iterdir()
    kept.unlink()
    with worker(dataset, METHODS[0]) as (_, _, sums):
        assert sums[0] == int(dataset.train.x.sum())


def test_what_is_shared_has_no_name_that_could_stay(tmp_path: Path) -> None:
    """Files that processes without a chance to clean up would leave behind."""
    places = [Path("/dev/shm"), Path(os.environ.get("TMPDIR", "/tmp"))]
    before = {path for place in places if place.is_dir() for path in place.glob("*dataset*")}
    dataset = load(replace(npz(tmp_path), cache="false"))
    assert {path for place in places if place.is_dir() for path in place.glob("*dataset*")} == before
    assert dataset.train.x.flags.writeable


def test_copies_and_pickles_are_of_the_arrays_themselves(tmp_path: Path) -> None:
    dataset = load(npz(tmp_path))
    for copy in (deepcopy(dataset), pickle.loads(pickle.dumps(dataset))):
        assert np.array_equal(copy.train.x, dataset.train.x)
        assert not np.shares_memory(copy.train.x, dataset.train.x)


def test_descriptors_are_given_back(tmp_path: Path) -> None:
    settings = npz(tmp_path)
    for cache in ("", "false"):
        load(replace(settings, cache=cache))
        before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
        for _ in range(3):
            load(replace(settings, cache=cache))
        assert not before or len(os.listdir("/proc/self/fd")) == before


def test_without_descriptors_the_data_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("runner.data.arrays._nameless", refuse)
    dataset = load(replace(npz(tmp_path), cache="false"))
    with worker(dataset, METHODS[0]) as (_, _, sums):
        assert sums[0] == int(dataset.train.x.sum())
