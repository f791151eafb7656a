"""A study from settings to report: search, fresh-seed runs of the winners, tables. `run(settings)` does it all."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING

import runner.report.plots
from runner.claims.listed import LISTED
from runner.config.axes import MOST, too_many
from runner.config.settings import RunSettings, Settings
from runner.data.dataset import Dataset
from runner.data.load import load
from runner.data.reading import place
from runner.data.settings import DatasetSettings
from runner.dry_run import describe
from runner.errors import UserError
from runner.execution import pool, provenance
from runner.execution.again import all_there, begin_again, set_study_aside
from runner.execution.cluster import launch as launched
from runner.execution.cluster.launch import Launch
from runner.execution.cluster.merge import Merger
from runner.execution.local import PhaseOutcome, Resources, say, train
from runner.execution.provenance import of_other_code
from runner.finalists import check_reference
from runner.protocol_checks import check_auto, check_primary, check_splits, check_splits_on_record
from runner.records.commands import note_command, without_effect
from runner.records.packed import opened
from runner.records.read import exists, read
from runner.records.records import Records
from runner.records.regular import check_files
from runner.replication import (
    Asked,
    first_replicates,
    load_replicates,
    primary_comparisons,
    search_of,
    train_replicates,
)
from runner.system import called, signals
from runner.system.devices import resolve, train_apart
from runner.trials.older import as_on_record
from runner.trials.trial import Trial

if TYPE_CHECKING:
    import pandas as pd

ANEW = "resume=false trains them again, fresh=true sets the whole study aside"
MATPLOTLIB = ("matplotlib.figure", "matplotlib.backends.backend_agg")
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
    settings = _shared(composed)
    devices = ("cpu",) if launch else resolve(settings.device, settings.devices)
    studies: dict[Path, list[Settings]] = {}
    for s in composed:
        name = s.study or f"{s.dataset.title}-{s.model.title}"
        studies.setdefault(Path(settings.results) / name, []).append(s)
    for folder, group in studies.items():
        check_files(folder)
        check_splits(group)
    if settings.shards and not launch:
        say(f"shards={settings.shards}: is for a launcher (-m hydra/launcher=submitit_slurm); training here")
    if not launch and any(_has_work(folder, group, devices) for folder, group in studies.items()):
        pool.warm_up()
    datasets = _loaded(composed)
    resources = Resources(settings, datasets, devices, _import_report)
    searches = {folder: _search(folder, group, datasets) for folder, group in studies.items()}
    for folder, search in searches.items() if settings.reference else ():
        check_reference(None if settings.fresh else folder, search, settings.reference)
    for folder, search in searches.items():
        check_splits_on_record(folder, search, settings)
        if line := check_primary(folder, search, settings):
            say(line)
    outcomes = [
        _run_study(folder, group, searches[folder], datasets, resources, launch) for folder, group in studies.items()
    ]
    return Outcome(max(o.code for o in outcomes), outcomes[-1].value)


def _shared(composed: Sequence[Settings]) -> RunSettings:
    """How all of a command is run. UserError where its compositions differ in it, or ask for too many trials."""
    first = composed[0].run
    for f in fields(RunSettings):
        if any(getattr(s.run, f.name) != getattr(first, f.name) for s in composed):
            raise UserError(f"{f.name}: cannot be swept, it is the same for a whole study; give one value")
    if first.primary and first.primary not in LISTED:
        raise UserError(f"primary={first.primary}: must be the id of a claim, one of {', '.join(LISTED)}")
    if (points := _points(composed)) > MOST:
        raise too_many(points, "lr x wd x seed")
    return first


def _points(group: Sequence[Settings]) -> int:
    return sum(len(s.lr) * len(s.wd) * len(s.seed) * first_replicates(s.run) for s in group)


def _loaded(composed: Sequence[Settings]) -> dict[DatasetSettings, Dataset]:
    """The datasets, each read once, and each checked against the models that are trained on it."""
    datasets: dict[DatasetSettings, Dataset] = {}
    for s in composed:
        if s.dataset not in datasets:
            datasets[s.dataset] = load(s.dataset)
            for note in datasets[s.dataset].notes:
                say(f"{place(s.dataset)}: {note}")
    load_replicates(composed, datasets, 1)
    return datasets


def _has_work(folder: Path, group: Sequence[Settings], devices: Sequence[str]) -> bool:
    """A guess, before the data is read, whether other processes than this one will be wanted."""
    settings, points = group[0].run, _points(group)
    try:
        with opened(folder / "trials.csv") as file:
            rows = sum(1 for _ in file) - 1
    except (OSError, UserError):  # not there; or unreadable, which the records will say
        rows = 0
    # At wd = 0 twins share their trials, so a finished study may have fewer rows than points.
    left = not settings.resume or settings.fresh or rows < points / 2
    return left and not settings.dry_run and train_apart(settings.workers, devices, points)


def _search(folder: Path, group: Sequence[Settings], datasets: dict[DatasetSettings, Dataset]) -> dict[str, Trial]:
    """The search trials of a study's first replicates, by id; their splits are added to `datasets`."""
    run, comparisons = group[0].run, 1
    if not run.replicates:  # only then, for it takes pandas to know
        known, one = None if run.fresh else folder, search_of(group, datasets, range(1))
        comparisons = primary_comparisons(known, one)
        check_auto(known, one, run, comparisons)
    count = first_replicates(run, comparisons)
    load_replicates(group, datasets, count)
    return search_of(group, datasets, range(count))


def _run_study(
    folder: Path,
    group: Sequence[Settings],
    search: dict[str, Trial],
    datasets: dict[DatasetSettings, Dataset],
    resources: Resources,
    launch: Launch | None,
) -> Outcome:
    settings = resources.run
    if settings.fresh and not settings.dry_run:
        set_study_aside(folder)
    search = as_on_record(folder, search)
    key = "fresh=true" if settings.fresh else "" if settings.resume else "resume=false"
    signals.advise(f"the same command without {key} goes on from there" if key else "")
    deadline = time.time() + 60 * settings.max_minutes if settings.max_minutes else None
    if not settings.fresh and (line := without_effect(folder, settings)):
        say(f"{folder}: {line}")
    if settings.dry_run:
        describe(folder, search, resources)
        return Outcome(0, None)
    records = Records(folder)
    note_command(folder, group, {"version": provenance.version(), "commit": provenance.commit()}, records.lock)
    Merger(folder).merge()
    failed = records.failed()

    def phase(trials: dict[str, Trial], name: str) -> PhaseOutcome:
        begin_again(folder, trials, name, settings, records)
        if launch:
            outcome = launched.train(trials, name, resources, records, launch, settings.shards or len(group))
        else:
            outcome = train(trials, name, resources, records, deadline)
        if name == "search":
            records.count_as_search(trials.keys())
        return outcome

    asked = train_replicates(group, datasets, search, records, failed, phase)
    trained = asked.outcome
    outcome = _conclude(folder, asked, group[0].dataset.name, resources)
    whole = all_there(folder, asked.trials, trained.late + trained.lost, records, failed)
    stuck = trained.late and not trained.count  # the same command would leave them again
    return replace(outcome, code=1) if trained.lost or stuck or not whole else outcome


def _conclude(folder: Path, asked: Asked, dataset: str, resources: Resources) -> Outcome:
    """Report, and say what came of all that was `asked` for; `dataset` is its group's name."""
    from runner.analysis.measures import objective

    if not exists(folder):
        say("no trial has been trained yet")
        return Outcome(0, None)
    rows = read(folder)
    search, ended = (rows[rows["trial"].isin(list(trials))] for trials in (asked.search, asked.trials))
    shown, _, answer = _reported(folder, resources.run, rows).rpartition("\n\n")
    if shown:
        print(shown)
    status, trained = Counter(ended["status"]), asked.outcome
    if trained.count == 0 and len(search) == len(asked.search):
        say(f"already done: all {len(search)} trials have their rows; {ANEW}")
    if other := of_other_code(search):
        say(other)
    for word in ("diverged", "failed"):
        if status[word]:
            say(f"{status[word]} of {len(ended)} trials {word}; see the note column{AGAIN if word == 'failed' else ''}")
    if dataset == "digits" and resources.device == "cpu":
        words = "-m optimizer=adam,adamw dataset=cifar10 model=shakeshake grid=small".split()
        say(f"on a GPU, CIFAR-10: {called.command(*words)}")
    say(f"rows: {folder / 'trials.csv'}    tables and plots: {folder / 'generalization.md'}")
    # What a part of the runs would advise, such as more seeds, would be asked for beside those that are still to come.
    say("not finished: no answer yet" if trained.late or trained.lost else answer)
    return Outcome(1 if status["failed"] else 0, objective(search, dataset == "text"))


def _reported(folder: Path, run: RunSettings, rows: pd.DataFrame) -> str:
    """What the study's report says on a terminal; it is drawn where none is there of these rows and these settings."""
    from runner.report.fingerprint import fingerprint, is_current, keep, kept

    state = fingerprint(folder, run.reference, run.claims)
    current = is_current(folder, state)
    if current and (told := kept(folder, state)):
        return told
    # The statistics and plots are imported for this alone, and a finished study waits for neither.
    from runner.report.write import summary, write_report

    if not current:
        return write_report(folder, run.reference, run.claims).terminal
    told = summary(folder, run.reference, rows)
    keep(folder, state, told)
    return told


def _import_report() -> None:
    """pandas, matplotlib and the plots take a second to import, which is free while others train."""
    plots = [module.name for module in iter_modules(runner.report.plots.__path__, "runner.report.plots.")]
    for name in (*plots, "runner.report.write", "runner.report.page.page", *MATPLOTLIB):
        import_module(name)
