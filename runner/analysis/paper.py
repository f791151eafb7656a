"""The paper's own numbers, to lay beside ours: `FIGURE_2[optimizer]` is the one to know.

Source: Loshchilov & Hutter, Decoupled Weight Decay Regularization, ICLR 2019 (arXiv 1711.05101), Figures 1 to 4. The
paper prints no tables of these: the values were read off the published figures. Axis ticks are exact; errors are good
to about 0.05 points where a curve was read and 0.2 where a colour was. All are test errors in percent (top-1 on
CIFAR-10, top-5 on ImageNet32x32) of the last epoch. The paper has no validation split, so its best cells were selected
on test; it does not say how many runs stand behind a cell, so take it for one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

TRAIN_SIZE, EPOCHS, BATCH = 50_000, 100, 128
UPDATES = TRAIN_SIZE * EPOCHS / BATCH  # B * T / b of Figures 1 and 2
PARAMS = 11_653_978  # of 26 2x64d with ten classes
# Parameters of the networks of all figures (26 2x64d and 26 2x96d), and the epochs that the paper gave them.
BUDGETS: Mapping[int, tuple[int, ...]] = {PARAMS: (25, EPOCHS, 400), 26_192_922: (1800,)}
MODEL, DATASET, SCHEDULE = "26 2x64d (shake-shake)", "cifar10", "cosine"
DATASETS = (DATASET, "imagenet32")  # all that its figures are of
OCTAVES = 11  # learning rates on an axis: the unit times 1, 1/2, ..., 1/1024


@dataclass(frozen=True)
class Circles:
    """One map of Figure 2: its ten best cells as (learning rate, weight decay), and the best colour in percent.

    Weight decay is lambda' (added to the gradient) for the L2 twins and lambda (per step, not times the learning
    rate) for the decoupled ones; both have the same axis: 0.001 x {0, 1/32, 1/16, ..., 16}.
    """

    optimizer: str
    lr_unit: float
    cells: tuple[tuple[float, float], ...]
    best_error: float

    @property
    def lrs(self) -> tuple[float, ...]:
        return tuple(self.lr_unit / 2**k for k in range(OCTAVES))

    @property
    def slope(self) -> float:
        """d log2(decay) / d log2(lr) through the circles: the least-squares line through each learning rate's mean.

        Each rate counts once, however many circles it has, and circles without decay have no logarithm. Ten circles
        are the best cells of a map and not a map: they have no noise that would give an interval.
        """
        x, y = np.log2([cell for cell in self.cells if cell[1] > 0]).T
        rates = np.unique(x)
        return float(np.polyfit(rates, [y[x == rate].mean() for rate in rates], 1)[0])


def _circles(optimizer: str, lr_unit: float, best: float, cells: str) -> Circles:
    """`cells` as in the figure: '64:1/32' is lr_unit / 64 and 0.001 / 32."""
    pairs = []
    for cell in cells.split():
        lr, _, wd = cell.partition(":")
        top, _, bottom = wd.partition("/")
        pairs.append((lr_unit / int(lr), 0.001 * int(top) / int(bottom or 1)))
    return Circles(optimizer, lr_unit, tuple(pairs), best)


FIGURE_2: Mapping[str, Circles] = {
    "sgd": _circles("sgd", 1.0, 3.8, "2:1/8 4:1/4 4:1/2 8:1/2 8:1 16:1 16:2 32:1 32:2 64:4"),
    "sgdw": _circles("sgdw", 1.0, 3.8, "2:1/4 8:1/4 8:1/2 16:1/4 16:1/2 16:1 32:1/4 32:1/2 64:1/4 64:1/2"),
    "adam": _circles(
        "adam", 0.1, 4.8, "64:1/32 128:0 128:1/32 128:1/16 128:1/8 256:1/16 256:1/8 256:1/4 256:1/2 512:1"
    ),
    "adamw": _circles("adamw", 0.1, 3.8, "16:1/4 32:1/4 64:1/4 64:1/2 128:1/4 128:1/2 256:1/8 256:1/4 256:1/2 512:1/4"),
}

# Figure 1: the best colour of each map, by optimizer and schedule; 26 2x64d, CIFAR-10, 100 epochs.
FIGURE_1: Mapping[tuple[str, str], float] = {
    ("adam", "constant"): 6.2,
    ("adam", "step"): 5.8,
    ("adam", "cosine"): 4.8,
    ("adamw", "constant"): 6.1,
    ("adamw", "step"): 5.0,
    ("adamw", "cosine"): 3.8,
}

# Figure 4: arm -> epoch -> error. The WR arms at the end of each restart cycle, the others at the end of the run.
FIGURE_4_CIFAR10: Mapping[str, Mapping[int, float]] = {
    "AdamWR": {100: 4.0, 300: 3.4, 700: 3.1, 1500: 3.3},
    "SGDWR": {100: 3.65, 300: 3.15, 700: 2.95, 1500: 2.95},
    "Adam": {1800: 3.55},
    "AdamW": {1800: 3.13},
    "SGDW": {1800: 2.92},
}
RESTARTS_SOONER = 10  # "up to a factor of 10" (section 4.5): restarts of 100 epochs first against runs of 1800


def rescale(updates: float) -> float:
    """What a decoupled lambda of the paper is multiplied by to have the same lambda_norm in `updates` = B * T / b.

    lambda = lambda_norm / sqrt(updates) (the paper's appendix B.1).
    """
    return math.sqrt(UPDATES / updates)
