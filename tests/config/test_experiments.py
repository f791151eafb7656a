"""The committed experiments are the paper's, they begin with their command, and they scale down by overrides."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf, open_dict

import configs
from runner.cli.sweeper import axes_as_lists
from runner.config.compose import from_config
from runner.config.settings import Settings
from runner.trials.trial import Facts, expand, unique

FOLDER = Path(*configs.__path__) / "experiment"
NAMES = sorted(path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.rglob("*.yaml"))
# Trials of the search. At wd = 0 Adam and AdamW, SGD and SGDW are one trial.
TRIALS = {
    "paper/fig1": 3 * (2 * 88 - 11),
    "paper/fig2": 4 * 121 - 2 * 11,
    "paper/fig3": 12 + 7,
    "paper/fig4": 6 * 5,
    "paper/supp2": 16,
    "paper/supp3": 2 * 3 * 30,
    "paper/supp3_imagenet32": 2 * 3 * 42,
    "paper/supp4": 12 + 7,
}


@functools.cache
def composed(name: str, *overrides: str) -> tuple[Settings, ...]:
    """All settings of an experiment's sweep, as the sweeper composes them."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    with initialize_config_module("configs", version_base="1.3"):
        own = [f"+experiment={name}", *overrides]
        whole = compose("config", own, return_hydra_config=True)
        params = [f"{key}={value}" for key, value in (whole.hydra.sweeper.get("params") or {}).items()]
        parsed = OverridesParser.create().parse_overrides([*params, *own])
        found = []
        for combination in BasicSweeper.split_arguments(axes_as_lists(parsed, OverridesParser.create()), None)[0]:
            cfg = compose("config", list(combination), return_hydra_config=True)
            with open_dict(cfg):
                del cfg["hydra"]
            found.append(from_config(cfg))
        return tuple(found)


def facts() -> Facts:
    return Facts("cifar10", "0", 10, 45_000, 5_000, 10_000, 1024)


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_begins_with_the_command_that_runs_it(name: str) -> None:
    first, second = (FOLDER / f"{name}.yaml").read_text().splitlines()[:2]
    assert first == "# @package _global_"  # which Hydra wants at the top
    assert re.match(rf"# python -m runner \+experiment={name}( |$)", second)


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_names_its_study_and_sweeps_optimizers_that_its_grid_has(name: str) -> None:
    for settings in composed(name):
        assert settings.study
        assert settings.lr
        assert settings.wd


@pytest.mark.parametrize("name", TRIALS)
def test_the_papers_experiments_have_the_papers_cells(name: str) -> None:
    search = unique(trial for settings in composed(name) for trial in expand(settings, facts()))
    assert len(search) == TRIALS[name]
    assert {s.model.name for s in composed(name)} == {"shakeshake"}
    assert {s.batch_size for s in composed(name)} == {128}


def test_figure_2_is_in_paper_units_over_11_octaves() -> None:
    found = {s.optimizer.name: s for s in composed("paper/fig2")}
    assert set(found) == {"sgd", "sgdw", "adam", "adamw"}
    for name, settings in found.items():
        base = 0.1 if name.startswith("adam") else 1.0
        assert settings.lr == pytest.approx([base / 2**k for k in range(11)])
        assert settings.wd == pytest.approx([0.0, *(1e-3 * 2.0**k for k in range(-5, 5))])
        assert settings.wd_convention == ("paper" if name.endswith("w") else "l2")


def test_supplementary_figure_3_gives_each_budget_both_conventions() -> None:
    found = {(s.wd_convention, s.epochs) for s in composed("paper/supp3")}
    assert found == {(c, e) for c in ("paper", "normalized") for e in (25, 100, 400)}


@pytest.mark.parametrize("name", TRIALS)
def test_the_papers_experiments_scale_down_by_overrides(name: str) -> None:
    small = composed(name, "dataset=digits", "model=resnet", "batch_size=32", "epochs=3", "lr=[1e-2,1e-3]")
    assert {s.model.name for s in small} == {"resnet"}
    assert {s.dataset.name for s in small} == {"digits"}
    assert {s.epochs for s in small} == {3}
    assert {len(s.lr) for s in small} == {2}


def test_grids_hold_the_same_number_of_cells_for_twins() -> None:
    for path in (FOLDER.parent / "grid").glob("*.yaml"):
        grid = OmegaConf.to_container(OmegaConf.load(path))
        assert isinstance(grid, dict)
        for name, twin in (("adam", "adamw"), ("sgd", "sgdw")):
            if name in grid and twin in grid and path.stem not in ("fig3", "fig4"):  # the paper's own are unequal
                sizes = {len(axes["lr"]) * len(axes["wd"]) for own in (name, twin) for axes in grid[own].values()}
                assert len(sizes) == 1, path
