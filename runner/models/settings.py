"""What can be set about a model, one frozen dataclass per kind; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from runner.data.code_place import PLACE, WORDS, source_hash
from runner.errors import UserError
from runner.fields import MADE, check, one_of, right, whole

NORMS = ("batch", "none")


@dataclass(frozen=True)
class ModelSettings:
    """Common to all models; a kind of model adds its own fields."""

    name: str

    def __post_init__(self) -> None:
        check(self, "model")

    @property
    def title(self) -> str:
        """What tables call the network."""
        return self.name


def _depth(examples: str) -> dict[str, object]:
    """Metadata of a depth of three stages of n blocks: 6n+2, at least 8."""
    return right(lambda depth: 8 <= depth <= 1202 and not (depth - 2) % 6, f"6n+2{examples}")


@dataclass(frozen=True)
class ResNetSettings(ModelSettings):
    """CIFAR-style ResNet (He et al. 2016): depth 6n+2, three stages of `width`, 2 and 4 times `width` channels.

    `norm=none` has a bias for each channel in place of batch normalisation.
    """

    depth: int = field(default=8, metadata=_depth(": 8, 14, 20, 26, 32, ..."))
    width: int = field(default=8, metadata=whole(1, 1024))
    norm: str = field(default="batch", metadata=one_of(NORMS))


@dataclass(frozen=True)
class ShakeShakeSettings(ModelSettings):
    """The paper's 26 2 x `width`d network (Gastaldi 2017); `shake=false` uses 0.5 for every branch."""

    depth: int = field(default=26, metadata=_depth("; the paper uses 26"))
    width: int = field(default=64, metadata=whole(2, 1024))
    shake: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % 2:
            raise UserError(f"model.width={self.width}: must be even (its shortcut joins two halves)")


@dataclass(frozen=True)
class TransformerSettings(ModelSettings):
    """Pre-norm Transformer: `layers` blocks of width `dim`; images are cut into `patch` x `patch` squares."""

    layers: int = field(default=2, metadata=whole(1, 128))
    dim: int = field(default=128, metadata=whole(1, 16384))
    heads: int = field(default=4, metadata=whole(1, 256))
    mlp: int = field(default=4, metadata=whole(1, 16))
    patch: int = field(default=4, metadata=whole(1, 64))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dim % self.heads:
            raise UserError(f"model.heads={self.heads}: must divide model.dim={self.dim}")


@dataclass(frozen=True)
class ModuleSettings(ModelSettings):
    """Any torch.nn.Module: `make`, "package.module:name", is called with `args`; `source` is the hash of its file.

    The hash is no key of the command line. A row has it, and a trial whose file was changed is another trial.
    """

    make: str = field(default="", metadata=right(PLACE.fullmatch, WORDS))
    args: dict[str, Any] | None = field(default=None, hash=False)
    source: str = field(default="", metadata=MADE)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "args", self.args or {})  # null in YAML, for Hydra adds no keys to a mapping
        if not self.source:
            object.__setattr__(self, "source", source_hash(self.make))

    @property
    def title(self) -> str:
        return self.make.partition(":")[2]


MODELS: dict[str, type[ModelSettings]] = {
    "resnet": ResNetSettings,
    "shakeshake": ShakeShakeSettings,
    "transformer": TransformerSettings,
    "module": ModuleSettings,
}
