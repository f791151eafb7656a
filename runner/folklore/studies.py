"""The studies that statements are judged on: `read(folder)` gives one, `place(folder, name)` says where it lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from runner.analysis.primary import results_of
from runner.analysis.select import NONE_BETTER
from runner.analysis.study_results import ArmResult, BlockResults
from runner.analysis.verdict import OPTIMISTIC
from runner.errors import UserError
from runner.records.read import exists
from runner.records.read import read as read_table

COMMANDS = {
    "resnet": "python -m runner +experiment=folklore",
    "transformer": "python -m runner +experiment=folklore_transformer",
    "no-warmup": "python -m runner +experiment=folklore_no_warmup",
    "ramp": "python -m runner +experiment=folklore_ramp",
    "rule-product": "python -m runner +experiment=folklore_rule",
    "rule-batch": "python -m runner +experiment=folklore_rule wd_rule=batch study=rule-batch",
    "mechanism": "python -m runner +experiment=folklore_mechanism",
}
NETWORKS = {"resnet": "ResNet", "transformer": "Transformer"}


@dataclass(frozen=True, eq=False)
class Study:
    """A study's blocks with their results, and what was followed layer by layer."""

    blocks: tuple[BlockResults, ...] = ()
    dynamics: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def main(self) -> BlockResults | None:
        """The longest runs under a cosine, or of all where nothing has a cosine: what tuned arms are compared on."""
        cosines = [one for one in self.blocks if one.block.settings["schedule"] == "cosine"]
        return max(cosines or self.blocks, key=epochs, default=None)


Studies = Mapping[str, Study]


def place(folder: Path, name: str) -> Path | None:
    """Where a study lies, in the folder or among those beside it, the committed first; None where it was not run."""
    places = (folder / name, folder.parent / f"{name}-cpu", folder.parent / name)
    return next((place for place in places if exists(place)), None)


def read(folder: Path) -> Study:
    """A study's folder as the judges want it.

    Raises:
        UserError: where its tables cannot be read.
    """
    return Study(results_of(folder, read_table(folder)), read_table(folder, "dynamics"))


def read_all(folder: Path) -> dict[str, Study]:
    """Every study of COMMANDS by its name; an empty one where it was not run.

    Raises:
        UserError: where the folder has none at all.
    """
    if not any(exists(folder / name) for name in COMMANDS):
        raise UserError(f"{folder}: no study here; {COMMANDS['resnet']} makes one")
    places = {name: place(folder, name) for name in COMMANDS}
    return {name: read(found) if found else Study() for name, found in places.items()}


def epochs(results: BlockResults) -> int:
    """Of each run of a block."""
    return int(float(results.block.settings["epochs"]))


def values(arm: ArmResult | None, column: str) -> dict[int, float]:
    """A column of the arm's fresh runs by replicate; {} for an arm of one replicate, or one without fresh runs."""
    if arm is None or not arm.replicates or OPTIMISTIC in arm.remark:
        return {}
    return arm.by_unit(column)


def adamw(results: BlockResults | None) -> ArmResult | None:
    """The first AdamW of a block."""
    return next(iter(results.decoupled("adam")), None) if results else None


def family(results: BlockResults, name: str) -> list[ArmResult]:
    """The arms of a family, the one without decay included."""
    return [arm for arm in results.arms if arm.family == name]


def edge(arms: Sequence[ArmResult]) -> str:
    """Which of these arms may do better outside its grid; '' for none.

    That no decay is better than any decay is no edge where the arm without decay is among them.
    """
    plain = any(not arm.wd_convention for arm in arms)
    for arm in arms:
        if arm.edge and not (plain and arm.edge == NONE_BETTER):
            return f"{arm.arm} is best on the edge of its grid"
    return ""


def missing(*names: str) -> str:
    """What has to be run for a statement that was not measured."""
    return "; ".join(COMMANDS[name] for name in names)
