"""The study's CSV files: what is in them is done, what is not is still to do.

`Records(folder).append_trials(rows)` and `read(folder)` are the calls to know. Rows are only ever
appended: one block of whole lines, one write, under a file lock shared by every process on the study.
"""

from __future__ import annotations

import csv
import functools
import io
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.append import append
from runner.errors import UserError
from runner.lines import SCHEMA as SCHEMA  # of what follows
from runner.lines import cells, check_header, check_numbers, is_count, is_plain, whole_lines
from runner.lock import Lock

if TYPE_CHECKING:
    import pandas as pd

TRIALS = (
    "study trial phase status "
    "model dataset optimizer wd_convention lr wd seed batch_size epochs schedule beta1 beta2 eps momentum "
    "decay_params wd_torch wd_paper wd_norm steps params train_size val_size "
    "train_loss train_error val_loss val_error test_loss test_error test_top5_error gap_loss gap_error "
    "best_val_epoch epochs_to_target seconds samples_per_second peak_mib stack "
    "commit version torch device precision started settings note"
).split()
CURVES = (
    "trial epoch step lr wd_step running_loss train_loss train_error val_loss val_error test_loss test_error "
    "weight_norm update_norm seconds"
).split()
CYCLES = "trial cycle epoch val_loss val_error test_loss test_error".split()
DYNAMICS = (
    "trial epoch step layer kind weight_norm update_angle angle_cv predicted_angle decay_rank_correlation decay_cv "
    "max_weight bound tau_epochs penalty_share "
    "root_1 root_2 root_3 root_4 root_5 decay_1 decay_2 decay_3 decay_4 decay_5"
).split()
# What names a row.
_KEYS = {"trials": "trial", "curves": "trial epoch", "cycles": "trial cycle", "dynamics": "trial epoch layer"}
_COLUMNS = {"trials": TRIALS, "curves": CURVES, "cycles": CYCLES, "dynamics": DYNAMICS}

# Columns that differ between two runs of the same command; everything else must repeat.
TIMING = ("seconds", "samples_per_second", "peak_mib", "started", "stack", "commit")

_TEXT = set(
    "study trial phase status model dataset optimizer wd_convention schedule decay_params "
    "commit version torch device precision started settings note layer kind".split()
)

Row = Mapping[str, object]


def cell(value: object) -> str:
    """One CSV cell: None is empty (not measured), floats in the shortest form that reads back exactly."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value)
    return str(value).translate({0: " ", 10: " ", 13: " "})  # a row is one line


@dataclass
class _Table:
    """One append-only file and how much of it this process has read."""

    path: Path
    columns: Sequence[str]
    order: str  # the column that, with `trial`, names a row: "" if there is one row per trial

    def __post_init__(self) -> None:
        self.key, self.at = (self.columns.index(name or "trial") for name in ("trial", self.order))
        self._forget()

    def _forget(self) -> None:
        self.offset = self.lines = 0
        self.last: dict[str, int] = {}  # trial -> the largest `order` value on file (0 without one)

    def refresh(self) -> None:
        """Read what other processes appended since the last look. The caller holds the lock."""
        if not self.path.exists():
            self._forget()
            return
        with self.path.open("rb") as file:
            if self.offset == 0:
                header = file.readline()
                check_header(self.path, header, self.columns)
                if not header.endswith(b"\n"):
                    if header:
                        self._cut(0)
                    return
                self.offset, self.lines = file.tell(), 1
            file.seek(self.offset)
            commas, last = len(self.columns) - 1, self.last
            plain = (self.key, self.at) == (0, 1)
            for line in file:
                if not line.endswith(b"\n"):
                    self._cut(self.offset)
                    return
                if plain and line.count(b",") == commas and is_plain(line):
                    # Millions of rows: what names one stands at its beginning.
                    name, number, _ = line.split(b",", 2)
                    if number.isdigit():
                        trial, value = name.decode(errors="replace"), int(number)
                        if last.get(trial, -1) < value:
                            last[trial] = value
                    else:
                        self._see(line[:-1].decode(errors="replace"))
                else:
                    self._see(line[:-1].decode(errors="replace"))
                self.lines += 1
                self.offset += len(line)

    def _see(self, line: str) -> None:
        if (row := cells(line, len(self.columns))) is None:
            return
        if not self.order or not is_count(row[self.at]):
            check_numbers(self.path, self.lines + 1, row, self.columns, _TEXT, self.order)
        value = int(row[self.at]) if self.order else 0
        self.last[row[self.key]] = max(value, self.last.get(row[self.key], value))

    def _cut(self, size: int) -> None:
        """Remove a torn last line: a write that was killed half-way and so never became a record."""
        os.truncate(self.path, size)
        print(f"note: {self.path}: removed a torn last line (a run was killed while it wrote)", flush=True)

    def append(self, rows: Iterable[Row]) -> None:
        fresh = []
        for row in rows:
            trial, value = str(row["trial"]), int(str(row[self.order])) if self.order else 0
            if trial not in self.last or value > self.last[trial]:
                fresh.append(row)
        if not fresh:
            return
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if self.offset == 0:
            writer.writerow(self.columns)
        for row in fresh:
            unknown = set(row) - set(self.columns)
            if unknown:
                raise KeyError(f"{self.path.name} has no column {sorted(unknown)}")
            writer.writerow([cell(row.get(name)) for name in self.columns])
        append(self.path, text.getvalue().encode())
        self.refresh()


class Records:
    """The three CSV files of one study, safe for many processes at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            (folder / ".state").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder}: cannot write there ({error.strerror}); set results=...") from error
        self.lock = Lock(folder / ".state" / "records.lock")
        self.trials = _Table(folder / "trials.csv", TRIALS, "")
        self.curves = _Table(folder / "curves.csv", CURVES, "epoch")
        self.cycles = _Table(folder / "cycles.csv", CYCLES, "cycle")
        self.dynamics = _Table(folder / "dynamics.csv", DYNAMICS, "epoch")

    def done(self) -> set[str]:
        """Ids of the trials that have a row, whoever wrote it."""
        with self.lock:
            self.trials.refresh()
            return set(self.trials.last)

    def has_curves(self, trials: Iterable[str], epoch: int) -> bool:
        """Whether curves.csv goes as far as `epoch` for all these trials."""
        with self.lock:
            self.curves.refresh()
            return all(self.curves.last.get(trial, 0) >= epoch for trial in trials)

    def append_trials(self, rows: Iterable[Row]) -> None:
        self._append(self.trials, rows)

    def append_curves(self, rows: Iterable[Row]) -> None:
        self._append(self.curves, rows)

    def append_cycles(self, rows: Iterable[Row]) -> None:
        self._append(self.cycles, rows)

    def append_dynamics(self, rows: Iterable[Row]) -> None:
        self._append(self.dynamics, rows)

    def _append(self, table: _Table, rows: Iterable[Row]) -> None:
        with self.lock:
            table.refresh()
            table.append(rows)


def read(folder: Path, table: str = "trials", only: Collection[str] | None = None) -> pd.DataFrame:
    """`trials`, `curves`, `cycles` or `dynamics` of a study as a DataFrame; empty cells and `nan` both become NaN.

    `only`: the trials whose rows are wanted, which takes little memory however long the file is. Damaged lines, and
    repeated ones, are left out, and said so. Raises UserError where there is no such study.
    """
    import pandas as pd

    columns = _COLUMNS[table]
    path = Path(folder) / f"{table}.csv"
    if not path.exists():
        if table == "trials":
            raise UserError(f"{path}: no such file; give a study's folder, such as results/digits-resnet")
        return pd.DataFrame(columns=columns)
    kept, damaged = whole_lines(path, columns, only)
    if damaged:
        _note(f"{path}: {len(damaged)} damaged lines are left out, the first is {damaged[0]}")
    kinds: dict[str, type] = {name: str for name in columns if name in _TEXT}
    # pandas 3.1 reads floats exactly by default and warns when asked to; before, it had to be asked.
    asked = {} if tuple(map(int, pd.__version__.split(".")[:2])) >= (3, 1) else {"float_precision": "round_trip"}
    exact: dict[str, Any] = asked
    text = io.BytesIO(b"".join([",".join(columns).encode(), b"\n", *kept]))
    frame = pd.read_csv(text, dtype=kinds, encoding_errors="replace", **exact)
    for name in columns:
        if name in kinds:
            frame[name] = frame[name].fillna("")
        elif kept and not pd.api.types.is_numeric_dtype(frame[name]):
            with path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    row = cells(line[:-1].decode(errors="replace"), len(columns))
                    if number > 1 and line.endswith(b"\n") and row is not None:
                        check_numbers(path, number, row, columns, _TEXT)
            raise UserError(f"{path}: column {name} holds something that is not a number; mend or remove that line")
    twice = frame.duplicated(_KEYS[table].split())
    if twice.any():
        _note(f"{path}: {twice.sum()} lines repeat the {_KEYS[table]} of an earlier one; left out")
        frame = frame[~twice].reset_index(drop=True)
    _look_for_curves(Path(folder), table, frame, only)
    return frame


def _look_for_curves(folder: Path, table: str, frame: pd.DataFrame, only: Collection[str] | None) -> None:
    """A trial that has ended well has rows in curves.csv too, unless that file was damaged: then say so."""
    path, lacking = folder / "curves.csv", frame["trial"][:0]
    if table == "trials" and not path.exists():
        lacking = frame["trial"][frame["status"] == "ok"]
    elif table == "curves" and (folder / "trials.csv").exists():
        trials = read(folder)
        trials = trials if only is None else trials[trials["trial"].isin(list(only))]
        lacking = trials["trial"][(trials["status"] == "ok") & ~trials["trial"].isin(frame["trial"].unique())]
    if len(lacking):
        what = "has no rows" if path.exists() else "is missing, with the rows"
        _note(f"{path}: {what} of {len(lacking)} trials in trials.csv; they are drawn without learning curves")


@functools.cache
def _note(text: str) -> None:
    """Said once, however often a file is read."""
    print(f"note: {text}", flush=True)
