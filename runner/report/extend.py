"""The commands that extend a grid where a winner is on its edge: `extension(folder, blocks)` is the call to know.

A command names the new cells, the study's own settings and its search seeds, so that its trials land in the same block.
Trials that it names and that have a row already are not trained again.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.analysis.blocks import Block
from runner.analysis.select import NONE_BETTER, block_winners
from runner.analysis.study_results import BlockResults
from runner.config.settings import SEEDS_APART
from runner.data.settings import shown
from runner.report.overrides import noted_settings, overrides, typed
from runner.system import called

HEAD = "commands that extend the grid where a winner is on its edge:"
STEPS = 2  # new values on an axis, in each direction that a winner points to
OCTAVE = 2.0  # from one to the next, where an axis has too few values to tell
LEAST, MOST = 1e-37, 1e37  # what float32 can express, with some room
Cells = Collection[tuple[float, float]]


@dataclass(frozen=True)
class _Command:
    """What extends the grid of one arm; `wd` is empty where a rule makes it from lr."""

    arm: str
    edge: str
    family: str
    lr: tuple[float, ...]
    wd: tuple[float, ...]
    words: tuple[str, ...]  # all others

    def text(self) -> str:
        """One line for a shell."""
        lr = f"lr={','.join(map(typed, self.lr))}"
        wd = [f"wd={','.join(map(typed, self.wd))}"] if self.wd else []
        return called.command("-m", self.words[0], lr, *wd, *self.words[1:])


def extension(folder: Path, blocks: Sequence[BlockResults]) -> str:
    """A line for each arm whose winner is on an edge, and below it the command; '' where there is none.

    Args:
        folder: of the study; the commands are for the folder in which this path is valid.
        blocks: its blocks with their results.
    """
    lines: list[str] = []
    for results in blocks:
        block = results.block
        if any(result.edge for result in results.arms):
            where = f" of {block.label}" if block.label else ""
            for command in _needed([c for row in block_winners(block) if (c := _command(folder, block, row))]):
                lines += [f"  {command.arm}{where} ({command.edge}):", command.text()]
    return "\n".join([HEAD, *lines]) if lines else ""


def beyond(values: Collection[float], upward: bool) -> list[float]:
    """`STEPS` values beyond the largest, or below the smallest: the axis goes on as it is, 1, 3, 10 with 30 and 100.

    values: at least one, each positive.
    """
    axis = sorted(values, reverse=not upward)
    longer = [*axis]
    for _ in range(STEPS):
        if len(longer) > 2 and _alike(longer[-1] / longer[-2], longer[-2] / longer[-3]):
            new = longer[-2] * (longer[-1] / longer[-3])  # The step before the last again: 3 and 3.3 may alternate.
        elif len(longer) > 1:
            new = longer[-1] * (longer[-1] / longer[-2])
        else:
            new = longer[-1] * (OCTAVE if upward else 1 / OCTAVE)
        longer.append(float(f"{new:.6g}"))
    return sorted(value for value in longer[len(axis) :] if LEAST <= value <= MOST)


def _alike(one: float, other: float) -> bool:
    """Whether two steps of an axis are of one size, as those of 1, 3, 10 and of 1, 2, 5 are."""
    return abs(math.log(one / other)) < 0.25


def extended(edge: str, best: tuple[float, float], cells: Cells, zeros: Cells) -> tuple[list[float], list[float]]:
    """(learning rates, decays) whose product is to be trained; two empty lists where there is nothing to add.

    Along the axis that ends too early only the new values are named, along the other those that are beside the winner,
    so that the map stays a rectangle. Where both end too early it is the whole rectangle, old cells included.

    Args:
        edge: as `select.winners` has it, such as 'lr largest, wd smallest'.
        best: (lr, wd) of the winner.
        cells: (lr, wd) of the arm's cells.
        zeros: of the family's cells without decay, which are every arm's.
    """
    lrs, positive = ({cell[axis] for cell in cells if cell[axis] > 0} for axis in (0, 1))
    more_lr = beyond(lrs, "lr largest" in edge) if "lr" in edge else []
    more_wd = beyond(positive, "wd largest" in edge) if "wd" in edge or NONE_BETTER in edge else []
    if "wd smallest" in edge:
        more_wd = [0.0, *more_wd]  # the end of that axis
    near_lr = sorted({lr for lr, wd in cells if wd == best[1]})
    near_wd = sorted({wd for lr, wd in {*cells, *zeros} if lr == best[0]})
    if more_lr and more_wd:
        return sorted({*near_lr, *more_lr}), sorted({*near_wd, *more_wd})
    return (more_lr, near_wd) if more_lr else (near_lr, more_wd) if more_wd else ([], [])


def _command(folder: Path, block: Block, winner: Mapping[str, Any]) -> _Command | None:
    """None where the winner is on no edge, or its settings cannot be typed (those of a program with other groups)."""
    edge = str(winner["edge"])
    rows = block.rows[(block.rows["phase"] != "final") & (block.rows["status"] != "failed")]
    cell = rows[rows["trial"] == winner["trial"]]
    folder = folder.resolve() if folder.name in ("", "..") else folder
    if not edge or cell.empty or not re.fullmatch(r"[A-Za-z0-9][\w.-]*", folder.name):
        return None
    try:
        flat = json.loads(str(cell["settings"].iloc[0]))
        if flat.get("replicate"):  # the command names the split of the first
            flat["dataset.split"] -= flat["replicate"]
        name = str(cell["dataset"].iloc[0])
        noted = noted_settings(folder, flat, name)
        if noted.get("replicates") == 0:
            # The cells of one arm alone could decide nothing, so they are trained in the replicates that there are.
            noted["replicates"] = 1 + int(block.rows["replicate"].max())
        # Blocks are told apart by the name of the data in tables, so the command must give this name too.
        usual = shown({"name": flat["dataset"], **noted.get("dataset", {}), "label": ""})
        label = "" if name in (flat["dataset"], usual) else name
        words = overrides(flat, noted | {"dataset": {**noted.get("dataset", {}), "label": label}})
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        return None
    # A cell that was not compared with the winner is not part of its grid (`select.winners`), nor is one that was added
    # near a winner.
    rows = rows[(rows["phase"] == "search") & rows["seed"].isin(set(rows.loc[rows["cell"] == winner["cell"], "seed"]))]
    pairs, zeros = (
        set(zip(some["lr"], some["wd"], strict=True))
        for some in (rows[rows["arm"] == winner["arm"]], rows[(rows["family"] == winner["family"]) & (rows["wd"] == 0)])
    )
    if not pairs:
        return None
    lrs, wds = extended(edge, (float(winner["lr"]), float(winner["wd"])), pairs, zeros)
    wds = [wd for wd in wds if _possible(wd, lrs, cell.iloc[0])]
    if noted.get("wd_rule") == "product" and winner["wd"] > 0 and "lr" in edge:
        # The arm's cells lie on a curve, so each new rate gets its own decay from the rule.
        lrs, wds = beyond({lr for lr, _ in pairs}, "lr largest" in edge), []
        constant = noted.get("wd_rule_constant")
        words += ["wd_rule=product", *([f"wd_rule_constant={typed(constant)}"] if constant is not None else [])]
    elif not wds:
        return None
    several = bool(block.rows["replicate"].any())
    seeds = sorted({seed % SEEDS_APART if several else seed for seed in winner["seeds"]})
    words.append(f"seed={','.join(map(str, seeds))}")
    if folder.name != f"{flat['dataset']}-{flat['model']}":
        words.append(f"study={typed(folder.name)}")
    if folder.parent != Path("results"):
        words.append(f"results={typed(str(folder.parent))}")
    arm = str(winner["arm"])
    return _Command(arm, edge, str(winner["family"]), tuple(lrs), tuple(wds), tuple(words)) if lrs else None


def _possible(wd: float, lrs: Sequence[float], winner: Mapping[Hashable, Any]) -> bool:
    """Whether a decay is below 1 per step at one of the rates at least, as the runner demands; any L2 is possible.

    sparse_adamw demands it at all rates.
    """
    if not winner["decoupled"] or wd == 0:
        return True
    one = float(winner["wd_paper"]) / float(winner["wd"])  # what a decay of 1 takes of a weight in a step
    each = [one * lr / winner["lr"] if winner["wd_convention"] == "torch" else one for lr in lrs]
    return wd * (max(each) if winner["optimizer"] == "sparse_adamw" else min(each)) < 1


def _needed(commands: Sequence[_Command]) -> list[_Command]:
    """Leave out commands for wd = 0 alone, where another command of the same family trains these cells too."""
    return [
        one
        for one in commands
        if not (
            one.wd == (0.0,)
            and any(
                other is not one
                and other.family == one.family
                and 0.0 in other.wd
                and set(one.lr) <= set(other.lr)
                and _without_decay(one) == _without_decay(other)
                for other in commands
            )
        )
    ]


def _without_decay(command: _Command) -> set[str]:
    """The words that still matter at wd = 0."""
    spoken = ("optimizer=", "wd_convention=", "wd_schedule=", "optimizer.decay_params=")
    return {word for word in command.words if not word.startswith(spoken)}
