"""Hydra's and omegaconf's complaints in one line: what, where, what would be right."""

from __future__ import annotations

import re

from hydra.errors import OverrideParseException
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from runner.config.keys import near, unknown
from runner.config.settings import AXES, GROUPS

LAUNCHERS = ("joblib", "submitit_local", "submitit_slurm")  # of the extra `cluster`


def one_line(error: BaseException) -> str:
    """The text of a configuration error as a single line, with the nearest valid name where one is close."""
    text = "\n".join(str(e) for e in _chain(error))
    if match := re.search(r"Could not find '([^'/]+)/([^']+)'", text):
        group, choice = match.groups()
        listed_choices = re.search(r"Available options in '[^']*':\n((?:\t.*\n?)+)", text)
        choices = listed_choices.group(1).split() if listed_choices else []
        if (group, choice.partition("/")[0]) == ("hydra", "launcher") and choice.partition("/")[2] in LAUNCHERS:
            return f"hydra/launcher={choice.partition('/')[2]}: not installed; pip install '.[cluster]' brings it"
        return f"{group}={choice}: no such choice; {near(choice, choices)}the choices are {', '.join(choices)}"
    if match := re.search(r"Could not override '([^']+)'", text):
        return unknown(match.group(1))
    if match := re.search(r"Key '([^']+)' is not in struct\s+full_key: (\S+)", text):
        return unknown(match.group(2))
    if match := re.search(r"Ambiguous value for argument '([^=]+)=([^']*)'", text):
        key, values = match.groups()
        listed = f", or write a list: {key}=[{values}]" if key in AXES else ""
        return f"{key}={values}: add -m to sweep over the values{listed}"
    if "Config group override must be" in text:
        return f"a group needs a choice, not null or a number; the groups are {', '.join(GROUPS)}, grid"
    if isinstance(error, OverrideParseException):
        return f"cannot read '{error.override}'; write KEY=VALUE, a list as KEY=[1,2], odd text as 'KEY=\"a, b\"'"
    if isinstance(error, RecursionError):
        return "a configuration file or a value is nested too deeply to be read"
    if isinstance(error, UnicodeDecodeError):
        return f"a configuration file is not UTF-8 text ({error})"
    if "integer string conversion" in text:
        return "a configuration file has a number of thousands of digits, which cannot be read"
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [type(error).__name__]
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]  # the reason stands behind the colon


WD_TYPED = "optimizer.wd holds a value for each convention; write wd=NUMBER"
_WORDS = {"Integer": "a whole number", "Float": "a number", "Boolean": "true or false", "String": "a name"}


def explain(error: OmegaConfBaseException, group: str) -> str:
    """omegaconf's multi-line complaint about a key of `group` as one line."""
    key = f"{group}.{getattr(error, 'full_key', '') or getattr(error, 'key', '')}"
    first = str(error).strip().splitlines()[0]
    if match := re.match(r"Value '(.*)' of type '.*' could not be converted to (\w+)", first):
        return f"{key}={match.group(1)}: must be {_WORDS.get(match.group(2), match.group(2))}"
    if match := re.match(r"Cannot convert '(\w+)' to string: '(.*)'$", first):
        what = "a list" if match.group(1) == "ListConfig" else "keys and values"
        return f"{key}: must be text, not {what}; a word with brackets is quoted: {key}='\"[a]\"'"
    if re.match(r"Incompatible value 'None'|field '\w+' is not Optional", first):
        return f"{key}=null: must have a value; without {key}=... it keeps its default"
    if "is not a ListConfig, list or tuple" in first:
        return f"{key}: must be a list, such as {key}=[0.5]"
    if isinstance(error, ConfigKeyError):
        return f"unknown key '{key}'; --cfg job shows the keys of {group}; another is chosen by {group}=NAME"
    if key == "optimizer.wd":
        return WD_TYPED
    if "is not a valid bool" in first:
        return f"{key}: must be true or false"
    return f"{key}: {first}"


def printable(text: str) -> str:
    """As one line that a terminal shows as it is: control characters, which may have been typed, as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _chain(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = [error]
    while (inner := chain[-1].__cause__) is not None and inner not in chain:
        chain.append(inner)
    return chain
