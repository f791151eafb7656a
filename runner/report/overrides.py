"""Recorded settings as words of the command line: `overrides(flat, noted)` gives those that differ from the defaults.

`flat` is the `settings` cell of a row, which says what a trial is; `noted` an entry of study.yaml, which says where its
data lies and how the study is watched (`noted_settings` finds it). Imports nothing that is slow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from optim.conventions import L2
from runner.analysis.measures import short
from runner.config.settings import GROUPS, TrialSettings
from runner.data.settings import shown
from runner.records.commands import entries
from runner.system.place import CONFIGS

# What a study is watched and finished by. What is for one command only, such as resume and dry_run, is not repeated.
WATCHED = (
    "eval_every",
    "eval_all",
    "target_error",
    "diagnostics",
    "final_seeds",
    "refine",
    "map_noise",
    "also_by",
    "replicates",
    "device",
)
# A trial's keys at the top level.
_OWN = [f.name for f in fields(TrialSettings) if f.name not in (*GROUPS, "wd_convention", "lookahead")]
_LOOKAHEAD = ("lookahead.k", "lookahead.alpha")
_WORD = re.compile(r"[A-Za-z./][\w./:+-]*")
_NO_WORDS = ("null", "true", "false", "nan", "inf")  # what Hydra does not read as text


def overrides(flat: Mapping[str, Any], noted: Mapping[str, Any]) -> list[str]:
    """KEY=VALUE for all but lr, wd, seed, study and results, the optimizer first; each valid for Hydra as it stands.

    Raises KeyError for settings of a program that had other groups.
    """
    usual = _config()
    words = []
    for group in ("optimizer", "dataset", "model", "schedule"):
        name = flat[group]
        if group == "optimizer" or name != _choices()[group]:
            words.append(f"{group}={typed(name)}")
        place = noted.get(group) if group == "dataset" else None
        values = _values(GROUPS[group][name], group, flat, place if isinstance(place, Mapping) else {})
        words += _differing(values, _file(group, name), f"{group}.")
    if flat["wd_convention"] != L2:
        words += _differing({"wd_convention": flat["wd_convention"]}, usual)
    words += _differing({key: flat[key] for key in (*_OWN, *_LOOKAHEAD) if key in flat}, usual)
    watched = {key: noted[key] for key in WATCHED if key in noted}
    if watched.get("replicates") == 0:
        watched["replicates"] = "auto"
    return words + _differing(watched, usual)


def noted_settings(folder: Path, flat: Mapping[str, Any], data: str = "") -> dict[str, Any]:
    """The settings in study.yaml that asked for most trials like this one; {} where there are none.

    Those of the data that tables call `data` go before those of other data, then those of its own optimizer before
    those of another, and of equals the last is taken.
    """
    try:
        own = [s for entry in entries(folder) for s in entry["settings"] if _alike(s, flat)]
        ranks = [
            (
                shown(s["dataset"]) == data,
                s["optimizer"]["name"] == flat["optimizer"],
                len(s["lr"]) * len(s["wd"]) * len(s["seed"]),
                number,
            )
            for number, s in enumerate(own)
        ]
        chosen = dict(own[max(ranks)[3]]) if own else {}
        if "replicate" in chosen:  # what map_noise was called
            chosen["map_noise"] = chosen.pop("replicate")
        return chosen
    except (TypeError, AttributeError, LookupError):  # edited by hand
        return {}


def _alike(settings: Mapping[str, Any], flat: Mapping[str, Any]) -> bool:
    """Whether they differ at most in the axes and in what belongs to the optimizer, as far as names tell."""
    groups = all(settings[group]["name"] == flat[group] for group in ("dataset", "model", "schedule"))
    return groups and all(settings[key] == flat[key] for key in ("epochs", "batch_size", "precision"))


def typed(value: object) -> str:
    """A value as Hydra reads it back: 0.001, true, null, [0.3,0.6], a name, or text in quotes."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return text if float(text := short(value, 6)) == value else repr(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(map(typed, value))}]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{typed(part)}" for key, part in value.items()) + "}"
    text = str(value)
    if _WORD.fullmatch(text) and text.lower() not in _NO_WORDS:
        return text
    # Within quotes Hydra takes a backslash literally, but before a quote, and OmegaConf one before what it replaces.
    text = re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), text)
    return "'" + re.sub(r"(\\*)\$\{", lambda m: m[1] * 2 + r"\${", text) + "'"


def _values(kind: type, group: str, flat: Mapping[str, Any], place: Mapping[str, Any]) -> dict[str, Any]:
    """Every field of a group. A result-relevant one that a row does not list has its default; lr and wd are axes."""
    values = {}
    for f in fields(kind):
        if f.name == "name" or f.metadata.get("made") or (group == "optimizer" and f.name in ("lr", "wd")):
            continue
        if not f.metadata.get("result", True):
            if f.name in place:
                values[f.name] = place[f.name]
        elif f"{group}.{f.name}" in flat:
            values[f.name] = flat[f"{group}.{f.name}"]
        elif f.default is not MISSING:
            values[f.name] = f.default
    return values


def _differing(values: Mapping[str, Any], usual: Mapping[str, Any], before: str = "") -> list[str]:
    return [
        f"{before}{key}={typed(value)}" for key, value in values.items() if _plain(value) not in (usual.get(key), {})
    ]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


@cache
def _file(group: str, name: str) -> dict[str, Any]:
    """What GROUP=NAME says; numbers are read as the command line reads them (1e-8 is one)."""
    return _loaded(CONFIGS / group / f"{name}.yaml")


@cache
def _config() -> dict[str, Any]:
    top = _loaded(CONFIGS / "config.yaml")
    return top | {key: top["lookahead"][key.partition(".")[2]] for key in _LOOKAHEAD}


@cache
def _choices() -> dict[str, str]:
    """The group files that are used where none is named."""
    chosen = [entry for entry in _config()["defaults"] if isinstance(entry, dict)]
    return {str(group): str(name) for entry in chosen for group, name in entry.items()}


def _loaded(path: Path) -> dict[str, Any]:
    content = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}
