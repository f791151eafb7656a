"""A study from settings to report: search, fresh-seed runs of the winners, tables. `run(settings)` does it all."""

from __future__ import annotations

import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from runner.config.axes import MOST, too_many
from runner.config.settings import RUN_KEYS, Settings
from runner.data.dataset import Dataset
from runner.data.load import load
from runner.data.reading import place
from runner.data.settings import DatasetSettings
from runner.errors import UserError
from runner.execution import pool, provenance
from runner.execution.again import all_there, begin_again, finished
from runner.execution.cluster import launch as launched
from runner.execution.cluster.launch import Launch
from runner.execution.cluster.merge import Merger
from runner.execution.local import Given, Trained, say, train, watched
from runner.execution.progress import counted
from runner.execution.provenance import of_other_code
from runner.finalists import Finals, check_reference, finalists, foreseen, text
from runner.models.check import check
from runner.records.commands import note_command
from runner.records.read import exists, read
from runner.records.records import Records
from runner.records.regular import check_files
from runner.system import called, signals
from runner.system.devices import resolve, worker_count
from runner.system.files import set_aside
from runner.system.shortage import reason
from runner.trials import plan
from runner.trials.older import as_on_record
from runner.trials.trial import Facts, Trial, expand, unique

if TYPE_CHECKING:
    import pandas as pd

ANEW = "resume=false trains them again, fresh=true sets the whole study aside"
AGAIN = "; the same command tries them again"


@dataclass(frozen=True)
class Outcome:
    """`code` is the exit status, `value` what a sweeper minimises: the mean of what selection uses."""

    code: int
    value: float | None


def run(composed: Sequence[Settings], launch: Launch | None = None) -> Outcome:
    """Train what is missing of the trials that `composed` asks for, study by study, and report.

    With `launch`, the jobs of a launcher train, and this process only waits for them.
    """
    for key in RUN_KEYS:
        if len({getattr(s, key) for s in composed}) > 1:
            raise UserError(f"{key}: cannot be swept, it is the same for a whole study; give one value")
    points = sum(len(s.lr) * len(s.wd) * len(s.seed) for s in composed)
    if points > MOST:
        raise too_many(points, "lr x wd x seed")
    devices = ("cpu",) if launch else resolve(composed[0].device, composed[0].devices)
    datasets: dict[DatasetSettings, Dataset] = {}
    studies: dict[Path, list[Settings]] = {}
    for s in composed:
        name = s.study or f"{s.dataset.name}-{s.model.name}"
        studies.setdefault(Path(s.results) / name, []).append(s)
    for folder in studies:
        check_files(folder)
    if composed[0].shards and not launch:
        say(f"shards={composed[0].shards}: is for a launcher (-m hydra/launcher=submitit_slurm); training here")
    if not launch and any(_has_work(folder, group, devices) for folder, group in studies.items()):
        pool.warm_up()
    for s in composed:
        if s.dataset not in datasets:
            datasets[s.dataset] = load(s.dataset)
            for note in datasets[s.dataset].notes:
                say(f"{place(s.dataset)}: {note}")
        check(s.model, datasets[s.dataset], s.batch_size)
    for folder, group in studies.items() if composed[0].reference else ():
        search = unique(trial for s in group for trial in expand(s, Facts.of(datasets[s.dataset])))
        check_reference(None if composed[0].fresh else folder, search, composed[0].reference)
    given = Given(datasets, devices, _import_report)
    outcomes = [_run_study(folder, group, given, launch) for folder, group in studies.items()]
    return Outcome(max(o.code for o in outcomes), outcomes[-1].value)


def _has_work(folder: Path, group: Sequence[Settings], devices: Sequence[str]) -> bool:
    """A guess, before the data is read, whether several processes will be wanted."""
    points = sum(len(s.lr) * len(s.wd) * len(s.seed) for s in group)
    try:
        rows = (folder / "trials.csv").read_bytes().count(b"\n") - 1
    except OSError:  # not there; or unreadable, which the records will say
        rows = 0
    first = group[0]
    # At wd = 0 twins share their trials, so a finished study may have fewer rows than points.
    left = not first.resume or first.fresh or rows < points / 2
    return left and not first.dry_run and worker_count(first.workers, devices, points) > 1


def _run_study(folder: Path, group: Sequence[Settings], given: Given, launch: Launch | None) -> Outcome:
    first = group[0]
    facts = {settings: Facts.of(dataset) for settings, dataset in given.datasets.items()}
    if first.fresh and not first.dry_run:
        _set_aside(folder)
    search = as_on_record(folder, unique(trial for s in group for trial in expand(s, facts[s.dataset])))
    key = "fresh=true" if first.fresh else "" if first.resume else "resume=false"
    signals.advise(f"the same command without {key} goes on from there" if key else "")
    deadline = time.time() + 60 * first.max_minutes if first.max_minutes else None
    if first.dry_run:
        _describe(folder, search, first, given)
        return Outcome(0, None)
    records = Records(folder)
    note_command(folder, group, {"version": provenance.version(), "commit": provenance.commit()}, records.lock)
    Merger(folder).merge()
    failed = records.failed()

    def phase(trials: dict[str, Trial], name: str) -> Trained:
        begin_again(folder, trials, name, first, records)
        if launch:
            return launched.train(folder, trials, name, group, given, launch, records)
        return train(folder, trials, name, first, given, deadline, records=records)

    if not first.resume and first.final_seeds and exists(folder):
        # All at once, so that what is left when this is interrupted is known to the command that goes on.
        known = finalists(folder, search, first.final_seeds, first.replicate)
        begin_again(folder, known.trials, "final", first, records)
    trained = phase(search, "search")
    asked = dict(search)
    if first.final_seeds and search.keys() <= records.ended(failed):
        final = finalists(folder, search, first.final_seeds, first.replicate)
        for line in final.said:
            say(line)
        trained += phase(final.trials, "final")
        asked |= final.trials
    outcome = _conclude(folder, search, trained.count, first, given)
    whole = all_there(folder, asked, trained.late + trained.lost, records, failed)
    stuck = trained.late and not trained.count  # the same command would leave them again
    return replace(outcome, code=1) if trained.lost or stuck or not whole else outcome


def _conclude(folder: Path, search: dict[str, Trial], trained: int, settings: Settings, given: Given) -> Outcome:
    from runner.analysis.measures import objective

    if not exists(folder):
        say("no trial has been trained yet")
        return Outcome(0, None)
    rows = read(folder)
    asked = rows[rows["trial"].isin(list(search))]
    shown, _, answer = _reported(folder, settings.reference, rows).rpartition("\n\n")
    if shown:
        print(shown)
    status = Counter(asked["status"])
    if trained == 0 and len(asked) == len(search):
        say(f"already done: all {len(search)} trials have their rows; {ANEW}")
    if other := of_other_code(asked):
        say(other)
    for word in ("diverged", "failed"):
        if status[word]:
            say(f"{status[word]} of {len(asked)} trials {word}; see the note column{AGAIN if word == 'failed' else ''}")
    if settings.dataset.name == "digits" and given.device == "cpu":
        words = "-m optimizer=adam,adamw dataset=cifar10 model=shakeshake grid=small".split()
        say(f"on a GPU, CIFAR-10: {called.command(*words)}")
    say(f"rows: {folder / 'trials.csv'}    tables and plots: {folder / 'generalization.md'}")
    say(answer)
    return Outcome(1 if status["failed"] else 0, objective(asked, settings.dataset.name == "text"))


def _reported(folder: Path, reference: str, rows: pd.DataFrame) -> str:
    """What the study's report says on a terminal; it is drawn where none is there of these rows and this reference."""
    from runner.report.fingerprint import fingerprint, is_current, keep, kept

    state = fingerprint(folder, reference)
    current = is_current(folder, state)
    if current and (told := kept(folder, state)):
        return told
    # The statistics and plots are imported for this alone, and a finished study waits for neither.
    from runner.report.write import summary, write_report

    if not current:
        return write_report(folder, reference).terminal
    told = summary(folder, reference, rows)
    keep(folder, state, told)
    return told


def _describe(folder: Path, search: dict[str, Trial], settings: Settings, given: Given) -> None:
    """What the command would do: trials, stacks, operations, time and memory."""
    from runner.execution.estimate import estimate

    anew = settings.fresh or not settings.resume
    asked, final, later, stay = (settings.final_seeds, settings.replicate), None, 0, 0
    known = finalists(folder, search, *asked) if settings.final_seeds and not settings.fresh else Finals({})
    done = set() if anew else finished(folder, search | known.trials, settings)
    left = [trial for key, trial in search.items() if key not in done]
    # The best cells are known when the search is done; until then as many as there can be.
    if settings.final_seeds and left:
        later, stay = foreseen(None if settings.fresh else folder, search, *asked, known.trials, done)
    elif settings.final_seeds:
        final = known
    fresh = [trial for key, trial in final.trials.items() if key not in done] if final else []
    trials = search | (final.trials if final else {})
    left += fresh
    count = worker_count(settings.workers, given.devices, len(left))
    sizes = given.measure(left, settings)
    stacks = plan.plan(left, given.device, settings.stack, count, sizes, settings.exact, settings.compute)
    count = worker_count(settings.workers, given.devices, len(stacks))
    steps = sum(trial.per_epoch * trial.epochs for trial in left)
    print(
        f"{folder}: {counted(len(trials), 'trial')}, {len(trials) - len(left)} done, {len(left)} to train in "
        f"{counted(len(stacks), 'stack')} and {counted(count, 'process')} on {given.device}, {steps} optimizer steps"
    )
    if left:
        device = given.devices[0]
        try:
            print(estimate(stacks, given.datasets, device, count, later / len(left), watched(settings)).text())
        except UserError:
            raise
        except Exception as error:  # of a network that does not work, whoever wrote it
            where = traceback.extract_tb(error.__traceback__)[-1]
            raise UserError(f"a step fails: {reason(error)} ({where.filename}, line {where.lineno})") from error
    if final:
        print("\n".join([f"among them {text(final, len(fresh))}, {len(fresh)} to train", *final.said]))
    elif later:
        seeds = counted(settings.final_seeds, "fresh seed")
        kept = f"; {stay or 'none'} if those that are the best now stay so" if stay < later else ""
        more = f"up to {counted(later, 'trial')} more (in the figures above){kept}"
        print(f"then the best cell of each arm with {seeds}: {more}")
    print("nothing trained")


def _set_aside(folder: Path) -> None:
    """fresh=true: what was computed stays, under another name; also saved states that have no row yet."""
    if folder.is_dir() and any(folder.iterdir()):
        try:
            old = set_aside(folder)
        except OSError as error:
            raise UserError(
                f"{folder}: cannot be renamed to {Path(error.filename2).name} ({error.strerror})"
            ) from error
        say(f"fresh=true: the earlier rows are now in {old}")


def _import_report() -> None:
    """pandas and matplotlib take a second to import, which is free while others train."""
    import runner.report.page.page
    import runner.report.write  # noqa: F401
