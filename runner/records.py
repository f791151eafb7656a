"""The study's CSV files: what is in them is done, what is not is still to do.

`Records(folder).append_trials(rows)` and `read(folder)` are the calls to know. Rows are only ever
appended: one block of whole lines, one write, under a file lock shared by every process on the study.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.errors import UserError
from runner.lock import Lock

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1

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
    return str(value)


@dataclass
class _Table:
    """One append-only file and how much of it this process has read."""

    path: Path
    columns: Sequence[str]
    order: str  # the column that, with `trial`, names a row: "" if there is one row per trial

    def __post_init__(self) -> None:
        self.offset = 0
        self.last: dict[str, int] = {}  # trial -> the largest `order` value on file (0 without one)

    def refresh(self) -> None:
        """Read what other processes appended since the last look. The caller holds the lock."""
        if not self.path.exists():
            self.offset, self.last = 0, {}
            return
        with self.path.open("rb") as file:
            if self.offset == 0:
                line = file.readline()
                check_header(self.path, line, self.columns)
                if not line.endswith(b"\n"):
                    if line:
                        self._cut(0)
                    return
                self.offset = file.tell()
            file.seek(self.offset)
            text = file.read()
        whole = text.rfind(b"\n") + 1
        if whole < len(text):
            self._cut(self.offset + whole)
        at = self.columns.index(self.order) if self.order else -1
        key = self.columns.index("trial")
        for row in csv.reader(io.StringIO(text[:whole].decode(errors="replace"))):
            if len(row) == len(self.columns):
                value = int(row[at]) if at >= 0 else 0
                self.last[row[key]] = max(value, self.last.get(row[key], value))
        self.offset += whole

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
        block = text.getvalue().encode()
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                written = os.write(descriptor, block)
                if written != len(block):
                    raise OSError(f"wrote {written} of {len(block)} bytes")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise UserError(
                f"{self.path}: cannot append ({error.strerror or error}); free space or choose another "
                "folder with results=..., then run the same command again: it goes on from the last row"
            ) from error
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


def check_header(path: Path, line: bytes, columns: Sequence[str]) -> None:
    """Refuse a file that this version did not write, rather than mix two layouts in it."""
    header = ",".join(columns)
    text = line.decode(errors="replace")
    if not text.endswith("\n") and header.startswith(text):
        return  # nothing yet, or a first write that was killed half-way
    if text.strip() != header:
        pairs = enumerate(zip_longest(text.strip().split(","), columns, fillvalue=""), 1)
        number, found, wanted = next((n, f, w) for n, (f, w) in pairs if f != w)
        raise UserError(
            f"{path}: not a records file of schema {SCHEMA} (column {number} is {found[:20]!a}, not '{wanted}'); "
            "choose another study=... or move the file away"
        )


def read(folder: Path, table: str = "trials") -> pd.DataFrame:
    """`trials`, `curves`, `cycles` or `dynamics` of a study as a DataFrame; empty cells and `nan` both become NaN.

    A torn last line is left out. Raises UserError where there is no such study.
    """
    import pandas as pd

    columns = _COLUMNS[table]
    path = Path(folder) / f"{table}.csv"
    if not path.exists():
        if table == "trials":
            raise UserError(f"{path}: no such file; give a study's folder, such as results/digits-resnet")
        return pd.DataFrame(columns=columns)
    try:
        first, _, rest = path.read_bytes().partition(b"\n")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    check_header(path, first + b"\n" if rest or first.count(b",") + 1 >= len(columns) else first, columns)
    lines = rest[: rest.rfind(b"\n") + 1].decode(errors="replace").splitlines()
    whole = [line for line in lines if _fields(line) == len(columns)]
    if len(whole) < len(lines):
        number = next(n for n, line in enumerate(lines, 2) if _fields(line) != len(columns))
        print(f"note: {path}: {len(lines) - len(whole)} damaged lines are left out, the first is {number}", flush=True)
    kinds: dict[str, type] = {name: str for name in columns if name in _TEXT}
    # pandas 3.1 reads floats exactly by default and warns when asked to; before, it had to be asked.
    asked = {} if tuple(map(int, pd.__version__.split(".")[:2])) >= (3, 1) else {"float_precision": "round_trip"}
    exact: dict[str, Any] = asked
    frame = pd.read_csv(io.StringIO("\n".join([",".join(columns), *whole])), dtype=kinds, **exact)
    for name in columns:
        if name in kinds:
            frame[name] = frame[name].fillna("")
        elif whole and not pd.api.types.is_numeric_dtype(frame[name]):
            raise UserError(f"{path}: column {name} holds something that is not a number; mend or remove that line")
    return frame


def _fields(line: str) -> int:
    return len(next(csv.reader([line]), [])) if '"' in line else line.count(",") + 1
