#!/usr/bin/env python3
"""CIFAR-10 for a CPU: `python scripts/cifar_16px.py OUT.npz` writes 12,500 + 10,000 of its images at 16x16 pixels.

The first 1,250 training images of every class, in file order, and all test images; each pixel is the mean of four.
CIFAR-10 itself is downloaded (or found in --root), or comes from --npz FILE with x_train, y_train, x_test, y_test.
What is written is for `python -m runner +experiment=cifar_16px dataset.path=OUT.npz`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from runner.data.load import load
from runner.data.settings import FileSettings, TorchvisionSettings
from runner.errors import UserError
from runner.system.files import replacing

PER_CLASS = 1250


def first(labels: np.ndarray, count: int) -> np.ndarray:
    """Where the first `count` examples of each class are, in their order."""
    return np.sort(np.concatenate([np.flatnonzero(labels == label)[:count] for label in np.unique(labels)]))


def halved(images: np.ndarray) -> np.ndarray:
    """uint8 [N, H, W, C] as uint8 [N, H/2, W/2, C]: the mean of each 2x2 pixels, rounded to even."""
    n, height, width, channels = images.shape
    return images.reshape(n, height // 2, 2, width // 2, 2, channels).mean((2, 4)).round().astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT.npz")
    parser.add_argument("--npz", default="", metavar="FILE", help="CIFAR-10 as arrays, 50,000 and 10,000 images")
    parser.add_argument("--root", default="data", help="where torchvision keeps, or puts, CIFAR-10")
    given = parser.parse_args()
    settings = (
        FileSettings("npz", validation=0.0, path=given.npz)
        if given.npz
        else TorchvisionSettings("cifar10", validation=0.0, root=given.root)
    )
    try:
        whole = load(settings)
        if whole.train.x.shape[1:] != (32, 32, 3) or np.bincount(whole.train.y).min() < PER_CLASS:
            raise UserError(f"{given.npz}: CIFAR-10 has images of 32x32x3, and at least {PER_CLASS} of each class")
        keep = first(whole.train.y, PER_CLASS)
        given.out.parent.mkdir(parents=True, exist_ok=True)
        with replacing(given.out) as draft, draft.open("wb") as file:
            np.savez_compressed(
                file,
                x_train=halved(whole.train.x[keep]),
                y_train=whole.train.y[keep],
                x_test=halved(whole.test.x),
                y_test=whole.test.y,
            )
    except (UserError, OSError) as error:
        sys.exit(f"cifar_16px: {error}")
    print(f"{given.out}: {len(keep)} training and {len(whole.test)} test images of 16x16 pixels")


if __name__ == "__main__":
    main()
