"""Batches for a stack: data resident on the device, order and augmentation drawn once per epoch and seed.

`Feed(dataset, seeds, ...)`, then `epoch(n)` and for each step `batch(step)`. Trials with one seed see the same batches,
whatever their optimizer: comparisons are paired. In the shapes R counts trials, S distinct seeds, N examples, and B the
examples of a batch.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from runner.data.dataset import Dataset, Split

# Bytes of float32 images that are made together on the CPU: for small batches a call takes longer than the arithmetic,
# so several batches are made by one call.
AHEAD = 2**18

Batch = tuple[Tensor, Tensor, Tensor | None]  # x [R, B, ...], y [R, B] or [R, B, T], noise [R, B, width]


def generator(seed: int, purpose: str, epoch: int = 0) -> torch.Generator:
    """A fresh CPU generator of random numbers that are a pure function of seed, purpose and epoch.

    So there is no state to save, and nothing depends on the other trials of a stack, the machine or the device.
    """
    digest = hashlib.sha256(f"{seed}/{purpose}/{epoch}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


@dataclass(frozen=True)
class Resident:
    """A split on the device, in the types that it came in; bytes become int64 batch by batch, when they are used."""

    x: Tensor
    y: Tensor

    @staticmethod
    def of(split: Split, device: torch.device) -> Resident:
        """The `split` on `device`; on the CPU it shares memory with the arrays."""
        return Resident(torch.from_numpy(split.x).to(device), torch.from_numpy(split.y).to(device))


class Images:
    """Standardises uint8 images and, in training, flips and shifts them.

    `dataset` says mean, deviation and what is varied; `dtype` is that of the standardised images, which lie on
    `device`.
    """

    def __init__(self, dataset: Dataset, device: torch.device, dtype: torch.dtype) -> None:
        # Repeated over a whole image, [H * W * C]: broadcasting over the channels of each pixel would loop over as many
        # elements as there are channels, too few to be fast.
        pixels = dataset.train.x.shape[1] * dataset.train.x.shape[2]
        self.mean = torch.tensor(dataset.mean, device=device, dtype=dtype).repeat(pixels)
        self.scale = (1 / torch.tensor(dataset.std, device=device, dtype=dtype)).repeat(pixels)
        self.flip, self.pad = dataset.flip, dataset.pad

    @property
    def varied(self) -> bool:
        """Whether training images are augmented."""
        return self.flip or self.pad > 0

    def plain(self, x: Tensor) -> Tensor:
        """Images x, uint8 [..., H, W, C], to standardised [..., C, H, W]."""
        flat = x.flatten(-3).to(self.mean.dtype)
        return flat.sub_(self.mean).mul_(self.scale).view(x.shape).movedim(-1, -3)

    def draw(self, count: int, seed: int, epoch: int) -> Tensor:
        """Flip (0 or 1) and the top left corner of the crop for `count` examples: int64 [count, 3].

        They are a function of `seed` and `epoch` (from 0) alone.
        """
        g = generator(seed, "augment", epoch)
        flip = torch.randint(2, (count, 1), generator=g) * int(self.flip)
        return torch.cat([flip, torch.randint(2 * self.pad + 1, (count, 2), generator=g)], 1)

    def augmented(self, data: Tensor, index: Tensor, augmentation: Tensor) -> Tensor:
        """Images of `data` uint8 [N, H, W, C], mirrored and cropped: [S, B, C, H, W].

        `index`: int64 [S, B], which ones; `augmentation`: int64 [S, B, 3], as `draw` gives it. The border is 0 after
        standardisation, which is the mean colour, as in the paper's code.
        """
        if not self.varied:
            return self.plain(data.index_select(0, index.flatten()).unflatten(0, index.shape))
        height, width = data.shape[1:3]
        flip, top, left = augmentation.unbind(-1)
        # Each pixel of the result by the coordinates of its source. Outside of the image any pixel is picked and then
        # multiplied by 0.
        row = top[..., None] + torch.arange(height, device=data.device) - self.pad  # [S, B, H]
        column = left[..., None] + torch.arange(width, device=data.device) - self.pad
        inside = ((row >= 0) & (row < height))[..., :, None] & ((column >= 0) & (column < width))[..., None, :]
        column = torch.where(flip[..., None] == 1, width - 1 - column, column)
        row, column = row.clamp(0, height - 1), column.clamp(0, width - 1)
        picked = data[index[..., None, None], row[..., :, None], column[..., None, :]]
        return self.plain(picked) * inside[:, :, None].to(self.mean.dtype)


class Feed:
    """Training batches of a stack.

    Args:
        dataset: of which `train` is fed.
        seeds: of the trials, R of them; trials of one seed get the same batches.
        batch_size: B; the last batch of an epoch may be smaller.
        noise_width: how many random numbers in [0, 1) a model takes for each example; 0: none.
        device: where the batches lie.
        dtype: of images and noise.
    """

    def __init__(
        self,
        dataset: Dataset,
        seeds: list[int],
        batch_size: int,
        noise_width: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.train = Resident.of(dataset.train, device)
        self.images = Images(dataset, device, dtype) if dataset.kind == "images" else None
        self.distinct = sorted(set(seeds))
        indices = [self.distinct.index(seed) for seed in seeds]
        self.seed_index = torch.tensor(indices, device=device)  # [R]: the seed of each trial
        # Every trial has a seed of its own, in order: the batches of seeds are those of trials, without a copy.
        self.paired = indices == list(range(len(self.distinct)))
        self.count, self.batch_size, self.noise_width = len(dataset.train), batch_size, noise_width
        self.full = self.count // batch_size  # batches with no example missing
        self.device, self.dtype = device, dtype
        size = 4 * max(1, len(self.distinct) * batch_size * dataset.train.x[0].size)
        self.ahead = max(1, AHEAD // size) if device.type == "cpu" else 1
        self.made: tuple[int, Batch] | None = None  # `ahead` batches for each seed, and the step of the first
        # The numbers of an epoch: int64 [S, N], int64 [S, N, 3] and float32 [S, N, noise_width]. They stay in the same
        # memory from epoch to epoch, where a recorded step finds them.
        self.order, self.augmentation, self.noise = (torch.empty(0, device=device) for _ in range(3))

    def epoch(self, epoch: int) -> None:
        """Draw the order, the augmentation and the noise of `epoch` (from 0) for every distinct seed."""
        orders, augmentations, noises = [], [], []
        for seed in self.distinct:
            orders.append(torch.randperm(self.count, generator=generator(seed, "order", epoch)))
            if self.images is not None and self.images.varied:
                augmentations.append(self.images.draw(self.count, seed, epoch))
            if self.noise_width:
                noises.append(torch.rand(self.count, self.noise_width, generator=generator(seed, "noise", epoch)))
        self.made = None
        self.order = self._put(self.order, orders)
        self.augmentation = self._put(self.augmentation, augmentations)
        self.noise = self._put(self.noise, noises)

    def batch(self, step: int) -> Batch:
        """The batch of step `step` of the epoch (from 0)."""
        if self.ahead == 1:
            return self.apart(step)
        first = step - step % self.ahead
        if self.made is None or self.made[0] != first:
            self.made = first, self._of_seeds(*self._drawn(first, self.ahead))
        start = (step - first) * self.batch_size
        part = slice(start, start + self.batch_size)
        x, y, noise = self.made[1]
        return self._of_trials(x[:, part], y[:, part], None if noise is None else noise[:, part])

    def apart(self, step: int) -> Batch:
        """`batch` by itself, from the numbers of the epoch: a recorded step makes it anew at every replay."""
        return self._of_trials(*self._of_seeds(*self._drawn(step, 1)))

    def at(self, clock: Tensor) -> Batch:
        """`batch` of the step that `clock`, int [1] on the device, says; that step must have a full batch."""
        whole = self.full * self.batch_size
        numbers = (
            drawn[:, :whole].unflatten(1, (self.full, self.batch_size)).index_select(1, clock).squeeze(1)
            if len(drawn)
            else drawn
            for drawn in (self.order, self.augmentation, self.noise)
        )
        return self._of_trials(*self._of_seeds(*numbers))

    def _drawn(self, step: int, count: int) -> list[Tensor]:
        """Order, augmentation and noise of `count` steps from `step` on."""
        part = slice(step * self.batch_size, (step + count) * self.batch_size)
        return [drawn[:, part] for drawn in (self.order, self.augmentation, self.noise)]

    def _of_seeds(self, index: Tensor, augmentation: Tensor, noise: Tensor) -> Batch:
        """The batch of each seed, S in the place of R, from its numbers."""
        if self.images is not None:
            x = self.images.augmented(self.train.x, index, augmentation)
        else:
            x = self.train.x[index]
            x = x.to(self.dtype) if x.is_floating_point() else x.long()
        return x, self.train.y[index].long(), noise.to(self.dtype) if self.noise_width else None

    def _of_trials(self, x: Tensor, y: Tensor, noise: Tensor | None) -> Batch:
        """The batch of each trial from that of each seed."""
        if self.paired:
            return x, y, noise
        trials = self.seed_index
        return x[trials], y[trials], None if noise is None else noise[trials]

    def _put(self, held: Tensor, drawn: list[Tensor]) -> Tensor:
        """The numbers of all seeds on the device, copied into `held` once it has their shape; empty without numbers."""
        if not drawn:
            return held.view(0, 0)
        numbers = torch.stack(drawn)
        return held.copy_(numbers) if held.shape == numbers.shape else numbers.to(self.device)
