"""What a command asks to be measured and finished trials were trained without: `unmeasured(folder, ...)` says it.

How often and how much is measured changes no result, so it is no part of a trial's id, and a trial that has its row is
not trained again for it. Without a word the plots would lack what was asked for.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from runner.config.settings import RunSettings
from runner.execution.progress import counted
from runner.records.commands import agreed
from runner.records.lacking import left_out
from runner.records.read import read
from runner.records.records import Records


def unmeasured(folder: Path, trials: Collection[str], phase: str, run: RunSettings, records: Records) -> list[str]:
    """A line for each of diagnostics, eval_every and eval_all that some of the finished `trials` were trained without.

    Args:
        folder: of the study, whose study.yaml has this command too.
        trials: ids of the trials of this command that are not trained again.
        phase: "search" or "final", for the lines.
        run: what this command asks for.
        records: of the study.
    """
    ended = {key: row for key, row in records.last().items() if row.status == "ok" and key in trials}
    without = left_out(folder)
    found: dict[str, set[str]] = {}
    if run.diagnostics and "dynamics" not in without:
        there = {name.partition(",")[0] for name in records.counts("dynamics")}
        found["dynamics.csv has nothing"] = ended.keys() - there
    if "curves" not in without and not agreed(folder, "eval_every", run.eval_every):
        curves = records.counts("curves")
        asked = {key: _bits(run.eval_every, curves.get(key, 0)) for key in ended}
        found[f"curves.csv has not every epoch of eval_every={run.eval_every}"] = {
            key for key, bits in asked.items() if bits & ~curves.get(key, 0)
        }
    if run.eval_all and "curves" not in without and not agreed(folder, "eval_all", True):
        rows = read(folder, "curves", ended)
        found["curves.csv has no test errors in some epochs"] = set(rows["trial"][rows["test_error"].isna()])
    return [
        f"{what} of {counted(len(some), f'finished {phase} trial')}; resume=false trains "
        f"{'it' if len(some) == 1 else 'them'} again"
        for what, some in found.items()
        if some
    ]


def _bits(every: int, there: int) -> int:
    """The epochs up to the last that there is, of which each of `every` is asked for, as bits of an integer."""
    return sum(1 << epoch for epoch in range(every, there.bit_length(), every))
