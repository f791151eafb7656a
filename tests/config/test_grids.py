"""Grids search twins alike: Adam + L2 and AdamW, SGD + L2 and SGDW, by as many cells over as many octaves."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import pytest
from omegaconf import OmegaConf

import configs
from runner.analysis.select import winners
from runner.records.read import read
from tests.config.test_experiments import NAMES
from tests.damage import check_went_on, command

FOLDER = Path(*configs.__path__) / "grid"
GRIDS = sorted(path.stem for path in FOLDER.glob("*.yaml"))
TWINS = {"adam": "adamw", "sgd": "sgdw"}
# Steps and octaves may differ where another grid would be another experiment than the one on record.
UNEQUAL = {
    "fig3": "the paper's Figure 3 has 12 coefficients for Adam and 7 decays for AdamW",
}
Axis = tuple[float, ...]


def axes(grid: str) -> dict[str, dict[str, dict[str, Axis]]]:
    """{optimizer: {convention: {axis: values}}} of a grid's file."""
    found = OmegaConf.to_container(OmegaConf.load(FOLDER / f"{grid}.yaml"))
    assert isinstance(found, dict)
    return {str(name): own for name, own in found.items() if name != "name"}


def pairs(grid: str) -> list[tuple[dict[str, Axis], dict[str, Axis]]]:
    """An optimizer's axes with L2, and those of its decoupled twin, once for each convention."""
    own = axes(grid)
    return [
        (own[name]["l2"], decoupled)
        for name, twin in TWINS.items()
        if name in own and twin in own
        for decoupled in own[twin].values()
    ]


def steps(values: Axis) -> set[float]:
    """By how many octaves neighbours differ, rounded as people write numbers: 1, 3, 10 are equal steps of sqrt(10)."""
    positive = sorted(value for value in values if value)
    return {round(math.log2(b / a), 2) for a, b in pairwise(positive)}


def unequal(grid: str) -> bool:
    return any(
        steps(coupled[axis]) != steps(decoupled[axis])
        or len(coupled[axis]) != len(decoupled[axis])
        or (0 in coupled[axis]) != (0 in decoupled[axis])
        for coupled, decoupled in pairs(grid)
        for axis in ("lr", "wd")
    )


@pytest.mark.parametrize("grid", GRIDS)
def test_twins_are_searched_over_the_same_octaves_in_the_same_steps(grid: str) -> None:
    """Equal steps, as many of them, make equal spans; an exemption that is not needed any more must go."""
    assert unequal(grid) == (grid in UNEQUAL)


@pytest.mark.parametrize("grid", UNEQUAL)
def test_only_the_grid_of_an_experiment_may_be_unequal(grid: str) -> None:
    files = [(FOLDER.parent / "experiment" / f"{name}.yaml").read_text() for name in NAMES]
    assert any(f"override /grid: {grid}\n" in text for text in files)


def test_the_grid_for_new_problems_has_equal_steps_for_every_optimizer_and_convention() -> None:
    small = axes("small")
    assert {name: set(own) for name, own in small.items()} == {
        name: {"l2"} if name in TWINS else {"torch", "paper", "normalized"} for name in ("adam", "adamw", "sgd", "sgdw")
    }
    for own in small.values():
        for values in own.values():
            assert (len(values["lr"]), len(values["wd"]), min(values["wd"])) == (7, 8, 0)
            for axis in values.values():
                assert all(b / a == pytest.approx(4) for a, b in pairwise(sorted(v for v in axis if v)))


@pytest.mark.campaign
def test_the_best_cells_of_digits_are_inside_the_grid_for_new_problems(tmp_path: Path) -> None:
    """One seed tells on any processor: the first and last rates, and the largest decays, have twice the error and more.

    The smallest decay of AdamW is as good as the best, and may win. It is on no edge: it has no decay beside it, which
    is worse.
    """
    said = command(tmp_path, "-m", "optimizer=adam,adamw", "grid=small", "eval_every=20", "workers=1")
    check_went_on(said)
    found = winners(read(tmp_path / "results" / "digits-resnet"))
    assert list(found["arm"]) == ["Adam, no decay", "Adam + L2", "AdamW"]
    assert list(found["edge"]) == ["", "", ""]
    assert set(found["cells"][1:]) == {7 * 7}
