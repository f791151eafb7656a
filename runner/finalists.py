"""What follows a search: each arm's best cell, as the report chooses it, with seeds that the search did not use.

`finalists(folder, search, seeds, map_noise)` is the call to know. Imports pandas when it is called, not before.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.config.settings import SEEDS_APART
from runner.errors import UserError
from runner.execution.progress import counted
from runner.records.read import exists, read
from runner.trials.described import described
from runner.trials.older import as_on_record
from runner.trials.trial import Trial, unique

if TYPE_CHECKING:
    from runner.analysis.blocks import Block

FRESH = 1000  # the seeds of final runs begin here in replicate 0, or after the search's own


@dataclass(frozen=True)
class Finals:
    """`trials` by id, in the order in which they are trained; `said`: a line for each cell that is not among them."""

    trials: dict[str, Trial]
    said: tuple[str, ...] = ()


def finalists(folder: Path, search: Mapping[str, Trial], seeds: int, map_noise: int, also_by: str = "none") -> Finals:
    """In each replicate each arm's best cell, and in the first `map_noise` others of each block, with fresh seeds.

    The cells are chosen from all rows of the study that may be compared with those of `search`, whichever commands
    trained them, by the functions that the report uses. All finalists of a replicate get the same seeds: none that a
    search run of these blocks has.

    Args:
        folder: of the study.
        search: trials of the search by id, in one or several replicates.
        seeds: how many fresh ones each finalist gets.
        map_noise: how many cells of a block get them beside the best.
        also_by: 'loss' or 'error': the best cells by it too; 'none'.
    """
    from runner.analysis.blocks import replicates
    from runner.analysis.second_protocol import chosen_by
    from runner.analysis.select import block_winners, replicated

    used = {trial.seed for trial in search.values()}
    chosen: list[tuple[Mapping[str, Any], Trial]] = []
    for block in blocks_of(folder, search, planned=False):
        used |= _searched(block)
        for number, part in replicates(block).items():
            rows: dict[str, dict[Any, Any]] = {str(row["trial"]): row for row in part.rows.to_dict("records")}
            like = next((search[key] for key in rows if key in search), None)
            if like is not None:
                others = 0 if number else map_noise
                best = [*block_winners(part), *(block_winners(chosen_by(part, also_by)) if also_by != "none" else [])]
                keys = [*(str(row["trial"]) for row in best), *replicated(part, others)]
                chosen += [(rows[key], search.get(key, like)) for key in dict.fromkeys(keys)]
    trials, said = [], []
    for row, like in chosen:
        trial = rebuilt(row, like)
        if trial is None:
            said.append(
                f"{row['trial']} ({row['optimizer']}, lr {row['lr']:g}, wd {row['wd']:g}): the best cell of another "
                "version, which cannot be trained again; it gets no fresh seeds"
            )
        else:
            trials += [replace(trial, seed=seed) for seed in _fresh(used, seeds, trial.replicate)]
    return Finals(as_on_record(folder, unique(trials)), tuple(said))


def foreseen(
    folder: Path | None,
    search: Mapping[str, Trial],
    seeds: int,
    map_noise: int,
    also_by: str,
    known: Collection[str],
    done: Collection[str],
) -> tuple[int, int]:
    """What can follow a search of which something is still to be trained.

    Args:
        folder: of the study, or None for one without rows.
        search: its trials, by id.
        seeds: how many fresh ones each finalist gets.
        map_noise: how many cells of a block get them beside the best.
        also_by: as for `finalists`.
        known: ids of the finalists by the rows on record.
        done: ids of the trials that have a result.

    Returns: the most fresh-seed trials that are left to train, whichever cells come out best; and how many are left if
    those stay the best that are so by the rows on record, which is as many where these do not tell.
    """
    from runner.analysis.blocks import replicates

    blocks = blocks_of(folder, search, planned=True)
    used = {trial.seed for trial in search.values()} | {seed for block in blocks for seed in _searched(block)}
    recorded = {
        (block.id, number): part.arms
        for block in blocks_of(folder, search, planned=False)
        for number, part in replicates(block).items()
    }
    most, unknown = 0, 0
    for block in blocks:
        for number, part in replicates(block).items():
            if part.rows["trial"].isin(list(search)).any():
                left = _most(part, _fresh(used, seeds, number), 0 if number else map_noise, also_by, done)
                most += left
                unknown += left if recorded.get((block.id, number)) != part.arms else 0
    return most, min(most, unknown + len(set(known) - set(done)))


def _most(block: Block, fresh: Collection[int], map_noise: int, also_by: str, done: Collection[str]) -> int:
    """The most that is left if each arm's best cells, and `map_noise` others, are those of which the least is done."""
    best = 1 if also_by == "none" or block.measure.select.endswith(also_by) else 2
    rows = block.rows
    ran = rows[(rows["phase"] == "final") & rows["seed"].isin(list(fresh)) & rows["trial"].isin(list(done))]
    count_done = ran.groupby("cell")["seed"].nunique()
    searched = rows[rows["phase"] == "search"].drop_duplicates("cell")
    left = {
        arm: sorted((len(fresh) - int(count_done.get(cell, 0)) for cell in cells), reverse=True)
        for arm, cells in searched.groupby("arm")["cell"]
    }
    others = sorted((one for counts in left.values() for one in counts[best:]), reverse=True)
    return sum(sum(counts[:best]) for counts in left.values()) + sum(others[:map_noise])


def _searched(block: Block) -> set[int]:
    return {int(seed) for seed in block.rows.loc[block.rows["phase"] != "final", "seed"]}


def _fresh(used: Collection[int], seeds: int, replicate: int) -> list[int]:
    """So many seeds of a replicate that no search has used."""
    own = count(FRESH + replicate * SEEDS_APART)
    return list(islice((seed for seed in own if seed not in used), seeds))


def blocks_of(folder: Path | None, search: Mapping[str, Trial], planned: bool, alone: bool = True) -> list[Block]:
    """The blocks of the study that hold rows of `search`, or, with `planned`, that will; all blocks unless `alone`."""
    return [b for b in _split(folder, search, planned) if not alone or b.rows["trial"].isin(list(search)).any()]


def check_reference(folder: Path | None, search: Mapping[str, Trial], word: str) -> None:
    """Refuse `reference=WORD` where the study neither has such an arm nor will have it; UserError lists the arms."""
    if word:
        from runner.analysis.references import check

        check(_split(folder, search, True), word)


def text(finals: Finals, missing: int) -> str:
    """'6 fresh-seed trials of 3 cells (0 done)'."""
    cells = {replace(trial, seed=trial.replicate * SEEDS_APART).id for trial in finals.trials.values()}
    done = len(finals.trials) - missing
    return f"{counted(len(finals.trials), 'fresh-seed trial')} of {counted(len(cells), 'best cell')}, {done} done"


def rebuilt(row: Mapping[str, Any], like: Trial) -> Trial | None:
    """The trial of a row that may be compared with `like`: other in nothing but what makes arms and cells.

    None where the trial would have another id than the row, as may be with rows of another version.
    """
    try:
        trial = Trial.from_flat(json.loads(row["settings"]), like.dataset, like.facts)
    except (ValueError, KeyError, TypeError, AttributeError, UserError):  # no settings, or those of another version
        return None
    return trial if trial.digest.startswith(row["trial"]) else None


def _split(folder: Path | None, search: Mapping[str, Trial], planned: bool) -> Sequence[Block]:
    import pandas as pd

    from runner.analysis.blocks import split
    from runner.records.schema import TRIALS

    rows = read(folder) if folder and exists(folder) else pd.DataFrame(columns=TRIALS)
    if planned:
        recorded = set(rows["trial"])
        near = (rows["phase"] == "refine") & rows["trial"].isin(list(search))
        rows.loc[near, "phase"] = "search"  # as the command will have it (`Records.count_as_search`)
        planned_rows = [
            described(trial) | {"phase": "search", "status": ""} for key, trial in search.items() if key not in recorded
        ]
        new = pd.DataFrame(planned_rows, columns=TRIALS)
        rows = pd.concat([frame for frame in (rows, new) if len(frame)] or [rows], ignore_index=True)
    return split(rows)
