"""The data of a job of `python scripts/bench peer`: DataLoaders as one would type them, or all of it on the device.

Each is made once in a process.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from runner.data.torchvision_import import torchvision_datasets
from scripts.bench.common import Row

EVALUATED = {"cpu": 500, "cuda": 2000}  # examples at a time
SPLITS = ("train", "val", "test")
Batch = tuple[Tensor, Tensor]


@lru_cache
def read(job: Path) -> Row:
    """What the file `job` says, as `Case.job` of `scripts.bench.cases` writes it."""
    return torch.load(job, map_location="cpu", weights_only=False)


class Pictures(Dataset):
    """uint8 images, each through `transform` when it is asked for."""

    def __init__(self, x: np.ndarray, y: np.ndarray, transform: Any) -> None:
        self.x, self.y, self.transform = x, y, transform

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.x[i].squeeze())), int(self.y[i])


@lru_cache
def tensors(job: Path) -> dict[str, Batch]:
    """Every split of the file `job`, standardised: images float32 [N, C, H, W] or tokens int64 [N, T]; labels int64."""
    about, splits = read(job), {}
    for name, (x, y) in about["splits"].items():
        x = torch.from_numpy(x)
        if about["mean"]:
            x = ((x - torch.tensor(about["mean"])) / torch.tensor(about["std"])).permute(0, 3, 1, 2).contiguous()
        splits[name] = x, torch.from_numpy(y)
    return splits


@lru_cache
def loaders(job: Path, workers: int) -> dict[str, DataLoader]:
    """Loaders of every split of the file `job` in order, and "learn", shuffled and augmented by `workers` processes."""
    about = read(job)
    loaded = {split: DataLoader(TensorDataset(*tensors(job)[split]), EVALUATED["cpu"]) for split in SPLITS}
    training: Dataset = TensorDataset(*tensors(job)["train"])
    how: dict[str, Any] = {"pin_memory": about["device"] != "cpu"}
    if about["flip"] or about["pad"]:
        torchvision_datasets()  # which loads beside a torch of another build too
        from torchvision import transforms

        mean, std = about["mean"], about["std"]
        steps = [
            transforms.RandomCrop(about["shape"].example[1:], about["pad"], fill=tuple(round(m) for m in mean)),
            transforms.RandomHorizontalFlip(0.5 if about["flip"] else 0),
            transforms.ToTensor(),
            transforms.Normalize([m / 255 for m in mean], [s / 255 for s in std]),
        ]
        x, y = about["splits"]["train"]
        training = Pictures(x, y, transforms.Compose(steps))
        how |= {"num_workers": workers, "persistent_workers": workers > 0}
    return loaded | {"learn": DataLoader(training, about["batch_size"], shuffle=True, **how)}


class Resident:
    """The splits of the file `job` on its device; training batches cut out of images with a border, and mirrored."""

    def __init__(self, job: Path) -> None:
        about = read(job)
        self.device, self.flip, self.pad = torch.device(about["device"]), about["flip"], about["pad"]
        self.data = {split: (x.to(self.device), y.to(self.device)) for split, (x, y) in tensors(job).items()}
        self.images = bool(about["mean"])
        if self.images:
            self.data = {k: (x.contiguous(memory_format=torch.channels_last), y) for k, (x, y) in self.data.items()}
        self.x, self.y = self.data["train"]
        if self.pad:
            height, width = self.x.shape[2:]
            self.windows = F.pad(self.x, (self.pad,) * 4).unfold(2, height, 1).unfold(3, width, 1)

    def batch(self, index: Tensor) -> Batch:
        """The training examples at `index` int64 [B], each varied anew: x [B, ...] and y [B]."""
        if self.pad:
            top, left = torch.randint(2 * self.pad + 1, (2, len(index)), device=self.device)
            x = self.windows[index, :, top, left]
        else:
            x = self.x[index]
        if self.flip:
            mirrored = torch.rand(len(index), 1, 1, 1, device=self.device) < 0.5
            x = torch.where(mirrored, x.flip(3), x)
        return x.contiguous(memory_format=torch.channels_last) if self.images else x, self.y[index]

    def batches(self, split: str) -> Iterable[Batch]:
        """Every example of a `split`, plain and in order."""
        x, y = self.data[split]
        return zip(x.split(size := EVALUATED[self.device.type]), y.split(size), strict=True)


resident = lru_cache(Resident)
