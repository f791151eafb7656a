"""What is typed is what is run: `keep_as_typed()` mends what Hydra's parser makes of KEY=VALUE on the command line.

It reads `study=1.10` as the number 1.1, and `optimizer=[adam,adamw]` as both choices on top of each other. With this, a
key that takes text gets the text that was typed, and a list of choices is refused. Imports nothing that is slow.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, ValueType

from runner.config.groups import ONE_EACH, TEXT, one_choice
from runner.errors import UserError

CHOSEN = (*ONE_EACH, "experiment", "preset", "cluster")
_honest = OverridesParser.parse_overrides


def keep_as_typed() -> None:
    """Have all of Hydra, its sweepers too, parse overrides this way; a second call changes nothing."""
    OverridesParser.parse_overrides = parse_overrides  # type: ignore[method-assign, assignment]


def parse_overrides(parser: OverridesParser, overrides: list[str]) -> list[Override]:
    """Hydra's own for the words `overrides`, with text kept as typed.

    `parser`: Hydra's, which knows the groups. UserError for a list of choices, and for text that must be quoted.
    """
    try:
        return [_mended(override) for override in _honest(parser, [_home_quoted(word) for word in overrides])]
    except ValueError as error:
        if "integer string conversion" not in str(error):
            raise
        key = next((word.partition("=")[0] for word in overrides if re.search(r"\d{4000}", word)), "a value")
        raise UserError(f"{key}: a number of thousands of digits; text is written in quotes, {key}='\"...\"'") from None


def _home_quoted(word: str) -> str:
    """`results=~/x`, which Hydra cannot read unless it is quoted."""
    match = re.fullmatch(r"(\+{0,2}([\w.]+))=(~[^'\"\\,]*)", word)
    return f"{match[1]}='{match[3]}'" if match and match[2] in TEXT else word


def _mended(override: Override) -> Override:
    key, given = override.key_or_group, override._value
    values = given.list if isinstance(given, ChoiceSweep) else [given]
    group, _, below = key.partition(".")
    if group in ONE_EACH and not override.is_delete() and (below == "name" or (not below and any(map(_name, values)))):
        names = ",".join(str(_name(value) or value) for value in values)
        raise UserError(f"{override.input_line}: would keep the rest of another {group}; {group}={names} chooses it")
    if key in CHOSEN:
        for value in values:
            if isinstance(value, list):
                raise UserError(one_choice(key, [str(_name(one) or one) for one in value]))
    if key not in TEXT or override.is_delete() or not any(map(_is_no_text, values)):
        return override
    head, _, text = (override.input_line or "").partition("=")
    words = [word.strip() for word in (text.split(",") if isinstance(given, ChoiceSweep) else [text])]
    simple = override.value_type in (ValueType.ELEMENT, ValueType.SIMPLE_CHOICE_SWEEP)
    if not simple or len(words) != len(values) or None in values:
        example = "null" if None in values else "1.10"
        raise UserError(
            f"{head}={text}: must be text; a word that looks like {example} is quoted: {head}='\"{example}\"'"
        )
    kept: list[Any] = [word if _is_no_text(value) else value for word, value in zip(words, values, strict=True)]
    return replace(override, _value=replace(given, list=kept) if isinstance(given, ChoiceSweep) else kept[0])


def _name(value: Any) -> Any:
    """The name in a dictionary that is typed in place of one; None where there is none."""
    return next((one for key, one in value.items() if str(key) == "name"), None) if isinstance(value, dict) else None


def _is_no_text(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float)
