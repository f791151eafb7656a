"""The small CIFAR-style ResNet of He et al. 2016 (section 4.2): three stages, 6n+2 layers, for any image size.

Differences from the paper's: the width is free, and shortcuts that change shape are 1x1 convolutions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor, nn

from runner.models import layers
from runner.models.settings import ResNetSettings

Norm = Callable[[int, int], layers.Layer]
_NORMS: dict[str, Norm] = {"batch": layers.BatchNorm2d, "none": layers.Bias2d}


def stages(depth: int, width: int, inputs: int) -> Iterator[tuple[int, int, int]]:
    """The channels in, the channels out and the stride of each block of a network for images: three stages of n blocks.

    The first block of the second and of the third stage halves height and width, and doubles the channels.

    Args:
        depth: 6n + 2.
        width: channels of the first stage.
        inputs: channels that the first block gets.
    """
    for stage in range(3):
        for index in range((depth - 2) // 6):
            outputs = width * 2**stage
            yield inputs, outputs, 2 if stage > 0 and index == 0 else 1
            inputs = outputs


class Block(nn.Module):
    """Two convolutions beside a shortcut: `inputs` channels a trial to `outputs`, 1 / `stride` the size."""

    def __init__(self, trials: int, inputs: int, outputs: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = layers.Conv2d(trials, inputs, outputs, 3, stride)
        self.norm1 = norm(trials, outputs)
        self.conv2 = layers.Conv2d(trials, outputs, outputs, 3)
        self.norm2 = norm(trials, outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(layers.Conv2d(trials, inputs, outputs, 1, stride), norm(trials, outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(self.conv1(x)).relu_()  # a norm's backward pass has no need of its output
        return self.norm2(self.conv2(y)).add_(self.shortcut(x)).relu_()


class ResNet(nn.Module):
    """Images [R, B, C, H, W] to logits [R, B, classes], R = `trials` and C = `channels`; `settings` have the sizes."""

    noise_width = 0

    def __init__(self, settings: ResNetSettings, trials: int, channels: int, classes: int) -> None:
        super().__init__()
        width = settings.width
        self.stem = layers.Conv2d(trials, channels, width, 3)
        norm = _NORMS[settings.norm]
        self.norm = norm(trials, width)
        blocks = stages(settings.depth, width, width)
        self.blocks = nn.Sequential(*(Block(trials, *block, norm) for block in blocks))
        self.pool = layers.Pool(trials)
        self.head = layers.Linear(trials, 4 * width, classes)

    def forward(self, images: Tensor, noise: Tensor | None = None) -> Tensor:
        x = self.norm(self.stem(layers.pack(images))).relu_()
        return self.head(self.pool(self.blocks(x)))
