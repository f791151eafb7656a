"""What a command lays down for its verdicts, checked before anything is trained: splits, `replicates=auto`, `primary`.

Imports pandas when it is called, not before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from runner.claims.listed import LISTED
from runner.config.settings import RunSettings, Settings
from runner.errors import UserError
from runner.finalists import blocks_of
from runner.records.commands import laid_down, noted
from runner.records.read import exists
from runner.replication import first_replicates
from runner.trials.trial import Trial

if TYPE_CHECKING:
    from runner.analysis.blocks import Block
    from runner.analysis.protocol import Protocol


def check_splits(group: Sequence[Settings]) -> None:
    """UserError where replicates of two settings of a study would divide the data alike.

    Each would have a verdict of its own on the same splits, and the two would look like two pieces of evidence.

    Args:
        group: the study's composed configurations.
    """
    run = group[0].run
    count = run.replicates or run.max_replicates
    splits: dict[object, set[int]] = {}
    for s in group:
        splits.setdefault(replace(s.dataset, split=0), set()).add(s.dataset.split)
    for several in splits.values():
        for first, second in pairwise(sorted(several)):
            if count > 1 and second - first < count:
                raise UserError(
                    f"dataset.split={first},{second}: each has {'' if run.replicates else 'up to '}{count} replicates, "
                    "which take that split and the next ones, so the two would share splits; give one of them"
                )


def check_splits_on_record(folder: Path, search: Mapping[str, Trial], run: RunSettings) -> None:
    """UserError where replicates of `search` would divide the data as those of another command do, begun elsewhere.

    One replicate has no verdict, so a single one is not evidence that is counted twice.

    Args:
        folder: of the study.
        search: the command's trials.
        run: its settings.
    """
    count = run.replicates or run.max_replicates
    if count == 1 or run.fresh or not exists(folder) or _one_division(folder, search):
        return
    begun: dict[frozenset[tuple[str, str]], dict[int, tuple[int, bool]]] = {}
    for block in blocks_of(folder, search, planned=True, alone=False):
        settings = {key: text for key, text in block.settings.items() if key not in ("dataset.split", "dataset.hash")}
        own = bool(block.rows["trial"].isin(list(search)).any())
        there = 1 + int(block.rows["replicate"].max())
        split = int(block.settings.get("dataset.split", "0"))
        begun.setdefault(frozenset(settings.items()), {})[split] = (max(there, count) if own else there, own)
    for at in begun.values():
        for (first, (one, mine)), (second, (other, its)) in pairwise(sorted(at.items())):
            if mine != its and min(one, other) > 1 and second - first < one:
                given, recorded = (first, second) if mine else (second, first)
                raise UserError(
                    f"dataset.split={given}: its {'' if run.replicates else 'up to '}{count} replicates take that and "
                    f"the next ones, and {folder} has {at[recorded][0]} that begin at split {recorded}, so some "
                    "would be the same; give another dataset.split, or study=NAME"
                )


def _one_division(folder: Path, search: Mapping[str, Trial]) -> bool:
    """Whether all commands on record begin at the split at which `search` does: then the rows need not be looked at."""
    known = noted(folder)
    try:
        splits = {one["dataset"].get("split", 0) for settings in known.settings for one in settings}
    except (TypeError, AttributeError, LookupError):  # edited by hand
        return False
    return not known.flaws and splits == {trial.dataset.split - trial.replicate for trial in search.values()}


def check_auto(folder: Path | None, search: Mapping[str, Trial], run: RunSettings, comparisons: int) -> None:
    """UserError where `replicates=auto` could never come to a verdict, whatever the results.

    Args:
        folder: of the study, or None for one without rows.
        search: its trials in the first replicate.
        run: the command's settings.
        comparisons: how many of the study are primary.
    """
    from runner.analysis.protocol import protocol_of

    blocks = blocks_of(folder, search, planned=True)
    compared = [block for block in blocks if block.compares]
    if not compared:
        raise UserError(f"replicates=auto: {blocks[0].arms[0]} is compared with nothing; add optimizer=adam,adamw")
    protocol = protocol_of(folder, run=run) if folder else None
    reference = run.reference or (protocol.reference if protocol else "")
    if run.primary and (reference or not all(_asks(block, run.primary) for block in compared)):
        raise UserError(
            f"replicates=auto: goes on until best cells are told apart, which primary={run.primary} is not about here; "
            "give replicates=N, or no primary"
        )
    if any(trial.facts.val_size == 0 for trial in search.values()):
        raise UserError("replicates=auto: what is selected on test gets no verdict; set dataset.validation")
    searched = any((block.rows.groupby("arm")["cell"].nunique() > 1).any() for block in compared)
    if searched and not run.final_seeds:
        raise UserError("replicates=auto: needs final_seeds=N, seeds that the search did not use")
    if protocol:
        _check_held(protocol, run, compared)
    first = first_replicates(run, comparisons)
    if run.max_replicates < first:
        shared = f" shared by {comparisons} comparisons" if comparisons > 1 else ""
        raise UserError(
            f"max_replicates={run.max_replicates}: with alpha={run.alpha:g}{shared} and prior_g={run.prior_g:g} no "
            f"difference is decided before replicate {first}; give at least that"
        )


def check_primary(folder: Path, search: Mapping[str, Trial], run: RunSettings) -> str:
    """What is to be said of a `primary` to which the study will not speak, though a later command may add the rest.

    '' where the study will speak to it, and where another primary claim, or none, was laid down before.

    Args:
        folder: of the study.
        search: its trials.
        run: the command's settings.

    Raises:
        UserError: where the study has none of the optimizers that the claim is about.
    """
    if not run.primary or (not run.fresh and "primary" in laid_down(noted(folder).settings)):
        return ""
    from runner.claims.planned import spoken_to

    blocks = blocks_of(None if run.fresh else folder, search, planned=True, alone=False)
    found = spoken_to(blocks, run.diagnostics, run.eval_every)
    if run.primary in found:
        return ""
    about = LISTED[run.primary].family
    others = f"it will speak to {', '.join(found)}" if found else "it will speak to none"
    if about and about not in {arm.family for block in blocks for arm in block.arm_of.values()}:
        wanted = f"{about} or {about}w"
        raise UserError(f"primary={run.primary}: needs optimizer={wanted}, which {folder} will not have; {others}")
    return (
        f"primary={run.primary}: {folder} will not speak to it by this command, so it gets no verdict unless a later "
        f"one adds what is lacking; {others}"
    )


def _check_held(protocol: Protocol, run: RunSettings, compared: Sequence[Block]) -> None:
    """Refuse what was laid down otherwise by the study's first command, for that holds.

    A reference is the same by whatever name if it is the same arm in each of the blocks that are `compared`.
    """
    from runner.analysis import references

    held: dict[str, object] = {"alpha": protocol.alpha, "prior_g": protocol.g, "equal_within": protocol.equal_within}
    held |= {name: getattr(protocol, name) for name in ("primary", "reference") if getattr(run, name)}
    asked, laid = (
        [references.laid_down(block, word) for block in compared] for word in (run.reference, protocol.reference)
    )
    if asked == laid:
        held.pop("reference", None)
    for key, value in held.items():
        if (given := getattr(run, key)) != value:
            raise UserError(
                f"{key}={given}: the study's first command has laid down {key}={value!r}, which holds; give that, or "
                "another study=NAME"
            )


def _asks(block: Block, primary: str) -> bool:
    """Whether the comparison that decides when to stop, beside the usual reference, is what the named claim is about.

    It is where the claim compares arms, and the block has the decoupled one of its optimizer.
    """
    from runner.analysis.arms import DECOUPLED, W
    from runner.analysis.primary import ABOUT

    families = {arm.family for arm in block.arm_of.values() if arm.kind in (W, DECOUPLED)}
    return ABOUT.get(primary) in families
