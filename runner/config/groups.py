"""The config groups, and which keys take text or lists: `check_choices` and `check_text` refuse what does not fit.

Imports nothing that is slow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from runner.config.settings import AXES, GROUPS, RunSettings, Settings
from runner.errors import UserError


def text_fields(kind: type) -> list[str]:
    """The fields of a dataclass that hold text."""
    return [f.name for f in fields(kind) if f.type == "str"]


ONE_EACH = (*GROUPS, "grid")  # groups of which there is always one choice
# The keys that take text: those of the top level, and the text fields of the groups' dataclasses.
TEXT = frozenset(
    text_fields(Settings)
    + text_fields(RunSettings)
    + [f"{name}.{key}" for name, kinds in GROUPS.items() for kind in kinds.values() for key in text_fields(kind)]
)


def check_choices(choices: Mapping[str, Any]) -> None:
    """UserError where a configuration file chooses several of a group (`hydra.runtime.choices` has none then)."""
    for name in ONE_EACH:
        if name not in choices:
            raise UserError(one_choice(name, []))


def one_choice(group: str, words: Sequence[str]) -> str:
    """That a list of choices is refused, and what would be right."""
    if not words:
        return f"{group}: takes one choice, not none or a list; -m {group}=ONE,ANOTHER trains each"
    typed = ",".join(words)
    sweep = f"-m {group}={typed}" if group in ONE_EACH else f"-m +{group}={typed}"  # none is chosen by default
    return f"{group}=[{typed}]: takes one choice, lists are for {', '.join(AXES)}; {sweep} trains each"


def check_text(cfg: DictConfig) -> None:
    """UserError for a number of a YAML file in place of text: 1.10 would be read as 1.1, and 0x10 as 16."""
    for key in sorted(TEXT):
        value = OmegaConf.select(cfg, key)
        if value is not None and not isinstance(value, str | DictConfig | ListConfig):
            raise UserError(
                f"{key}={value}: must be text; in a YAML file it is quoted, {key.rpartition('.')[2]}: '...'"
            )
