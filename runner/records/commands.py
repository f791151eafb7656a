"""study.yaml: which commands made a study, with their resolved settings.

`note_command(...)` adds one, `noted(folder)` reads them; `without_effect(folder, run)` says what is named too late.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, fields
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from runner.config.settings import RunSettings, Settings
from runner.records.packed import present
from runner.system.files import append, set_aside

HELD = ("prior_g", "alpha", "equal_within", "primary")  # what a study's first command lays down once and for all
LAID_DOWN = (*HELD, "reference")  # a report may show the arms beside another, which is then not what the study asks
ASSUMED = {key: getattr(RunSettings, key) for key in LAID_DOWN}  # of a study whose first command is not known
EARLIER = "earlier"  # the key of an entry that says that there were rows before it, and no command
_READ = {f.name: f for f in fields(RunSettings) if f.name in (*LAID_DOWN, "replicates", "final_seeds", "refine")}
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the slow one takes half a second for a list of many seeds


def note_command(
    folder: Path, group: Sequence[Settings], code: Mapping[str, str], lock: AbstractContextManager[None]
) -> None:
    """Add this command and its settings to study.yaml, unless they are there: a grid's file may have been changed.

    `code`: the version and commit that run, as entries of their own.
    """
    command = shlex.join(["python", "-m", "runner", *sys.argv[1:]])
    path = folder / "study.yaml"
    settings = [_plain(s) for s in group]
    # What an entry ends with tells that it is whole, for a part of a file that was cut may be YAML too.
    started = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    entry = {"command": command, "started": started, "settings": settings, **code}
    with lock:
        there = path.read_bytes() if path.exists() else b""
        known = _known(path, there)
        if any(isinstance(e, dict) and (e.get("command"), e.get("settings")) == (command, settings) for e in known):
            return
        lead = b"\n" if known and not there.endswith(b"\n") else b""
        if known and not _known(path, there + lead + _text(entry)):
            known, lead = [], b""
        if not known and present(folder / "trials.csv"):
            entry = {EARLIER: "rows without a command", **entry}
        append(path, lead + _text(entry))


def _known(path: Path, content: bytes) -> list[Any]:
    """The entries of a file that has, or would have, this content; where they cannot be read it is set aside: none."""
    try:
        return _parsed(content.decode("utf-8"))
    except Exception:  # YAML raises many kinds, such as ValueError for a 13th month; the file is at fault in all
        old = set_aside(path)
        print(f"note: {path} cannot be read; it is now {old.name}, and a new one begins here", flush=True)
        return []


def _text(entry: Mapping[str, object]) -> bytes:
    return ("---\n" + yaml.safe_dump(entry, sort_keys=False, width=110)).encode()


def _plain(settings: Settings) -> dict[str, object]:
    """Settings as YAML can hold them: tuples as lists."""

    def plain(value: object) -> object:
        if isinstance(value, dict):
            return {key: plain(v) for key, v in value.items()}
        return [plain(v) for v in value] if isinstance(value, tuple | list) else value

    values = asdict(settings)
    values |= values.pop("run")  # keys of the top level too
    return {key: plain(value) for key, value in values.items()}


@lru_cache(maxsize=1)  # a command reads it more than once, and a list of 20,000 seeds takes a tenth of a second
def _parsed(text: str) -> list[Any]:
    """The entries of a study.yaml. The list is shared by all callers, who must not change it.

    Raises many kinds of errors, also for an entry that holds itself, in which others would walk without end.
    """
    found = list(yaml.load_all(text, _LOADER))
    json.dumps(found, default=str, skipkeys=True)
    return found


def entries(folder: Path) -> list[Any]:
    """What study.yaml has of each command, in their order; [] where there is none that can be read."""
    try:
        return list(_parsed((folder / "study.yaml").read_text(encoding="utf-8")))
    # All that parsing an edited file can raise: a 13th month, a bad tag, brackets without end.
    except (OSError, yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError, RecursionError):
        return []


class Noted(NamedTuple):
    """What study.yaml has of a study's commands.

    `settings`: of each command's configurations, oldest first, without values that cannot be right. `flaws`: why they
    are not all that was laid down, in words; none where they are.
    """

    settings: list[list[dict[str, Any]]]
    flaws: tuple[str, ...]


def noted(folder: Path) -> Noted:
    """The commands of a study; of what was lost or edited beyond recognition it is said that it is not known."""
    found = entries(folder)
    if not found:
        lost = "study.yaml cannot be read" if (folder / "study.yaml").exists() else "there is no study.yaml"
        return Noted([], (lost,))
    settings: list[list[dict[str, Any]]] = []
    flaws: dict[str, None] = {}
    for entry in found:
        own = entry.get("settings") if isinstance(entry, dict) else None
        dicts = [one for one in own if isinstance(one, dict)] if isinstance(own, list) else []
        if not dicts or dicts != own:
            flaws["an entry of study.yaml has no settings"] = None
        elif entry.get(EARLIER):
            flaws["its rows are older than the first command in study.yaml"] = None
        elif ("command" in entry and "commit" not in entry) or any(one.keys() != dicts[0].keys() for one in dicts):
            flaws["an entry of study.yaml is cut off"] = None
        wrong = [(key, one[key]) for one in dicts for key in _READ if key in one and not _is_right(key, one[key])]
        flaws |= {f"study.yaml has {key}={str(value)[:30]}": None for key, value in wrong}
        right = [{key: one[key] for key in one if key not in _READ or _is_right(key, one[key])} for one in dicts]
        if isinstance(entry, dict) and entry.get(EARLIER):  # whoever gave it could have seen rows
            right = [one | {key: value for key, value in ASSUMED.items() if key in one} for one in right]
        settings.append(right)
    return Noted(settings, tuple(flaws))


def _is_right(key: str, value: Any) -> bool:
    """Whether a value is one that a command could have noted."""
    kind: Any = {"int": int, "float": (int, float), "str": str}[str(_READ[key].type)]
    wanted = _READ[key].metadata.get("right")
    return isinstance(value, kind) and not isinstance(value, bool) and (wanted is None or bool(wanted.holds(value)))


def laid_down(commands: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Of each key of LAID_DOWN the value of the first command that notes it.

    Whoever names it later could have seen rows.
    """
    every = [one for settings in commands for one in settings]
    there = [key for key in LAID_DOWN if any(key in one for one in every)]
    return {key: next(one[key] for one in every if key in one) for key in there}


def without_effect(folder: Path, run: RunSettings) -> str:
    """A line on what a command names otherwise than the study's first has laid down; '' where it names nothing so."""
    known = noted(folder)
    held = laid_down(known.settings) if known.settings or not present(folder / "trials.csv") else ASSUMED
    late = [key for key in HELD if key in held and getattr(run, key) not in (held[key], "")]
    if not late:
        return ""
    names = ", ".join(f"{key}={getattr(run, key)}" for key in late)
    holds = ", ".join(f"{key}={held[key]}" for key in late if held[key] != "")
    none = "no primary, and a claim that is named later is none" if "primary" in late and held["primary"] == "" else ""
    what = "; ".join(part for part in (holds, none) if part)
    why = f"{known.flaws[0]}, so this holds: {what}" if held == ASSUMED and known.flaws else ""
    why = why or f"the study's first command has laid down {what}"
    return f"{names}: without effect; {why}; study=NAME begins another"


def agreed(folder: Path, key: str, value: object) -> bool:
    """Whether all commands on record in study.yaml gave `key` this value; False where that cannot be known."""
    try:
        values = [settings[key] for entry in entries(folder) for settings in entry["settings"]]
    except (TypeError, LookupError):  # edited by hand
        return False
    return bool(values) and all(one == value for one in values)
