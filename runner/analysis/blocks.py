"""The blocks of a study: rows that differ in nothing but the arm and its cell.

`split(trials)` is the call to know. No comparison, table or plot mixes two blocks.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import pandas as pd

from runner.analysis.arms import Arm, arms_of, order
from runner.analysis.measures import Measure, measure_of, short
from runner.records import baseline, identity
from runner.records.schema import PLACE

# Columns that make a block, as fallback for rows without readable settings.
_BLOCK_COLUMNS = ("model", "dataset", "batch_size", "epochs", "schedule", "precision")
_HYPER_COLUMNS = ("beta1", "beta2", "eps", "momentum", "decay_params")
# What belongs to the arm or the cell and never to the block, beside everything below "optimizer.".
_ARM_KEYS = ("optimizer", "wd_convention", "wd_schedule", "lr", "wd", "seed", "betas", "replicate", *_HYPER_COLUMNS)
# Derived from the other settings: they tell nothing more in a label.
_DERIVED = ("dataset.test_size", "dataset.classes", "dataset.test_held_out")
_NUMBERS = (
    "lr wd seed batch_size epochs beta1 beta2 eps momentum wd_torch wd_paper wd_norm train_size val_size "
    "train_loss train_error val_loss val_error test_loss test_error test_top5_error gap_loss gap_error "
    "epochs_to_target replicate split test_ece test_brier"
).split()

Given = TypeVar("Given")


@dataclass(frozen=True, eq=False)
class Block:
    """Rows of `trials.csv` that may be compared.

    `rows` has, beside the file's columns: `family` (adam, sgd), `decoupled` (bool), `arm` (its label) and
    `cell` (the search point, equal for all its seeds). `label` names what differs from the other blocks of
    the study and is empty when there is one block; `id` is six hex digits that do not depend on the others.
    All replicates of a study lie in one block, whose rows have their numbers in `replicate` and `split`.
    `arm_of` has the `Arm` of each label, in the order of the tables: by family, then no decay, L2, decoupled.
    """

    id: str
    label: str
    title: str
    settings: Mapping[str, str]
    rows: pd.DataFrame
    measure: Measure
    test_size: int | None
    arm_of: Mapping[str, Arm]
    classes: int | None = None

    @property
    def arms(self) -> list[str]:
        """The labels in the order of the tables."""
        return list(self.arm_of)

    @property
    def compares(self) -> bool:
        """Whether it has arms to compare, and so a primary comparison."""
        return len(self.arm_of) > 1

    @property
    def marked_title(self) -> str:
        """The title, and the measure's remark where it has one."""
        return f"{self.title} ({self.measure.remark})" if self.measure.remark else self.title


def per_block(function: Callable[[Block], Given]) -> Callable[[Block], Given]:
    """Remember what a function gives for a block: a report asks again and again, and a block's rows never change.

    The block itself keeps it. What is given may hold the block, and a table elsewhere would keep both for ever.
    """

    @functools.wraps(function)
    def remembered(block: Block) -> Given:
        known: dict[object, Given] = vars(block).setdefault("_known", {})
        if function not in known:
            known[function] = function(block)
        return known[function]

    return remembered


@per_block
def replicates(block: Block) -> dict[int, Block]:
    """The block of each replicate, by its number: the same but for the rows, and for arms that it has no row of."""
    numbers = sorted(set(block.rows["replicate"]))
    if len(numbers) == 1:
        return {numbers[0]: block}
    parts = {}
    for number in numbers:
        rows = block.rows[block.rows["replicate"] == number]
        arms = set(rows["arm"])
        parts[number] = replace(block, rows=rows, arm_of={k: arm for k, arm in block.arm_of.items() if k in arms})
    return parts


def split(trials: pd.DataFrame) -> list[Block]:
    """The blocks of a study in the order of their first rows; [] for an empty one.

    `trials` is `read.read(folder)`. Rows that lack something of `PLACE` cannot be placed and are left out.
    """
    frame = trials.copy()
    for name in _NUMBERS:
        frame[name] = pd.to_numeric(frame[name], errors="coerce")
    frame = frame[(frame[PLACE].notna() & (frame[PLACE] != "")).all(axis=1)].drop_duplicates("trial", keep="last")
    if frame.empty:
        return []
    settings = [_settings(text) for text in frame["settings"]]
    records = frame[[*_BLOCK_COLUMNS, *_HYPER_COLUMNS]].to_dict("records")
    keys = [_block_settings(row, own) for row, own in zip(records, settings, strict=True)]
    names: dict[str, str] = {}
    for key in keys:  # the same data is compared under whatever names it has
        if "dataset.hash" in key:
            key["dataset"] = names.setdefault(key["dataset.hash"], key["dataset"])
    frame["block"] = [json.dumps(key, sort_keys=True) for key in keys]
    for name in ("replicate", "split"):  # rows that are older than the columns have nothing there
        frame[name] = frame[name].fillna(0).astype(int)
    frame["seed"] = frame["seed"].astype(int)
    frame["decoupled"] = (frame["wd"] > 0) & ~frame["wd_convention"].isin(["l2", ""])
    frame["wd_schedule"] = [str((own or {}).get("wd_schedule", "follow_lr")) for own in settings]
    arms = arms_of(frame)
    frame["family"], frame["arm"] = [arm.family for arm in arms], [arm.label for arm in arms]
    frame["hyper"] = [_hyper(row, own) for row, own in zip(records, settings, strict=True)]
    points = zip(*(frame[name] for name in ("arm", "lr", "wd", "hyper")), strict=True)
    frame["cell"] = [f"{arm}|{lr!r}|{wd!r}|{hyper}" for arm, lr, wd, hyper in points]

    by_label = {arm.label: arm for arm in sorted(dict.fromkeys(arms), key=order)}
    by_key = dict(zip(frame["block"], keys, strict=True))
    labels = _labels(list(by_key.values()))
    blocks = []
    for label, (text, key) in zip(labels, by_key.items(), strict=True):
        chosen = frame["block"] == text
        rows = frame[chosen].drop(columns="block")
        own_settings = [one or {} for one, within in zip(settings, chosen, strict=True) if within]
        measure = measure_of(rows, any(one.get("dataset") == "text" for one in own_settings))
        present = set(rows["arm"])
        blocks.append(
            Block(
                id=hashlib.sha256(text.encode()).hexdigest()[:6],
                label=label,
                title=_title(key, label),
                settings=key,
                rows=rows,
                measure=measure,
                test_size=_test_size(key, own_settings),
                arm_of={name: arm for name, arm in by_label.items() if name in present},
                classes=_count("dataset.classes", own_settings) or (10 if key["dataset"] == "digits" else None),
            )
        )
    return blocks


def _settings(text: object) -> dict[str, object] | None:
    """The settings of a row that differ from the baseline, or None if they cannot be read: the columns must then do."""
    try:
        flat = json.loads(str(text))
    except ValueError:
        return None
    return identity.differing(flat) if isinstance(flat, dict) else None


def _plain(value: object) -> str:
    """One spelling for 20, 20.0 and '20'."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return short(float(value), 12)
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _block_settings(row: Mapping[Any, Any], settings: dict[str, object] | None) -> dict[str, str]:
    """Everything that must be equal for two rows to be compared."""
    key = {name: _plain(row[name]) for name in _BLOCK_COLUMNS}
    settings = dict(settings or {})
    if make := settings.get("model.make"):  # somebody's own module is called what it is called there
        key["model"] = str(make).partition(":")[2]
    if source := settings.pop("dataset.source", None):
        # A replicate has another split of the same data. What it is a replicate of has the hash and split of the first.
        settings["dataset.hash"] = source
        settings["dataset.split"] = int(str(settings.get("dataset.split", 0))) - int(str(settings.get("replicate", 0)))
    if settings.get("dataset.split") == 0:
        del settings["dataset.split"]
    for name, value in settings.items():
        if name not in _ARM_KEYS and not name.startswith("optimizer.") and name not in (*_DERIVED, *key):
            key[name] = _plain(value)
    return key


def _hyper(row: Mapping[Any, Any], settings: dict[str, object] | None) -> str:
    """Hyperparameters of the optimizer beside lr and wd: 'beta2=0.99'; '' at the defaults."""
    if settings is None:
        values = {name: row[name] for name in _HYPER_COLUMNS}
    else:
        values = {name: value for name, value in settings.items() if name in (*_HYPER_COLUMNS, "wd_schedule")}
        values |= {name[10:]: value for name, value in settings.items() if name.startswith("optimizer.")}
    skip = ("name", "lr", "wd", "wd_convention", "seed")
    return " ".join(f"{name}={_plain(value)}" for name, value in sorted(values.items()) if name not in skip)


def _labels(keys: Sequence[Mapping[str, str]]) -> list[str]:
    """'model.width=8 | schedule=step': only what differs, and of that only what is needed to tell blocks apart.

    A network that differs in its kind is not described by its width as well, nor by the epochs that only it had. What
    every title begins with is taken first, and a hash last.
    """

    def label(key: Mapping[str, str], names: Collection[str]) -> str:
        return " | ".join(f"{name}={key.get(name) or _baseline(name, key)}" for name in sorted(names))

    def told_apart(names: Collection[str]) -> int:
        return len({label(key, names) for key in keys})

    chosen: list[str] = []
    first = ("model", "dataset", "schedule", "epochs")
    others = {name for key in keys for name in key} - {*first}
    for name in (*first, *sorted(others, key=lambda name: (name.endswith(".hash"), name))):
        if told_apart([*chosen, name]) > told_apart(chosen):
            chosen.append(name)
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


def _test_size(key: Mapping[str, str], settings: Sequence[Mapping[str, object]]) -> int | None:
    """Number of test examples, or None where the file does not tell."""
    of_digits = key["dataset"] == "digits"
    size = _count("dataset.test_size", settings) or (_count("dataset.test", settings) if of_digits else None)
    return size or (898 if of_digits else None)


def _count(name: str, settings: Sequence[Mapping[str, object]]) -> int | None:
    """The first number under this key, or None where none of the settings tells."""
    values = (one.get(name) for one in settings)
    return next((int(value) for value in values if isinstance(value, (int, float)) and value >= 1), None)
