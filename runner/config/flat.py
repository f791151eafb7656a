"""Settings of a trial as one flat mapping, as a row of trials.csv lists them, and back: `to_flat`, `from_flat`.

    {"model": "resnet", "model.width": 8, "lookahead.k": 0, "epochs": 20, ...}

Both go through the fields of `TrialSettings`, so a new setting is in them without a line here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, fields
from functools import lru_cache
from typing import Any

from runner.config.settings import GROUPS, LookaheadSettings, TrialSettings

Flat = Mapping[str, Any]
_NESTED: dict[str, type] = {"lookahead": LookaheadSettings}  # fields that have keys of their own and no choice of kind


def to_flat(settings: TrialSettings) -> dict[str, Any]:
    """Every setting that can change a result, by its key; tuples as lists, as JSON has them."""
    flat: dict[str, Any] = {}
    for name in SHARED:
        value = getattr(settings, name)
        flat |= _flattened(name, value) if name in GROUPS or name in _NESTED else {name: value}
    return flat


def from_flat(flat: Flat, dataset: Any) -> dict[str, Any]:
    """The fields of `TrialSettings` that have this `to_flat`, by name.

    Args:
        flat: all settings of a trial (`runner.records.identity.whole`).
        dataset: its settings, which also say where the data lies, of which `flat` says nothing.

    Raises:
        KeyError, TypeError: for settings of another version.
        UserError: for a value that is not right.
    """
    values: dict[str, Any] = {}
    for name in SHARED:
        if name in GROUPS:
            values[name] = dataset if name == "dataset" else group_from_flat(name, flat)
        elif name in _NESTED:
            values[name] = _NESTED[name](**_below(name, _NESTED[name], flat))
        else:
            values[name] = flat[name]
    return values


def group_from_flat(group: str, flat: Flat, more: Flat | None = None) -> Any:
    """The dataclass of one config group; arguments and errors are those of `from_flat`.

    Args:
        group: a key of GROUPS.
        flat: all settings of a trial.
        more: values of further fields, such as where the data lies; those of `flat` go before them.
    """
    kind = GROUPS[group][flat[group]]
    name = {"name": flat[group], **({"lr": flat["lr"]} if group == "optimizer" else {})}
    return kind(**name | dict(more or {}) | _below(group, kind, flat))


@lru_cache(maxsize=1024)  # thousands of trials share a few of them
def _flattened(group: str, settings: Any) -> dict[str, Any]:
    flat: dict[str, Any] = {group: settings.name} if group in GROUPS else {}
    for f in _result_fields(group, type(settings)):
        value = getattr(settings, f.name)
        flat[f"{group}.{f.name}"] = list(value) if isinstance(value, tuple) else value
    return flat


def _below(group: str, kind: type, flat: Flat) -> dict[str, Any]:
    """The values of a group's fields, as far as they are listed."""
    names = [f.name for f in _result_fields(group, kind)]
    return {name: flat[f"{group}.{name}"] for name in names if f"{group}.{name}" in flat}


def _result_fields(group: str, kind: type) -> list[Field[Any]]:
    """The fields of a group that can change a result; an optimizer's lr and wd are only for trials that name none."""
    axes = ("lr", "wd") if group == "optimizer" else ()
    return [f for f in fields(kind) if f.metadata.get("result", True) and f.name not in ("name", *axes)]


SHARED = tuple(f.name for f in fields(TrialSettings))  # by all trials of a composed configuration
