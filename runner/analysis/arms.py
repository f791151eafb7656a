"""The arms of a study ('Adam + L2', 'AdamW', ...) and its blocks: rows that differ in nothing but the arm.

`split(trials)` is the call to know. No comparison, table or plot mixes two blocks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from runner.analysis.measures import Measure, measure_of, short
from runner.records import baseline, identity
from runner.records.schema import PLACE

NAMES = {"adam": "Adam", "sgd": "SGD", "sparse_adam": "Sparse Adam", "lomo": "LOMO"}
# Columns that make a block, as fallback for rows without readable settings.
_BLOCK_COLUMNS = ("model", "dataset", "batch_size", "epochs", "schedule", "precision")
_HYPER_COLUMNS = ("beta1", "beta2", "eps", "momentum", "decay_params")
# What belongs to the arm or the cell and never to the block, beside everything below "optimizer.".
_ARM_KEYS = ("optimizer", "wd_convention", "wd_schedule", "lr", "wd", "seed", "betas", *_HYPER_COLUMNS)
# Derived from the other settings: they tell nothing more in a label.
_DERIVED = ("dataset.test_size", "dataset.classes")
_NUMBERS = (
    "lr wd seed batch_size epochs beta1 beta2 eps momentum wd_torch wd_paper wd_norm train_size val_size "
    "train_loss train_error val_loss val_error test_loss test_error test_top5_error gap_loss gap_error "
    "epochs_to_target"
).split()


@dataclass(frozen=True, eq=False)
class Block:
    """Rows of `trials.csv` that may be compared.

    `rows` has, beside the file's columns: `family` (adam, sgd), `decoupled` (bool), `arm` (its name) and
    `cell` (the search point, equal for all its seeds). `label` names what differs from the other blocks of
    the study and is empty when there is one block; `id` is six hex digits that do not depend on the others.
    """

    id: str
    label: str
    title: str
    settings: Mapping[str, str]
    rows: pd.DataFrame
    measure: Measure
    test_size: int | None
    classes: int | None = None

    @property
    def arms(self) -> list[str]:
        """Names in the order of the tables: by family, then no decay, L2, decoupled."""
        return list(dict.fromkeys(self.rows.sort_values(["family_rank", "family", "rank", "arm"])["arm"]))


def split(trials: pd.DataFrame) -> list[Block]:
    """The blocks of a study in the order of their first rows; [] for an empty one.

    `trials` is `reading.read(folder)`. Rows that lack something of `PLACE` cannot be placed and are left out.
    """
    frame = trials.copy()
    for name in _NUMBERS:
        frame[name] = pd.to_numeric(frame[name], errors="coerce")
    frame = frame[(frame[PLACE].notna() & (frame[PLACE] != "")).all(axis=1)].drop_duplicates("trial", keep="last")
    if frame.empty:
        return []
    parsed = [_settings(text) for text in frame["settings"]]
    records = frame[[*_BLOCK_COLUMNS, *_HYPER_COLUMNS]].to_dict("records")
    keys = [_block_settings(row, found) for row, found in zip(records, parsed, strict=True)]
    names: dict[str, str] = {}
    for key in keys:  # the same data is compared under whatever names it has
        if "dataset.hash" in key:
            key["dataset"] = names.setdefault(key["dataset.hash"], key["dataset"])
    frame["block"] = [json.dumps(key, sort_keys=True) for key in keys]
    frame["seed"] = frame["seed"].astype(int)
    frame["decoupled"] = (frame["wd"] > 0) & ~frame["wd_convention"].isin(["l2", ""])
    frame["family"] = [
        _family(name, kind) for name, kind in zip(frame["optimizer"], frame["wd_convention"], strict=True)
    ]
    frame["wd_schedule"] = [str((settings or {}).get("wd_schedule", "follow_lr")) for settings in parsed]
    frame["arm"] = _names(frame)
    frame["rank"] = (frame["wd"] > 0).astype(int) + frame["decoupled"].astype(int)
    frame["family_rank"] = [[*NAMES, name].index(name) for name in frame["family"]]
    hyper = [_hyper(row, found) for row, found in zip(records, parsed, strict=True)]
    points = zip(frame["arm"], frame["lr"], frame["wd"], hyper, strict=True)
    frame["cell"] = [f"{arm}|{lr!r}|{wd!r}|{rest}" for arm, lr, wd, rest in points]
    frame["hyper"] = hyper

    by_key = dict(zip(frame["block"], keys, strict=True))
    labels = _labels(list(by_key.values()))
    blocks = []
    for label, (text, key) in zip(labels, by_key.items(), strict=True):
        rows = frame[frame["block"] == text].drop(columns="block")
        found = [settings for settings, mine in zip(parsed, frame["block"] == text, strict=True) if mine]
        name = hashlib.sha256(text.encode()).hexdigest()[:6]
        text_data = any((settings or {}).get("dataset") == "text" for settings in found)
        measure, size = measure_of(rows, text_data), _test_size(key, found)
        classes = _count("dataset.classes", found) or (10 if key["dataset"] == "digits" else None)
        blocks.append(Block(name, label, _title(key, label), key, rows, measure, size, classes))
    return blocks


def _settings(text: object) -> dict[str, object] | None:
    """The settings of a row that differ from the baseline, or None if they cannot be read: the columns must then do."""
    try:
        found = json.loads(str(text))
    except ValueError:
        return None
    return identity.differing(found) if isinstance(found, dict) else None


def _plain(value: object) -> str:
    """One spelling for 20, 20.0 and '20'."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return short(float(value), 12)
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _block_settings(row: Mapping[Any, Any], settings: dict[str, object] | None) -> dict[str, str]:
    """Everything that must be equal for two rows to be compared."""
    key = {name: _plain(row[name]) for name in _BLOCK_COLUMNS}
    for name, value in (settings or {}).items():
        if name not in _ARM_KEYS and not name.startswith("optimizer.") and name not in (*_DERIVED, *key):
            key[name] = _plain(value)
    return key


def _hyper(row: Mapping[Any, Any], settings: dict[str, object] | None) -> str:
    """Hyperparameters of the optimizer beside lr and wd: 'beta2=0.99'; '' at the defaults."""
    if settings is None:
        found = {name: row[name] for name in _HYPER_COLUMNS}
    else:
        found = {name.removeprefix("optimizer."): value for name, value in settings.items() if name in _HYPER_COLUMNS}
        found |= {name[10:]: value for name, value in settings.items() if name.startswith("optimizer.")}
        found |= {name: settings[name] for name in ("wd_schedule",) if name in settings}
    skip = ("name", "lr", "wd", "wd_convention", "seed")
    return " ".join(f"{name}={_plain(value)}" for name, value in sorted(found.items()) if name not in skip)


def _family(optimizer: str, convention: str) -> str:
    """adamw -> adam: the twin that shares its runs at wd = 0."""
    return optimizer[:-1] if convention not in ("l2", "") and optimizer.endswith("w") else optimizer


def family_name(family: str) -> str:
    return NAMES.get(family, family.capitalize())


def _names(frame: pd.DataFrame) -> list[str]:
    """The arm of each row. Where there are several it names what is decayed, and a decoupled one its convention and
    the course of its decay."""
    ways = ("wd_convention", "wd_schedule", "decay_params")
    several = frame[frame["wd"] > 0].groupby(["optimizer", "decoupled"])[list(ways)].nunique() > 1
    wanted = several.to_dict("index")
    names = []
    columns = ("family", "optimizer", "wd", "decoupled", *ways)
    for family, optimizer, wd, own, *way in zip(*(frame[name] for name in columns), strict=True):
        base = family_name(family)
        if wd == 0:
            names.append(f"{base}, no decay")
            continue
        kind = f"{base} + L2" if not own else f"{base}W" if optimizer != family else f"{base}, decoupled"
        asked = wanted[optimizer, own]
        told = [word for name, word in zip(ways, way, strict=True) if asked[name]]
        names.append(f"{kind} ({', '.join(told)})" if told else kind)
    return names


def _labels(keys: Sequence[Mapping[str, str]]) -> list[str]:
    """'model.width=8 | schedule=step': only what differs, and of that only what is needed to tell blocks apart."""
    if len(keys) < 2:
        return [""] * len(keys)
    names = sorted({name for key in keys for name in key})
    differing = [name for name in names if len({key.get(name) for key in keys}) > 1]

    def label(key: Mapping[str, str], chosen: Sequence[str]) -> str:
        return " | ".join(f"{name}={key.get(name) or _baseline(name, key)}" for name in chosen)

    readable = [name for name in differing if not name.endswith(".hash")]
    chosen = readable if len({label(key, readable) for key in keys}) == len(keys) else differing
    return [label(key, chosen) for key in keys]


def _baseline(name: str, key: Mapping[str, str]) -> str:
    """What a setting is that a block's key does not list: the baseline's value, or 'default' where it has none."""
    group = name.partition(".")[0]
    known = baseline.of(group, key.get(group)) if group in baseline.GROUPS else baseline.TOP
    return _plain(known[name]) if name in known else "default"


def _title(key: Mapping[str, str], label: str) -> str:
    """'resnet on digits, 20 epochs, cosine | model.width=8': the head of every plot."""
    title = f"{key['model']} on {key['dataset']}, {key['epochs']} epochs, {key['schedule']} schedule"
    rest = [part for part in label.split(" | ") if part and part.split("=")[0] not in ("dataset", "epochs", "schedule")]
    return " | ".join([title, *(part for part in rest if not part.startswith("model="))])


def _test_size(key: Mapping[str, str], settings: Sequence[dict[str, object] | None]) -> int | None:
    """Number of test examples, or None where the file does not tell."""
    of_digits = key["dataset"] == "digits"
    size = _count("dataset.test_size", settings) or (_count("dataset.test", settings) if of_digits else None)
    return size or (898 if of_digits else None)


def _count(name: str, settings: Sequence[dict[str, object] | None]) -> int | None:
    """The first number under this key, or None where none of the settings tells."""
    values = ((found or {}).get(name) for found in settings)
    return next((int(value) for value in values if isinstance(value, (int, float)) and value >= 1), None)


def prose(arm: str) -> str:
    """'Adam, no decay' -> 'Adam without decay'."""
    return arm.replace(", no decay", " without decay")
