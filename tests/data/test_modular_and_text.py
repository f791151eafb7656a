"""Generated and text datasets: every target is the one that plain Python gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from runner.data.load import load
from runner.data.settings import ModularSettings, TextSettings

PLAIN: dict[str, Callable[[int, int, int], int]] = {
    "add": lambda a, b, p: (a + b) % p,
    "sub": lambda a, b, p: (a - b) % p,
    "mul": lambda a, b, p: (a * b) % p,
    "div": lambda a, b, p: next(c for c in range(p) if c * b % p == a),
}


@pytest.mark.parametrize("operation", PLAIN)
@pytest.mark.parametrize("p", [11, 23])
def test_modular_targets_are_exact(operation: str, p: int) -> None:
    data = load(ModularSettings("modular", operation=operation, p=p))
    pairs = []
    for split in (data.train, data.val, data.test):
        for (a, op, b, equals), y in zip(split.x.tolist(), split.y.tolist(), strict=True):
            assert (op, equals) == (p, p + 1)
            assert y == PLAIN[operation](a, b, p)
            pairs.append((a, b))
    assert sorted(pairs) == [(a, b) for a in range(p) for b in range(operation == "div", p)]
    assert (data.classes, data.vocabulary, data.kind) == (p, p + 2, "tokens")


@pytest.mark.parametrize(
    ("fraction", "validation", "sizes"),
    [(0.5, 0.5, (4704, 2352, 2353)), (0.3, 0.5, (2823, 3293, 3293)), (0.5, 0, (4704, 0, 4705))],
)
def test_modular_fractions_are_of_all_pairs_and_of_the_rest(
    fraction: float, validation: float, sizes: tuple[int, ...]
) -> None:
    data = load(ModularSettings("modular", fraction=fraction, validation=validation))
    assert (len(data.train), len(data.val), len(data.test)) == sizes


def test_text_targets_are_the_next_byte(tmp_path: Path) -> None:
    text = "".join(f"{n} häuser, " for n in range(500)).encode()
    path = tmp_path / "book.txt"
    path.write_bytes(text)
    data = load(TextSettings("text", path=str(path), context=16))
    assert (data.classes, data.vocabulary) == (256, 256)
    end = 0
    for split in (data.train, data.val, data.test):
        assert split.x.shape == split.y.shape == (len(split), 16)
        for x, y in zip(split.x, split.y, strict=True):
            start = text.index(bytes(x.tolist()) + bytes([y[-1]]), end)
            assert bytes(y.tolist()) == text[start + 1 : start + 17]
            end = start + 16  # windows follow one another in file order and do not overlap


def test_text_splits_are_contiguous_and_of_the_size_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "book.bin"
    path.write_bytes(bytes(n // 40 for n in range(10000)))
    data = load(TextSettings("text", path=str(path), context=10, validation=0.2, test=0.25))
    assert (len(data.train), len(data.val), len(data.test)) == (599, 149, 249)
    assert data.train.y.max() <= data.val.x.min() <= data.val.y.max() <= data.test.x.min()


def test_text_without_validation_trains_up_to_the_test_set(tmp_path: Path) -> None:
    path = tmp_path / "book.txt"
    path.write_bytes(b"0123456789" * 100)
    data = load(TextSettings("text", path=str(path), context=9, validation=0))
    assert (len(data.train), len(data.val), len(data.test)) == (99, 0, 11)
    assert np.shares_memory(data.train.x, data.train.y) is False
