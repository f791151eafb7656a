"""What a command trains although there are rows of it, and what it lacks in the end: `begin_again`, `all_there`.

`set_study_aside` makes room for a whole study that is begun anew.

A trial is trained again because `resume=false` says so, or because rows that it must have beside that of trials.csv
are lost. Its row stays valid until the new one supersedes it.

A trial is not trained again only because a command asks for more to be measured than it was trained with: that changes
no result, and is no part of its id. A note says so, for the plots will lack it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from runner.config.schedules import RestartsSettings, cycles
from runner.config.settings import RunSettings
from runner.errors import UserError
from runner.execution import saved
from runner.execution.local import say
from runner.execution.progress import counted
from runner.records import parts
from runner.records.commands import agreed
from runner.records.lacking import left_out
from runner.records.read import exists, read
from runner.records.records import Records, counts_of, last_rows, reopened
from runner.records.schema import FILES
from runner.records.superseding import Last
from runner.records.table import Table
from runner.system.files import set_aside
from runner.trials.trial import Trial


def set_study_aside(folder: Path) -> None:
    """fresh=true: what was computed stays, under another name; also saved states that have no row yet."""
    if folder.is_dir() and any(folder.iterdir()):
        try:
            old = set_aside(folder)
        except OSError as error:
            raise UserError(
                f"{folder}: cannot be renamed to {Path(error.filename2).name} ({error.strerror})"
            ) from error
        say(f"fresh=true: the earlier rows are now in {old}")


def begin_again(folder: Path, trials: Mapping[str, Trial], phase: str, run: RunSettings, records: Records) -> None:
    """Open those of `trials` again that have a result and are to be trained all the same; say which and why.

    Args:
        folder: of the study.
        trials: of this command, by id.
        phase: "search", "refine" or "final", for the lines.
        run: what this command asks for, `resume` above all.
        records: of the study.
    """
    if run.resume:
        lacking = lost(folder, trials, run, records)
        opened = records.reopen({trial for some in lacking.values() for trial in some})
        if opened:
            each = ", ".join(f"{name}.csv of {len(some & opened)}" for name, some in lacking.items() if some & opened)
            many = counted(len(opened), f"{phase} trial")
            say(f"note: {folder.name}: rows are missing in {each}: {many} trained again")
        for line in unmeasured(folder, trials.keys() - opened, phase, run, records):
            say(f"note: {folder.name}: {line}")
        return
    opened = records.reopen(trials)
    saved.forget(folder, trials.keys(), records, lambda _, note: say(f"note: {note}"))
    if opened:
        say(
            f"{folder.name}: resume=false: {len(opened)} of {counted(len(trials), f'{phase} trial')} trained again; "
            "each row counts until its new one is there. If this is interrupted, go on without resume=false"
        )


def unmeasured(folder: Path, trials: Collection[str], phase: str, run: RunSettings, records: Records) -> list[str]:
    """A line for each of diagnostics, eval_every and eval_all that some of the finished `trials` were trained without.

    Args:
        folder: of the study, whose study.yaml has this command too.
        trials: ids of the trials of this command that are not trained again.
        phase: "search", "refine" or "final", for the lines.
        run: what this command asks for.
        records: of the study.
    """
    ended = {key: row for key, row in records.last().items() if row.status == "ok" and key in trials}
    without, every = left_out(folder), run.eval_every
    lacking: dict[str, set[str]] = {}
    if run.diagnostics and "dynamics" not in without:
        followed = {name.partition(",")[0] for name in records.counts("dynamics")}
        lacking["dynamics.csv has nothing"] = ended.keys() - followed
    if "curves" not in without and not agreed(folder, "eval_every", every):
        curves = {key: epochs for key, epochs in records.counts("curves").items() if key in ended}
        lacking[f"curves.csv has not every epoch of eval_every={every}"] = {
            key for key, epochs in curves.items() if not set(range(every, epochs[-1], every)).issubset(epochs)
        }
    if run.eval_all and "curves" not in without and not agreed(folder, "eval_all", True):
        rows = read(folder, "curves", ended)
        lacking["curves.csv has no test errors in some epochs"] = set(rows["trial"][rows["test_error"].isna()])
    return [
        f"{what} of {counted(len(some), f'finished {phase} trial')}; resume=false trains "
        f"{'it' if len(some) == 1 else 'them'} again"
        for what, some in lacking.items()
        if some
    ]


def lost(folder: Path, trials: Mapping[str, Trial], run: RunSettings, records: Records | Look) -> dict[str, set[str]]:
    """The trials that have a result and lack rows in another table, by table.

    Args:
        folder: of the study. A table that was left out of it on purpose lacks none.
        trials: by id, those that are looked at.
        run: how often this command evaluates, and whether it follows the layers.
        records: of the study, or a look at them.
    """
    last = {key: row for key, row in records.last().items() if key in trials and row.status != "failed"}
    lacking: dict[str, set[str]] = {"curves": set(), "cycles": set(), "dynamics": set()}
    if not last:
        return {}
    counts = {table: records.counts(table) for table in lacking}
    # Where commands validated at other epochs, or did not all follow the layers, only what all must have is missed.
    every = run.eval_every if agreed(folder, "eval_every", run.eval_every) else 0
    followed = run.diagnostics and agreed(folder, "diagnostics", True)
    layers: dict[str, list[Sequence[int]]] = {}
    for name, epochs in counts["dynamics"].items():
        layers.setdefault(name.partition(",")[0], []).append(epochs)
    for key, row in last.items():
        wanted = set(_epochs(trials[key], row, every))
        if not wanted.issubset(counts["curves"].get(key, ())):
            lacking["curves"].add(key)
        if not set(_cycles(trials[key], row)).issubset(counts["cycles"].get(key, ())):
            lacking["cycles"].add(key)
        of_layers = layers.get(key, [])
        if not all(wanted.issubset(epochs) for epochs in of_layers) or (followed and wanted and not of_layers):
            lacking["dynamics"].add(key)
    return {table: some for table, some in lacking.items() if some and table not in left_out(folder)}


def _lived(trial: Trial, row: Last) -> int:
    """The epochs that a trial saw the end of."""
    if row.status == "ok" or not row.steps:
        return trial.epochs if row.status == "ok" else 0
    return int((float(row.steps) - 1) // trial.per_epoch)


def _epochs(trial: Trial, row: Last, every: int) -> Iterator[int]:
    """The epochs that have rows for certain; `every`: between two validations, 0 where that is not known."""
    ends = {first + size for first, size in cycles(trial.schedule, trial.epochs)}
    for epoch in range(1, _lived(trial, row) + 1):
        if epoch == trial.epochs or epoch in ends or (every and epoch % every == 0):
            yield epoch


def _cycles(trial: Trial, row: Last) -> Iterator[int]:
    """The cycles that have rows for certain."""
    if isinstance(trial.schedule, RestartsSettings):
        for number, (first, size) in enumerate(cycles(trial.schedule, trial.epochs), 1):
            if first + size <= _lived(trial, row):
                yield number


class Look:
    """What is on record of a study, by a look that leaves nothing behind, not even a lock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def last(self) -> dict[str, Last]:
        """The row of trials.csv that counts for each trial, in short."""
        study, *jobs = self._tables("trials")
        return last_rows(study, jobs)

    def counts(self, table: str) -> dict[str, Sequence[int]]:
        """`counts_of` what is written of a table."""
        return counts_of(self._tables(table))

    def _tables(self, name: str) -> list[Table]:
        study = Table(self.folder / FILES[name], name)
        jobs = [Table(part / FILES[name], name, on_bad_row="say") for part in parts.of(self.folder)]
        for table in (*jobs, study):
            table.refresh(mend=False)
        return [study, *jobs]


def finished(folder: Path, trials: Mapping[str, Trial], run: RunSettings) -> set[str]:
    """The trials of the study in `folder` that have a result, but those of `trials` that `begin_again` would open.

    `run`: what this command asks for. Nothing is written.
    """
    if not exists(folder):
        return set()
    look, opened = Look(folder), reopened(folder)
    opened.refresh(mend=False)
    done = {t for t, row in look.last().items() if row.status != "failed" and f"{t},{row.mark}" not in opened.seen}
    return done.difference(*lost(folder, trials, run, look).values())


def all_there(folder: Path, trials: Mapping[str, Trial], known: int, records: Records, failed: Collection[str]) -> bool:
    """Whether each of `trials` has a row now, but so many that it is `known` of why not; else say what to do.

    A study that is moved, deleted or edited, or set aside by another command while it trains, loses rows unseen.

    Args:
        folder: of the study.
        trials: of the command, by id.
        known: how many of them max_minutes or want of memory have left, which was said.
        records: of the study.
        failed: marks of the failed rows that there were when the command began.
    """
    last = records.last() if exists(folder) else {}
    gone = len(trials.keys() - last.keys())
    if gone > known:
        say(
            f"{gone} of {len(trials)} trials asked for have no row: was {folder} moved, edited or set aside by another "
            "command while it trained? The same command trains what is missing"
        )
        return False
    if not (folder / ".state").exists():
        return True
    results = {trial for trial, row in last.items() if row.status != "failed"}
    failed_again = trials.keys() & results & (records.ended(failed) - records.done())
    if failed_again:
        say(f"{counted(len(failed_again), 'trial')} failed when trained again: the earlier row still counts")
    return not failed_again
