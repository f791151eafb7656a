"""Modules as a user writes them, for the tests of `model=module`."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Cnn(nn.Module):
    """Convolution, batch normalisation, dropout and a linear layer."""

    def __init__(self, width: int = 4, drop: float = 0.0, colours: int = 3, classes: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2d(colours, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.drop = nn.Dropout(drop) if drop else nn.Identity()
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.conv(x)))
        logits: Tensor = self.head(self.drop(x.mean((2, 3))))
        return logits


class Reader(nn.Module):
    """Tokens to a class for every position, with embeddings, and a table and a norm of its own."""

    def __init__(self, tokens: int = 7, length: int = 6, width: int = 8, classes: int = 7) -> None:
        super().__init__()
        self.tokens = nn.Embedding(tokens, width)
        self.pos_embed = nn.Parameter(0.1 * torch.randn(length, width))
        self.gain = nn.Parameter(torch.ones(width))
        self.norm = nn.LayerNorm(width)
        self.frozen = nn.Parameter(torch.ones(2, 2), requires_grad=False)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.norm(self.tokens(x) + self.pos_embed) * self.gain)
        return logits


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self, size: int = 192, classes: int = 4) -> None:
        super().__init__()
        self.one, self.two, self.head = nn.Linear(size, size), nn.Linear(size, size), nn.Linear(size, classes)
        self.two.weight = self.one.weight

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(torch.relu(self.two(torch.relu(self.one(x.flatten(1))))))
        return logits
