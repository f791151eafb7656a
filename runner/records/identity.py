"""A trial's id from its settings: `id_of(flat)`; and what a row's `settings` list: `differing(flat)`, `whole(flat)`.

`settings` are flat: `{"model": "resnet", "model.width": 8, "lr": 0.001, ...}`. A row of version 0.1.0 lists those that
differ from the baseline (baseline.py), a later one lists all. Both have the same id, which hashes the former.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from runner.records import baseline
from runner.records.schema import SCHEMA

AXES = re.compile(r'"(lr|seed|wd)":([^,}]+)')  # in settings as JSON: what differs between the cells of a grid
LENGTH = 16  # hexadecimal digits of an id: 64 bits, so that among a million trials two are equal with a chance of 3e-8
OLD = 10  # digits up to version 0.1.0; an id of today begins with them
Flat = Mapping[str, Any]
_ID = re.compile(f"[0-9a-f]{{{OLD}}}|[0-9a-f]{{{LENGTH}}}")


def differing(flat: Flat) -> dict[str, Any]:
    """The settings that are not those of the baseline: what an id hashes.

    Lookahead's alpha goes with its k: without slow weights alpha has no meaning.
    """
    known = _baseline(*(flat.get(group) for group in baseline.GROUPS))
    differing = {key: value for key, value in flat.items() if key not in known or known[key] != value}
    if flat.get("lookahead.k"):
        differing |= {key: flat[key] for key in ("lookahead.k", "lookahead.alpha") if key in flat}
    else:
        differing.pop("lookahead.alpha", None)
    return differing


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

    True also where neither the id nor the settings are of the kind that this program writes: then nobody can say.
    """
    if not _ID.fullmatch(trial):
        return not parsed(settings)
    if (hashed := digest_of(cut(settings))) and hashed.startswith(trial):
        return True
    flat = parsed(settings)
    return flat is not None and digest(flat).startswith(trial)


def parsed(settings: str) -> dict[str, Any] | None:
    """Settings from their JSON; None where they cannot be read."""
    try:
        flat = json.loads(settings)
    except (ValueError, RecursionError):
        return None
    return flat if isinstance(flat, dict) else None


class Cut(NamedTuple):
    """Settings as JSON without the values on the axes, which all cells and seeds of a grid share, and these values.

    A study has thousands of rows and few such frames, so that its ids are checked in a fraction of the time.
    """

    frame: tuple[str, ...]  # the texts before, between and behind the values
    keys: tuple[str, ...]
    values: tuple[str, ...]


@lru_cache(maxsize=8)  # a row's settings are cut once for its id and once for its other cells
def cut(settings: str) -> Cut:
    """Cut the values of lr, seed and wd out of settings as JSON."""
    parts = AXES.split(settings)
    return Cut(tuple(parts[::3]), tuple(parts[1::3]), tuple(parts[2::3]))


def digest_of(settings: Cut) -> str:
    """`digest` of settings that have been cut; "" where they are none."""
    hashed = _hashed(settings.frame, settings.keys)
    if hashed is None:
        return ""
    texts, order = hashed
    given = (*(settings.values[at] for at in order), "")
    return _digest("".join([part for both in zip(texts, given, strict=True) for part in both]))


def framed(frame: Sequence[str], keys: Sequence[str]) -> dict[str, Any] | None:
    """The settings of a frame, with a key's name in place of each value that is cut out; None where they are none."""
    return parsed("".join(f'{text}"{key}":"{key}"' for text, key in zip(frame, keys, strict=False)) + frame[-1])


@lru_cache(maxsize=4096)
def _hashed(frame: tuple[str, ...], keys: tuple[str, ...]) -> tuple[list[str], list[int]] | None:
    """What an id hashes of a frame: the texts around its values, and in which order these stand there."""
    flat = framed(frame, keys)
    if flat is None or len(set(keys)) < len(keys):
        return None
    parts = re.split('"(lr|seed|wd)":"\\1"', text(differing(flat)))
    texts, order = parts[::2], [keys.index(key) for key in parts[1::2] if key in keys]
    return [f'{before}"{key}":' for before, key in zip(texts, parts[1::2], strict=False)] + texts[-1:], order


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
