"""What a command would do, with dry_run=true: `describe(folder, search, resources)` prints it and trains nothing."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from pathlib import Path

from runner.config.settings import RunSettings
from runner.errors import UserError
from runner.execution.again import finished
from runner.execution.local import Resources
from runner.execution.progress import counted
from runner.finalists import Finals, blocks_of, finalists, foreseen, text
from runner.records.read import exists, read
from runner.refine import most, refinements
from runner.system.shortage import reason
from runner.trials import plan
from runner.trials.trial import Trial


def describe(folder: Path, search: Mapping[str, Trial], resources: Resources) -> None:
    """What the command would do: trials, stacks, operations, time and memory."""
    settings = resources.run
    anew = settings.fresh or not settings.resume
    asked, final, later, stay = (settings.final_seeds, settings.map_noise, settings.also_by), None, 0, 0
    known = finalists(folder, search, *asked) if settings.final_seeds and not settings.fresh else Finals({})
    near, refining = _refined(folder, search, settings)
    done = set() if anew else finished(folder, {**search, **near, **known.trials}, settings)
    left = [trial for key, trial in {**search, **near}.items() if key not in done]
    # The best cells are known when the search is done; until then as many as there can be.
    if settings.final_seeds and left:
        later, stay = foreseen(None if settings.fresh else folder, search, *asked, known.trials, done)
    elif settings.final_seeds:
        final = known
    fresh = [trial for key, trial in final.trials.items() if key not in done] if final else []
    trials = {**search, **near, **(final.trials if final else {})}
    left += fresh
    stacks = plan.plan(left, resources.layout(left, resources.processes(len(left))))
    count = resources.processes(len(stacks))
    steps = sum(trial.per_epoch * trial.epochs for trial in left)
    print(
        f"{folder}: {counted(len(trials), 'trial')}, {len(trials) - len(left)} done, {len(left)} to train in "
        f"{counted(len(stacks), 'stack')} and {counted(count, 'process')} on {resources.device}, "
        f"{steps} optimizer steps"
    )
    if left:
        print(_estimated(stacks, resources, count, (refining + later) / len(left)))
    if refining:
        print(f"then finer grids around each best cell: up to {counted(refining, 'trial')} more (in the figures above)")
    if final:
        print("\n".join([f"among them {text(final, len(fresh))}, {len(fresh)} to train", *final.said]))
    elif later:
        seeds = counted(settings.final_seeds, "fresh seed")
        kept = f"; {stay or 'none'} if those that are the best now stay so" if stay < later else ""
        more = f"up to {counted(later, 'trial')} more (in the figures above){kept}"
        print(f"then the best cell of each arm with {seeds}: {more}")
    for line in _needed(folder, search, settings):
        print(line)
    print("nothing trained")


def _refined(folder: Path, search: Mapping[str, Trial], settings: RunSettings) -> tuple[dict[str, Trial], int]:
    """The trials of the rounds of `refine` that are known, by id, and the most that the others can have."""
    near: dict[str, Trial] = {}
    anew = settings.fresh or not settings.resume
    for number in range(settings.refine):
        asked = {**search, **near}
        if anew or not asked.keys() <= finished(folder, asked, settings):
            return near, (settings.refine - number) * most(None if settings.fresh else folder, search)
        if not (some := refinements(folder, search, near)):
            break
        near |= some
    return near, 0


def _needed(folder: Path, search: Mapping[str, Trial], settings: RunSettings) -> list[str]:
    """How many replicates a verdict would take, by what is on record, and how many there will be without one."""
    from runner.analysis.power import needed_replicates
    from runner.analysis.primary import results_of

    lines = (
        [] if settings.replicates else [f"replicates=auto: goes on until sure, to {settings.max_replicates} at most"]
    )
    if settings.fresh or not exists(folder):
        return lines
    planned = sum(block.compares for block in blocks_of(folder, search, planned=True, alone=False))
    results = results_of(folder, read(folder), settings.reference, settings, planned)
    return [*needed_replicates(results), *lines]


def _estimated(stacks: plan.Plan, resources: Resources, processes: int, final: float) -> str:
    """What `stacks`, and `final` times as many trials of fresh seeds, take. UserError where a step fails."""
    from runner.execution.estimate import estimate

    try:
        return estimate(stacks, resources.datasets, resources.devices[0], processes, final, resources.run).text()
    except UserError:
        raise
    except Exception as error:  # of a network that does not work, whoever wrote it
        where = traceback.extract_tb(error.__traceback__)[-1]
        raise UserError(f"a step fails: {reason(error)} ({where.filename}, line {where.lineno})") from error
