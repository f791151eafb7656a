"""Batches: what a recorded step picks by its counter is what a plain step gets."""

from __future__ import annotations

import pytest
import torch

from runner.data.dataset import Dataset
from runner.training.feed import Feed
from tests.helpers import images, tokens

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    "dataset", [images(50, flip=True, pad=1), images(50), tokens(50)], ids=["varied", "plain", "tokens"]
)
@pytest.mark.parametrize("noise", [0, 6])
def test_a_batch_found_by_the_device_counter_is_the_batch_of_that_step(dataset: Dataset, noise: int) -> None:
    feed = Feed(dataset, [0, 1, 0], 16, noise, CPU, torch.float32)
    for epoch in (0, 1):
        feed.epoch(epoch)
        assert feed.full == 3
        for step in range(feed.full):
            plain, found = feed.batch(step), feed.at(torch.tensor([step], dtype=torch.int32))
            for a, b in zip(plain, found, strict=True):
                assert (a is None and b is None) or torch.equal(a, b)  # type: ignore[arg-type]


@pytest.mark.parametrize("seeds", [[0], [0, 1], [1, 0, 1]])
@pytest.mark.parametrize(
    "dataset", [images(50, flip=True, pad=1), images(50), tokens(50)], ids=["varied", "plain", "tokens"]
)
def test_batches_that_are_made_together_are_those_made_apart(dataset: Dataset, seeds: list[int]) -> None:
    feed = Feed(dataset, seeds, 3, 6, CPU, torch.float32)
    assert feed.ahead > 1
    feed.ahead = 4  # so that an epoch of 17 batches takes five turns
    for epoch in (0, 1):
        feed.epoch(epoch)
        for step in (*range(feed.full + 1), 2, 9):  # the last of an epoch has fewer examples
            for a, b in zip(feed.batch(step), feed.apart(step), strict=True):
                assert a is not None
                assert b is not None
                assert torch.equal(a, b)
            assert len(feed.batch(step)[0]) == len(seeds)


def test_a_new_epoch_is_drawn_into_the_memory_of_the_last() -> None:
    feed = Feed(images(50, flip=True, pad=1), [0, 1], 16, 4, CPU, torch.float32)
    feed.epoch(0)
    places, order = [t.data_ptr() for t in (feed.order, feed.augmentation, feed.noise)], feed.order.clone()
    feed.epoch(1)
    assert [t.data_ptr() for t in (feed.order, feed.augmentation, feed.noise)] == places
    assert not torch.equal(feed.order, order)
