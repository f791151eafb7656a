"""A trial's id from its settings: `id_of(flat)`; and what a row's `settings` list: `differing(flat)`, `whole(flat)`.

`settings` are flat: `{"model": "resnet", "model.width": 8, "lr": 0.001, ...}`. A row of version 0.1.0 lists those that
differ from the baseline (runner/baseline.py), a later one lists all. Both have the same id, which hashes the former.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from runner import baseline
from runner.columns import SCHEMA

AXES = re.compile(r'"(lr|seed|wd)":([^,}]+)')  # in settings as JSON: what differs between the cells of a grid
LENGTH = 16  # hexadecimal digits of an id: 64 bits, so that among a million trials two are equal with a chance of 3e-8
OLD = 10  # digits up to version 0.1.0; an id of today begins with them
Flat = Mapping[str, Any]
_ID = re.compile(f"[0-9a-f]{{{OLD}}}|[0-9a-f]{{{LENGTH}}}")


def differing(flat: Flat) -> dict[str, Any]:
    """The settings that are not those of the baseline: what an id hashes.

    What lookahead's alpha is says nothing where there are no slow weights, so it goes with k.
    """
    known = _baseline(*(flat.get(group) for group in baseline.GROUPS))
    found = {key: value for key, value in flat.items() if key not in known or known[key] != value}
    if flat.get("lookahead.k"):
        found |= {key: flat[key] for key in ("lookahead.k", "lookahead.alpha") if key in flat}
    else:
        found.pop("lookahead.alpha", None)
    return found


def whole(flat: Flat) -> dict[str, Any]:
    """All settings, where a row lists only those that differ."""
    return {**_baseline(*(flat.get(group) for group in baseline.GROUPS)), **flat}


def text(flat: Flat) -> str:
    """Settings as JSON in the one order that ids and rows have."""
    return json.dumps(flat, sort_keys=True, separators=(",", ":"))


def digest(flat: Flat) -> str:
    """The hash of settings, all of its 64 digits; an id is the beginning of it."""
    return _digest(text(differing(flat)))


def id_of(flat: Flat) -> str:
    """The id of the trial with these settings."""
    return digest(flat)[:LENGTH]


def names(trial: str, settings: str) -> bool:
    """Whether `trial` is the id, of today or of version 0.1.0, of a row with these `settings`.

    True also where neither is one that this program writes, for then nobody can say.
    """
    if not _ID.fullmatch(trial):
        return _unreadable(settings)
    values = AXES.findall(settings)
    if (differing := _frame(AXES.sub(r'"\1":"\1"', settings))) is not None:
        for key, value in values:
            differing = differing.replace(f'"{key}":"{key}"', f'"{key}":{value}', 1)
        if _digest(differing).startswith(trial):
            return True
    try:
        flat = json.loads(settings)
    except (ValueError, RecursionError):
        return False
    return isinstance(flat, dict) and digest(flat).startswith(trial)


def _unreadable(settings: str) -> bool:
    try:
        flat = json.loads(settings)
    except (ValueError, RecursionError):
        return True
    return not isinstance(flat, dict) or not flat


@lru_cache(maxsize=4096)
def _frame(settings: str) -> str | None:
    """What an id hashes, of settings whose values on the axes are cut out: the same for all cells and seeds of a grid.

    A study has thousands of rows and few such frames, so that its ids are checked in a fraction of the time.
    """
    try:
        flat = json.loads(settings)
    except (ValueError, RecursionError):
        return None
    return text(differing(flat)) if isinstance(flat, dict) else None


def _digest(settings: str) -> str:
    return hashlib.sha256(f"{SCHEMA}:{settings}".encode(errors="surrogatepass")).hexdigest()


@lru_cache(maxsize=256)
def _cached(model: str, dataset: str, optimizer: str, schedule: str) -> dict[str, Any]:
    chosen = zip(baseline.GROUPS, (model, dataset, optimizer, schedule), strict=True)
    return dict(baseline.TOP) | {
        key: value for group, name in chosen for key, value in baseline.of(group, name).items()
    }


def _baseline(*kinds: object) -> dict[str, Any]:
    return _cached(*(str(kind) for kind in kinds))
