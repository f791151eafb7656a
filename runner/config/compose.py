"""From a composed Hydra configuration to `Settings`: `from_config(cfg)`, or one line that says what is wrong.

The line names the key and what would be right. Imports nothing that is slow.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, fields, replace
from typing import Any, NamedTuple

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from optim.conventions import DECOUPLED, L2
from optim.rules import FAMILIES
from runner.config.float32 import check_steps
from runner.config.groups import check_text
from runner.config.keys import KEYS, unknown
from runner.config.messages import WD_TYPED, explain
from runner.config.settings import GROUPS, LookaheadSettings, OptimizerSettings, RunSettings, Settings
from runner.errors import UserError
from runner.fields import FROM_0, POSITIVE, Right, right


def from_config(cfg: DictConfig) -> Settings:
    """Check a composed configuration and freeze it; UserError names the key and what would be right."""
    for key in map(str, cfg):
        if key not in KEYS:
            raise UserError(unknown(key))
    check_text(cfg)
    groups = {name: _group(cfg, name, registry) for name, registry in GROUPS.items()}
    optimizer: OptimizerSettings = groups["optimizer"]
    own, shared = _scalars(cfg, Settings), _scalars(cfg, RunSettings)
    convention = own.pop("wd_convention")
    if convention not in DECOUPLED:
        raise UserError(f"wd_convention={convention}: must be one of {', '.join(DECOUPLED)} (adam and sgd: always L2)")
    if not optimizer.decoupled:
        convention = L2
    lr, wd = _axes(cfg, optimizer, convention)
    seed = _axis(cfg, "seed")
    if not seed:
        raise UserError("seed: give at least one whole number")
    lookahead = _structured(cfg, "lookahead", LookaheadSettings)
    run = RunSettings(**shared | {"results": _folder("results", shared["results"])})
    settings = Settings(
        **groups, wd_convention=convention, lr=lr, wd=wd, seed=seed, lookahead=lookahead, run=run, **own
    )
    check_steps(settings)
    return settings


def _folder(key: str, text: str) -> str:
    """The path of a folder, `~` expanded. UserError for one that no file system takes."""
    path = os.path.expanduser(text)
    if path.startswith("~") or not path:
        raise UserError(f"{key}={text}: must be a folder{'; there is no such user' if path else ''}")
    if "\0" in path or len(os.fsencode(path)) > 3000 or any(len(os.fsencode(name)) > 255 for name in path.split("/")):
        raise UserError(
            f"{key}={text[:60]}...: is no name of a folder (at most 255 bytes, and 3000 with those above it)"
        )
    return path


def _group(cfg: DictConfig, name: str, registry: Mapping[str, type]) -> Any:
    """One config group through its dataclass, which checks types, then ranges."""
    node = cfg.get(name)
    if not isinstance(node, DictConfig):
        raise UserError(f"{name}: must be one of {', '.join(registry)}")
    if node.get("name") not in registry:
        raise UserError(f"{name}.name={node.get('name')}: must be one of {', '.join(registry)}")
    return _structured(cfg, name, registry[node.name])


def _structured(cfg: DictConfig, name: str, kind: type) -> Any:
    """The keys below `name` through a dataclass."""
    node = cfg.get(name)
    if not isinstance(node, DictConfig):
        raise UserError(f"{name}={node}: has keys of its own: {', '.join(f'{name}.{f.name}' for f in fields(kind))}")
    for f in fields(kind):
        value = node.get(f.name)
        if "dict[" in str(f.type) and not (value is None or isinstance(value, DictConfig)):
            key = f"{name}.{f.name}"
            raise UserError(
                WD_TYPED if key == "optimizer.wd" else f"{key}={value}: must be a mapping, {{KEY: VALUE, ...}}"
            )
    try:
        return _one_zero(OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), node)))
    except OmegaConfBaseException as error:
        raise UserError(explain(error, name)) from error


def _one_zero(settings: Any) -> Any:
    """The same with 0.0 for -0.0: they mean the same and are written differently, so a trial would have two ids."""
    changed: dict[str, Any] = {}
    for f in fields(settings):
        value = getattr(settings, f.name)
        if isinstance(value, float) and value == 0:
            changed[f.name] = 0.0
        elif isinstance(value, dict):
            changed[f.name] = {key: part + 0.0 if isinstance(part, float) else part for key, part in value.items()}
    return replace(settings, **changed)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _plus_zero(value: float) -> float:
    """As a float; -0.0 becomes 0.0, which means the same and would be written differently."""
    return float(value) + 0.0


class _Kind(NamedTuple):
    """What a key of the top level takes, by the annotation of its field."""

    words: str
    takes: Callable[[Any], bool]
    convert: Callable[[Any], Any]


# OmegaConf's own conversion is not used here: it takes `resume=1` for true, and the text "20" for a number.
_KINDS = {
    "int": _Kind("a whole number", lambda v: _is_number(v) and math.isfinite(v) and v == int(v), int),
    "float": _Kind("a number", _is_number, _plus_zero),
    "bool": _Kind("true or false", lambda v: isinstance(v, bool), bool),
    "str": _Kind("a name", lambda v: isinstance(v, str), str),
}


def _scalars(cfg: DictConfig, kind: type) -> dict[str, Any]:
    """The values of those fields of a dataclass that hold one number, name or truth value."""
    values = {}
    for f in fields(kind):
        type_ = str(f.type).removesuffix(" | None")  # as written: annotations are not evaluated
        if type_ in _KINDS:
            values[f.name] = _scalar(cfg.get(f.name), f, _KINDS[type_])
    return values


def _scalar(value: Any, f: Field[Any], kind: _Kind) -> Any:
    """The value of a key as its field has it; UserError for one of another type."""
    if value is None and f.default is None:
        return None
    words = f.metadata.get("zero", ())  # which the field holds as 0
    if value in words:
        return 0
    if kind.takes(value) and not (words and value == 0):
        return kind.convert(value)
    names = f.metadata["right"].words if words or (kind.convert is str and "right" in f.metadata) else kind.words
    raise UserError(f"{f.name}={value}: must be {names}")


_RIGHT = {
    "lr": POSITIVE,
    "wd": FROM_0,
    "seed": right(lambda seed: type(seed) is int and 0 <= seed < 2**63, "a whole number from 0 to 2^63 - 1"),
}


def _axis(cfg: DictConfig, key: str) -> tuple[Any, ...] | None:
    """The values of lr, wd or seed, of a grid or typed, as `_checked` gives them; None where nothing is set."""
    value = OmegaConf.select(cfg, key)
    if value is None:
        return None
    values = list(value) if isinstance(value, ListConfig) else [value]
    if not values:
        raise UserError(f"{key}=[]: give at least one value")
    return _checked(key, values)


def _checked(key: str, values: Iterable[Any]) -> tuple[Any, ...]:
    """Each value of an axis once; UserError for one that is not right. `key` may be that of a grid."""
    axis = key.rpartition(".")[2]
    checked: dict[Any, None] = {}
    wanted: Right = _RIGHT[axis]["right"]
    for value in values:
        if axis != "seed" and not _is_number(value):
            raise UserError(f"{key}={value}: must be a number or a list of numbers")
        if not wanted.holds(value):
            raise UserError(f"{key}={value}: must be {wanted.words}")
        checked[value if axis == "seed" else _plus_zero(value)] = None
    return tuple(checked)


def with_axes(settings: Settings, axes: Mapping[str, Iterable[object]]) -> Settings:
    """The settings with other values of lr, wd and seed, checked as those of a configuration are."""
    checked: dict[str, Any] = {key: _checked(key, values) for key, values in axes.items()}
    return replace(settings, **checked) if checked else settings


def _axes(cfg: DictConfig, optimizer: OptimizerSettings, convention: str) -> tuple[tuple[float, ...], ...]:
    """lr and wd: what is typed goes before the grid, the grid before the optimizer's own values."""
    grid = cfg.get("grid")
    if not isinstance(grid, DictConfig):
        raise UserError("grid: must be a grid of the configs/grid folder, such as point or small")
    place = f"grid.{optimizer.name}.{convention}"
    if not set(grid) - {"name"}:  # the point grid
        lr, wd = None, None
    else:
        strange = set(grid) - {"name", *FAMILIES}
        if strange:
            raise UserError(f"grid.{sorted(map(str, strange))[0]}: must be one of {', '.join(FAMILIES)}")
        lr, wd = (_axis(cfg, f"{place}.{axis}") for axis in ("lr", "wd"))
    lr = _axis(cfg, "lr") or lr
    if cfg.get("wd") is not None and cfg.get("wd_rule") not in ("none", None):
        raise UserError(f"wd and wd_rule={cfg.get('wd_rule')} are both set: give one of them")
    wd = _axis(cfg, "wd") or wd
    if set(grid) - {"name"} and (lr is None or wd is None):
        raise UserError(
            f"grid={grid.get('name')}: has no {place}; {_others(grid, optimizer.name)}give lr=... and wd=..., "
            "or add them to the grid"
        )
    if wd is None and convention not in optimizer.wd:
        raise UserError(f"optimizer.wd: has no default for wd_convention={convention}; give wd=...")
    return lr or (optimizer.lr,), wd or (optimizer.wd[convention],)


def _others(grid: DictConfig, optimizer: str) -> str:
    """The conventions that a grid does have for an optimizer, as advice."""
    known = [str(name) for name in grid.get(optimizer) or ()]
    return f"it has {optimizer}.{known[0]}: set wd_convention={known[0]}, or " if known else ""
