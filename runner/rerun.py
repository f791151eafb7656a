"""Repeat a row of a study from its own `settings`: `python -m runner.rerun results/<study> TRIAL`.

Trains the trial once more, alone, writes nothing, and says whether it came out as recorded. On a CPU of the same kind
and with the same torch it must be the same to the bit. Elsewhere other kernels round otherwise, and training amplifies
that, so that agreement is expected in distribution only: the numbers are shown side by side, and only the size of the
network and the steps must be the same, unless `--tolerance` says how far the others may be apart.

Exit status 0: nothing differs that must be the same; 1: something does; 2: refused.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from runner.config.flat import group_from_flat
from runner.config.settings import FULL, LANES, LOOSE, UNSTACKED, RunSettings
from runner.data.dataset import Dataset
from runner.data.load import load
from runner.data.settings import DATASETS, DatasetSettings, shown
from runner.errors import UserError
from runner.execution import provenance
from runner.records import identity
from runner.records.commands import entries
from runner.records.read import read
from runner.records.regular import check_files
from runner.records.schema import TABLES
from runner.system.devices import resolve
from runner.system.streams import guarded
from runner.trials.trial import Facts, Trial

DEVICE = r"cpu|cuda(:\d+)?"
COMPARED = (
    "status steps params train_loss train_error val_loss val_error test_loss test_error test_top5_error "
    "test_ece test_brier"
).split()


ADDED = {column.name for column in TABLES["trials"] if column.added}


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="python -m runner.rerun", description=(__doc__ or "").split("\n\n", 1)[1])
    parser.add_argument("study", type=Path, help="folder of a study, such as results/digits-cpu")
    parser.add_argument("trial", help="the id of one of its trials, or the beginning of it")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N; default: cpu")
    parser.add_argument(
        "--tolerance",
        type=float,
        help="how far numbers may be apart, relatively, where equal bits cannot be expected",
    )
    parser.add_argument("--dataset", metavar="KEY=VALUE", action="append", default=[], help="such as path=FILE")
    try:
        return _rerun(parser.parse_args(arguments))
    except UserError as error:
        print(f"runner.rerun: {error}", file=sys.stderr)
        return 2


def _rerun(typed: argparse.Namespace) -> int:
    """Train the trial of a row again and compare; the exit status."""
    if typed.tolerance is not None and not typed.tolerance >= 0:
        raise UserError(f"--tolerance {typed.tolerance}: must be a number from 0")
    if not re.fullmatch(DEVICE, typed.device):
        raise UserError(f"--device {typed.device}: must be cpu, cuda or cuda:N")
    resolve(typed.device, 1)
    row = _row(typed.study, typed.trial)
    if row["status"] == "failed":
        raise UserError(f"{row['trial']}: it failed ({row['note']}), so there is nothing to compare with")
    place = dict(word.split("=", 1) for word in typed.dataset if "=" in word)
    trial, dataset = rebuilt(settings_of(row), typed.study, place, row["dataset"])
    if not trial.digest.startswith(row["trial"]):
        raise UserError(f"{row['trial']}: another version made this row; its settings now are trial {trial.id}")
    ways = [word for word in str(row["note"]).split("; ") if word in (LOOSE, UNSTACKED, LANES)]
    trial = trial.computed(ways[0] if ways else FULL)
    return _compare(row, _trained(trial, dataset, typed.device), typed.tolerance)


def _row(folder: Path, name: str) -> dict[str, Any]:
    check_files(folder)
    rows = read(folder)
    matching = rows[rows["trial"].str.startswith(name)] if name else rows[:0]
    if len(matching) != 1:
        raise UserError(f"{folder / 'trials.csv'}: {len(matching)} trials begin with {name!r}; give the id of one")
    return {str(key): value for key, value in matching.iloc[0].to_dict().items()}


def settings_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """The `settings` cell of a row."""
    try:
        flat = json.loads(row["settings"])
    except ValueError:
        flat = None
    if not isinstance(flat, dict):
        raise UserError(f"{row['trial']}: its settings cannot be read")
    return flat


def rebuilt(flat: Mapping[str, Any], folder: Path, typed: Mapping[str, str], data: str = "") -> tuple[Trial, Dataset]:
    """The trial that these settings describe, and its dataset.

    Args:
        flat: the `settings` of a row.
        folder: of its study, whose study.yaml says where the data lies.
        typed: settings of the dataset that say it better.
        data: what the row calls the dataset, by which two files of one study are told apart.

    Raises:
        UserError: for settings of another version, and for data that is not there or not what the trial saw.
    """
    place = _place(folder, str(flat.get("dataset")), data) | dict(typed)
    try:
        try:
            own = group_from_flat("dataset", identity.whole(flat), place)
            dataset = load(own)
        except UserError as error:
            raise UserError(f"{error}; here a setting of the dataset is given as --dataset KEY=VALUE") from error
        trial = Trial.from_flat(flat, own, Facts.of(dataset))
    except (KeyError, TypeError) as error:
        raise UserError(f"these settings are of another version ({error})") from error
    if trial.facts.hash != flat.get("dataset.hash"):
        raise UserError(
            f"dataset={own.name}: its content is not what the trial saw (hash {trial.facts.hash}); --dataset helps"
        )
    return trial, dataset


def _place(folder: Path, name: str, data: str) -> dict[str, Any]:
    """The settings in study.yaml that say where the data lies."""
    where = {f.name for f in fields(DATASETS.get(name, DatasetSettings)) if not f.metadata.get("result", True)}
    try:
        noted = [s["dataset"] for entry in entries(folder) for s in entry["settings"] if s["dataset"]["name"] == name]
        same = [one for one in noted if shown(one) == data]
        return {key: value for key, value in (same or noted)[-1].items() if key in where}
    except (TypeError, AttributeError, LookupError):
        return {}


def _trained(trial: Trial, dataset: Dataset, device: str) -> dict[str, Any]:
    import torch

    from runner.training.train import train

    torch.set_num_threads(1)
    place = torch.device(device)
    *_, last = train([trial], dataset, place, RunSettings(eval_every=trial.epochs))
    return last.trials[0] | {"device": provenance.device(place)}


def _compare(row: Mapping[str, Any], again: Mapping[str, Any], tolerance: float | None) -> int:
    """Print both, and what to make of it; the exit status."""
    then, now = (_place_of(one) for one in (row, again))
    alike = then == now and now.startswith("cpu: ") and provenance.UNKNOWN not in now
    within = 0.0 if alike else tolerance or 0.0
    # On another machine a trial may diverge where it did not, and so take fewer steps; its network is the same.
    always = {"params"} | ({"steps"} if row["status"] == again["status"] == "ok" else set())
    different: list[str] = []
    compared = 0
    print(f"{'column':<18}{'recorded':>24}{'again':>24}")
    for name in COMPARED:
        old, new = row[name], again.get(name)
        if old != old and (new is None or name in ADDED):  # nan: the row is of a version that did not measure it
            continue
        compared += 1
        same = old == new or (_number(old) and _number(new) and _close(float(old), float(new), within))  # type: ignore[arg-type]
        if not same:
            different.append(name)
        print(f"{name:<18}{old!s:>24}{new!s:>24}{'' if same else '  differs'}")
    how = f"within {within:g}" if within else "to the bit"
    if not different:
        print(f"matched {how}")
        return 0
    if not alike:
        print(f"recorded on {then}, this is {now}: agreement in distribution only")
    impossible = sorted(always & set(different))
    if impossible and not alike:
        print(f"no machine changes {' and '.join(impossible)}: this is not the recorded trial")
    elif alike or tolerance is not None:
        print(f"{len(different)} of {compared} columns do not match {how}")
    else:
        print(f"{len(different)} of {compared} columns differ, and one trial cannot say whether by more than chance")
        return 0
    return 1


def _place_of(row: Mapping[str, Any]) -> str:
    device = row["device"] or "a device that is not on record"
    if device == "cpu":
        device = "a CPU whose kind is not on record"
    return f"{device}, torch {row['torch'] or 'of an unknown version'}"


def _number(value: object) -> bool:
    return isinstance(value, int | float)


def _close(a: float, b: float, within: float) -> bool:
    return (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=within, abs_tol=within)


if __name__ == "__main__":
    with guarded("runner.rerun"):
        sys.exit(main())
