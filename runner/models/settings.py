"""What can be set about a model, one frozen dataclass per kind; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass

from runner.errors import UserError

NORMS = ("batch", "none")


@dataclass(frozen=True)
class ModelSettings:
    name: str


def _at_least(key: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise UserError(f"model.{key}={value}: must be a whole number from {low} to {high}")


@dataclass(frozen=True)
class ResNetSettings(ModelSettings):
    """CIFAR-style ResNet (He et al. 2016): depth 6n+2, three stages of `width`, 2 and 4 times `width` channels.

    `norm=none` has a bias for each channel in place of batch normalisation.
    """

    depth: int = 8
    width: int = 8
    norm: str = "batch"

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise UserError(f"model.norm={self.norm}: must be one of {', '.join(NORMS)}")
        _at_least("width", self.width, 1, 1024)
        if not 8 <= self.depth <= 1202 or (self.depth - 2) % 6:
            raise UserError(f"model.depth={self.depth}: must be 6n+2: 8, 14, 20, 26, 32, ...")


@dataclass(frozen=True)
class ShakeShakeSettings(ModelSettings):
    """The paper's 26 2 x `width`d network (Gastaldi 2017); `shake=false` uses 0.5 for every branch."""

    depth: int = 26
    width: int = 64
    shake: bool = True

    def __post_init__(self) -> None:
        _at_least("width", self.width, 2, 1024)
        if self.width % 2:
            raise UserError(f"model.width={self.width}: must be even (its shortcut joins two halves)")
        if not 8 <= self.depth <= 1202 or (self.depth - 2) % 6:
            raise UserError(f"model.depth={self.depth}: must be 6n+2; the paper uses 26")


@dataclass(frozen=True)
class TransformerSettings(ModelSettings):
    """Pre-norm Transformer: `layers` blocks of width `dim`; images are cut into `patch` x `patch` squares."""

    layers: int = 2
    dim: int = 128
    heads: int = 4
    mlp: int = 4
    patch: int = 4

    def __post_init__(self) -> None:
        _at_least("layers", self.layers, 1, 128)
        _at_least("dim", self.dim, 1, 16384)
        _at_least("heads", self.heads, 1, 256)
        _at_least("mlp", self.mlp, 1, 16)
        _at_least("patch", self.patch, 1, 64)
        if self.dim % self.heads:
            raise UserError(f"model.heads={self.heads}: must divide model.dim={self.dim}")


MODELS: dict[str, type[ModelSettings]] = {
    "resnet": ResNetSettings,
    "shakeshake": ShakeShakeSettings,
    "transformer": TransformerSettings,
}
