"""A study's replicates trained: all of them as one pool of stacks, or one more at a time until a verdict is there.

`train_replicates(...)` is the call to know. Imports pandas when it is called, not before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runner.analysis.sequential import REPLICATES, least
from runner.config.settings import RunSettings, Settings
from runner.data.dataset import Dataset
from runner.data.load import load
from runner.data.settings import DatasetSettings
from runner.execution.again import begin_again
from runner.execution.local import PhaseOutcome, say
from runner.finalists import blocks_of, finalists
from runner.models.check import check
from runner.records.read import exists, read
from runner.records.records import Records
from runner.refine import refinements
from runner.trials.older import as_on_record
from runner.trials.replicates import data_of, of_replicate
from runner.trials.trial import Trial, unique

Phase = Callable[[dict[str, Trial], str], PhaseOutcome]


@dataclass
class Asked:
    """What a command asks for, as far as it is known: trials by id, and what became of them."""

    search: dict[str, Trial] = field(default_factory=dict)
    trials: dict[str, Trial] = field(default_factory=dict)  # of the search and with fresh seeds
    outcome: PhaseOutcome = field(default_factory=PhaseOutcome)


def first_replicates(run: RunSettings, comparisons: int = 1) -> int:
    """How many replicates are trained before anybody looks: all, or with `replicates=auto` the fewest for a verdict.

    Args:
        run: the command's settings.
        comparisons: how many are primary.
    """
    return run.replicates or max(REPLICATES, least(run.prior_g, run.alpha / max(1, comparisons)))


def primary_comparisons(folder: Path | None, search: Mapping[str, Trial]) -> int:
    """In how many blocks of a study arms are compared, when `search` is trained; each has one primary comparison."""
    return sum(block.compares for block in blocks_of(folder, search, planned=True, alone=False))


def load_replicates(group: Sequence[Settings], datasets: MutableMapping[DatasetSettings, Dataset], count: int) -> None:
    """Load the splits of so many replicates into `datasets`, and check them against their models.

    Raises:
        UserError: for data that cannot be split so, or that a model cannot take.
    """
    for s in group:
        for replicate in range(count):
            own = data_of(s.dataset, replicate)
            if own not in datasets:
                datasets[own] = load(own)
            check(s.model, datasets[own], s.batch_size)


def search_of(
    group: Sequence[Settings], datasets: Mapping[DatasetSettings, Dataset], replicates: range
) -> dict[str, Trial]:
    """The search trials of a study by id: those of all these replicates, one after the other."""
    return unique(trial for number in replicates for s in group for trial in of_replicate(s, number, datasets))


def train_replicates(
    group: Sequence[Settings],
    datasets: MutableMapping[DatasetSettings, Dataset],
    search: dict[str, Trial],
    records: Records,
    failed: frozenset[str],
    phase: Phase,
) -> Asked:
    """Train a study's replicates; with `replicates=auto` until each primary comparison is decided.

    Args:
        group: the study's composed configurations.
        datasets: loaded; those of further replicates are added.
        search: the trials of the first replicates, by id.
        records: of the study.
        failed: marks of the failed rows that there were when the command began.
        phase: trains these trials as the phase of this name.
    """
    run, folder = group[0].run, records.folder
    asked = Asked()
    count = 1 + max(trial.replicate for trial in search.values())
    while True:
        trials, outcome = _train_phases(search, run, records, failed, phase)
        asked = Asked(asked.search | search, asked.trials | trials, asked.outcome + outcome)
        if run.replicates or not asked.trials.keys() <= records.ended(failed):
            return asked
        going, told, there = _undecided(folder, asked.search, run.reference)
        # Those of a command that was interrupted are finished first, for a comparison may only lack their runs.
        begun = bool(told) and count < min(there, run.max_replicates)
        for line in [] if begun else told:
            say(f"after {there} replicates: {line}")
        if not (going or begun) or count >= run.max_replicates:
            if going:
                say(f"max_replicates={run.max_replicates} is reached; more of them go on from here")
            return asked
        count += 1
        load_replicates(group, datasets, count)
        search = as_on_record(folder, search_of(group, datasets, range(count - 1, count)))


def _undecided(folder: Path, search: Mapping[str, Trial], reference: str) -> tuple[bool, list[str], int]:
    """Whether another replicate may decide something, the comparisons without a verdict, and the replicates there are.

    Only blocks that hold trials of `search` count: this command adds no replicate to those of other commands.
    """
    from runner.analysis.primary import open_questions, results_of

    blocks = results_of(folder, read(folder), reference)
    own = [one for one in blocks if one.block.rows["trial"].isin(list(search)).any()]
    going, stuck = open_questions(own)
    there = max(1 + int(one.block.rows["replicate"].max()) for one in own)
    return bool(going), [*going, *(f"{text}; further replicates do not change that" for text in stuck)], there


def _train_phases(
    search: dict[str, Trial], run: RunSettings, records: Records, failed: frozenset[str], phase: Phase
) -> tuple[dict[str, Trial], PhaseOutcome]:
    """Train the search, when all of it has ended finer grids around its best cells, then fresh seeds of these.

    Args:
        search: its trials, by id.
        run: settings of the command.
        records: of the study.
        failed: marks of the failed rows that there were when the command began.
        phase: trains these trials as the phase of this name.

    Returns: all trials that were asked for, by id; and what became of them.
    """
    folder, seeds = records.folder, (run.final_seeds, run.map_noise, run.also_by)
    if not run.resume and run.final_seeds and exists(folder):
        # All at once, so that what is left when this is interrupted is known to the command that goes on.
        begin_again(folder, finalists(folder, search, *seeds).trials, "final", run, records)
    trained = phase(search, "search")
    asked, near = dict(search), dict[str, Trial]()
    for _ in range(run.refine):
        if not asked.keys() <= records.ended(failed) or not (some := refinements(folder, search, near)):
            break
        near |= some
        asked |= some
        trained += phase(some, "refine")
    if not run.final_seeds or not asked.keys() <= records.ended(failed):
        return asked, trained
    final = finalists(folder, search, *seeds)
    for line in final.said:
        say(line)
    return asked | final.trials, trained + phase(final.trials, "final")
