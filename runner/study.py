"""A study from settings to report: search, fresh-seed runs of the winners, tables. `run(settings)` does it all."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path

from runner import execute, launched, plan, workers
from runner.commands import note_command
from runner.data.dataset import Dataset
from runner.data.load import load
from runner.data.settings import DatasetSettings
from runner.devices import resolve
from runner.errors import UserError
from runner.launched import Launch
from runner.merge import Merger
from runner.models.check import check
from runner.phase import Given, Trained, say, train, watched
from runner.progress import counted
from runner.reading import exists, read
from runner.records import Records
from runner.settings import RUN_KEYS, Settings
from runner.trials import Facts, Trial, expand, unique

FRESH = 1000  # the seeds of final runs begin here, or after the search's own


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
    devices = ("cpu",) if launch else resolve(composed[0].device, composed[0].devices)
    datasets: dict[DatasetSettings, Dataset] = {}
    studies: dict[Path, list[Settings]] = {}
    for s in composed:
        name = s.study or f"{s.dataset.name}-{s.model.name}"
        studies.setdefault(Path(s.results) / name, []).append(s)
    if composed[0].shards and not launch:
        say(f"shards={composed[0].shards}: is for a launcher (-m hydra/launcher=submitit_slurm); training here")
    if not launch and any(_has_work(folder, group, devices) for folder, group in studies.items()):
        workers.warm_up()
    for s in composed:
        if s.dataset not in datasets:
            datasets[s.dataset] = load(s.dataset)
        check(s.model, datasets[s.dataset])
    given = Given(datasets, devices)
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
    left = not first.resume or rows < points / 2
    return left and not first.dry_run and execute.worker_count(first.workers, devices, points) > 1


def _run_study(folder: Path, group: Sequence[Settings], given: Given, launch: Launch | None) -> Outcome:
    first = group[0]
    facts = {settings: Facts.of(dataset) for settings, dataset in given.datasets.items()}
    search = unique(trial for s in group for trial in expand(s, facts[s.dataset]))
    if not first.resume and not first.dry_run:
        _set_aside(folder)
    deadline = time.time() + 60 * first.max_minutes if first.max_minutes else None
    if first.dry_run:
        _describe(folder, search, first, given)
        return Outcome(0, None)
    records = Records(folder)
    note_command(folder, group, records.lock)
    Merger(folder).merge()

    def phase(trials: dict[str, Trial], name: str) -> Trained:
        if launch:
            return launched.train(folder, trials, name, group, given, launch, records)
        return train(folder, trials, name, first, given, deadline)

    trained = phase(search, "search")
    if first.final_seeds and search.keys() <= records.done():
        final = _finalists(folder, search, first.final_seeds, first.replicate)
        trained += phase(final, "final")
    outcome = _conclude(folder, search, trained.count, first, given)
    return replace(outcome, code=1) if trained.lost else outcome


def _finalists(folder: Path, search: dict[str, Trial], seeds: int, replicate: int) -> dict[str, Trial]:
    """Each arm's best cell, and `replicate` others of each block, with seeds that the search did not use."""
    from runner.report.select import replicated, winners

    rows = read(folder)
    asked = rows[rows["trial"].isin(list(search))]
    chosen = [*winners(asked)["trial"], *replicated(asked, replicate)]
    used = {trial.seed for trial in search.values()}
    fresh = list(islice((seed for seed in count(FRESH) if seed not in used), seeds))
    return unique(replace(search[key], seed=seed) for key in chosen for seed in fresh)


def _conclude(folder: Path, search: dict[str, Trial], trained: int, settings: Settings, given: Given) -> Outcome:
    from runner.report.measures import objective
    from runner.report.write import summary, write_report

    if not exists(folder):
        say("no trial has been trained yet")
        return Outcome(0, None)
    rows = read(folder)
    asked = rows[rows["trial"].isin(list(search))]
    page = folder / "report.html"  # the last that a report writes
    table = folder / "trials.csv"
    drawn = page.exists() and table.exists() and page.stat().st_mtime >= table.stat().st_mtime
    print(summary(folder) if drawn and not trained else write_report(folder).terminal)
    status = Counter(asked["status"])
    if trained == 0 and len(asked) == len(search):
        say(f"already done: all {len(search)} trials have their rows; resume=false begins again")
    for word in ("diverged", "failed"):
        if status[word]:
            say(f"{status[word]} of {len(asked)} trials {word}; see the note column")
    if settings.dataset.name == "digits" and given.device == "cpu":
        say("on a GPU, CIFAR-10: python -m runner -m optimizer=adam,adamw dataset=cifar10 model=shakeshake grid=small")
    say(f"rows: {folder / 'trials.csv'}    tables and plots: {folder / 'generalization.md'}")
    return Outcome(1 if status["failed"] else 0, objective(asked, settings.dataset.name == "text"))


def _describe(folder: Path, search: dict[str, Trial], settings: Settings, given: Given) -> None:
    """What the command would do: trials, stacks, operations, time and memory."""
    from runner.estimate import estimate

    done = set(read(folder)["trial"]) if exists(folder) else set()
    left = [trial for key, trial in search.items() if key not in done]
    count = execute.worker_count(settings.workers, given.devices, len(left))
    stacks = plan.plan(left, given.device, settings.stack, count, given.measure(left, settings))
    count = execute.worker_count(settings.workers, given.devices, len(stacks))
    steps = sum(trial.per_epoch * trial.epochs for trial in left)
    print(
        f"{folder}: {counted(len(search), 'trial')}, {len(search) - len(left)} done, {len(left)} to train in "
        f"{counted(len(stacks), 'stack')} and {counted(count, 'process')} on {given.device}, {steps} optimizer steps"
    )
    arms = {(t.shape, t.schedule, t.optimizer.name, t.wd_convention, t.wd > 0) for t in search.values()}
    blocks = {(t.shape, t.schedule) for t in search.values()}
    fresh = settings.final_seeds * (len(arms) + settings.replicate * len(blocks)) / max(1, len(left))
    if left:
        device = given.devices[0]
        print(estimate(stacks, given.datasets, device, count, fresh, watched(settings)).text())
    if settings.final_seeds:
        seeds = counted(settings.final_seeds, "fresh seed")
        print(f"then the best cell of each optimizer's arms, with {seeds} each (in the figures above)")
    print("nothing trained")


def _set_aside(folder: Path) -> None:
    """resume=false: what was computed stays, under another name."""
    if exists(folder):
        old = next(p for i in count(1) if not (p := folder.with_name(f"{folder.name}.old{i}")).exists())
        try:
            folder.rename(old)
        except OSError as error:
            raise UserError(f"{folder}: cannot be renamed to {old.name} ({error.strerror})") from error
        say(f"resume=false: the earlier rows are now in {old}")
