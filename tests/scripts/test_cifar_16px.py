"""The photographs for a CPU are CIFAR-10's own: the first of each class, every pixel the mean of four."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path
from typing import IO

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from scripts import cifar_16px


def test_every_pixel_is_the_mean_of_four() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    pooled = F.avg_pool2d(torch.from_numpy(images).double().movedim(-1, 1), 2).round().movedim(1, -1)
    assert np.array_equal(cifar_16px.halved(images), pooled.numpy().astype(np.uint8))


def test_the_first_of_each_class_are_kept_in_their_order() -> None:
    assert cifar_16px.first(np.array([1, 0, 1, 1, 0, 0]), 2).tolist() == [0, 1, 2, 4]


def test_other_arrays_are_refused_in_one_line(tmp_path: Path) -> None:
    few, labels = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), np.uint8), np.arange(40) % 10
    np.savez(tmp_path / "few.npz", x_train=few, y_train=labels, x_test=few, y_test=labels)
    command = [sys.executable, cifar_16px.__file__, "out.npz", "--npz", "few.npz"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "at least 1250 of each class" in done.stderr
    assert not (tmp_path / "out.npz").exists()


def test_what_stops_halfway_leaves_the_file_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few, labels = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), np.uint8), np.arange(40) % 10
    np.savez(tmp_path / "few.npz", x_train=few, y_train=labels, x_test=few, y_test=labels)
    out = tmp_path / "out.npz"
    monkeypatch.setattr(cifar_16px, "PER_CLASS", 4)
    monkeypatch.setattr(sys, "argv", ["cifar_16px", str(out), "--npz", str(tmp_path / "few.npz")])
    cifar_16px.main()
    before = out.read_bytes()

    def half(file: IO[bytes], **arrays: np.ndarray) -> None:
        file.write(before[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", half)
    with pytest.raises(SystemExit, match="No space left"):
        cifar_16px.main()
    assert out.read_bytes() == before
