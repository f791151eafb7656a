"""Which rows count: `current("curves", own, jobs)` of frames, and the same for the counts that a process remembers.

Nothing is rewritten, so a trial that is trained again has rows of two attempts. A later row of trials.csv supersedes an
earlier one of the same trial, unless it says that the trial failed and the earlier one holds a result. In the other
tables a row that has the name of an earlier one begins a new attempt, which supersedes all from that count on.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.records.schema import COUNTED, TRIALS, WORDS, names

if TYPE_CHECKING:
    import pandas as pd

STATUS, STEPS, PHASE = (TRIALS.index(name) for name in ("status", "steps", "phase"))


class Last(NamedTuple):
    """The row of trials.csv that counts for a trial, in short."""

    status: str
    steps: str
    phase: str
    mark: str  # of the row, which tells it from any other of that trial

    @classmethod
    def of(cls, row: Sequence[str], line: bytes) -> Last:
        """Of a row with these cells, which stands in the file as `line`."""
        return cls(row[STATUS], row[STEPS], row[PHASE], mark(line))

    def superseded_by(self, later: Last) -> bool:
        """Whether a row that was written later takes its place: a failure takes that of no result."""
        return later.status != "failed" or self.status == "failed"


def mark(line: bytes) -> str:
    """A short hash of a row, the same in a file of whatever width."""
    return hashlib.blake2b(line.rstrip(b"\r\n,"), digest_size=8).hexdigest()


def supersede(counts: array[int], count: int) -> None:
    """Add the count of a trial's next row to those of its rows so far, which ascend.

    A count that is there begins a new attempt, which takes the place of all from there on. Rows nearly always come in
    order, and an array takes four bytes for each, where a set takes sixty: a study can have millions.
    """
    place = bisect_left(counts, count)
    if place < len(counts) and counts[place] == count:
        del counts[place:]
    counts.insert(place, count)


def merged(written: Iterable[Sequence[int]]) -> Sequence[int]:
    """The counts of a trial's rows that stand in several files, each written after the ones before."""
    filled = [counts for counts in written if counts]
    if len(filled) < 2:
        return filled[0] if filled else ()
    result = array("i", filled[0])
    for counts in filled[1:]:
        for count in counts:
            supersede(result, count)
    return result


def current(table: str, own: pd.DataFrame, jobs: Sequence[pd.DataFrame]) -> tuple[pd.DataFrame, int]:
    """The rows that count, of a study's own file and those of jobs, and how many lines of `own` repeat another.

    A job's row that the study's file has too, cell for cell, has been merged: it says nothing about which is later.
    """
    import pandas as pd

    frame = own
    if any(map(len, jobs)):
        frame = pd.concat([f for f in (own, *jobs) if len(f)], ignore_index=True)
    several = frame.duplicated(names(table), keep=False)
    repeated = 0
    if several.any():
        same = frame[several].duplicated()
        repeated = int(same.reindex(own.index, fill_value=False).sum())
        frame = frame.drop(index=same.index[same])
    counting = _latest(frame) if table == "trials" else _last_attempts(frame, table)
    return frame[counting].reset_index(drop=True), repeated


def _latest(frame: pd.DataFrame) -> pd.Series[Any]:
    """Of each row of trials.csv whether it counts: it is its trial's last result, or last failure if there is none."""
    result = frame["status"] != "failed"
    has = result.groupby(frame["trial"]).transform("any") if len(frame) else result
    return ~frame[["trial"]].assign(result=result).duplicated(keep="last") & (result | ~has)


def _last_attempts(frame: pd.DataFrame, table: str) -> pd.Series[Any]:
    """Of each row of another table whether it counts: no later row of its trial begins an attempt at or before it."""
    import numpy as np
    import pandas as pd

    counting = np.ones(len(frame), bool)
    trials = frame.groupby(list(WORDS[table]), sort=False).ngroup().to_numpy()
    again = frame.duplicated(names(table)).to_numpy()
    if again.any():
        counts = frame[COUNTED[table]].to_numpy()
        some = np.flatnonzero(np.isin(trials, trials[again]))[::-1]  # from the last to the first
        begins = pd.Series(np.where(again[some], counts[some], np.inf))
        least_after = begins.groupby(trials[some]).cummin().groupby(trials[some]).shift(fill_value=np.inf)
        counting[some] = counts[some] < least_after.to_numpy()
    return pd.Series(counting, frame.index)


def lived(frame: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """Without the epochs of a trial behind the step at which it diverged: they are an earlier attempt's."""
    diverged = trials[trials["status"] == "diverged"]
    if frame.empty or diverged.empty:
        return frame
    per_epoch = -(-diverged["train_size"] // diverged["batch_size"])
    last = ((diverged["steps"] - 1) // per_epoch).set_axis(diverged["trial"])
    late = frame["epoch"] > frame["trial"].map(last)  # False where it is not known
    return frame[~late].reset_index(drop=True) if late.any() else frame
