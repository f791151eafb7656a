"""A command composes its configuration once, and whatever may make it a sweep still does."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra._internal.hydra import Hydra

from runner.place import CONFIGS
from tests.runner.damage import QUICK, check_refused, check_went_on, command


def told() -> None:
    """Each composition is a line of the output."""
    honest = Hydra.compose_config

    def compose_config(self: Hydra, *given: object, **more: object) -> object:
        print("composed")
        return honest(self, *given, **more)  # type: ignore[arg-type]

    Hydra.compose_config = compose_config  # type: ignore[method-assign, assignment]


@pytest.mark.parametrize("words", [["seed=[0,1]"], ["-m", "seed=0,1"], ["--multirun", "seed=0,1"]])
def test_a_command_composes_once(words: list[str], tmp_path: Path) -> None:
    said = command(tmp_path, *words, *QUICK, "dry_run=true", before=told)
    check_went_on(said, "results/s: 2 trials")
    assert said.out.count("composed\n") == 1


def test_a_mode_that_is_set_on_the_command_line_or_in_a_file_makes_a_sweep(tmp_path: Path) -> None:
    sweep = ("seed=0,1", *QUICK, "dry_run=true")
    check_refused(command(tmp_path, *sweep), "seed=0,1: add -m")
    check_went_on(command(tmp_path, "hydra.mode=MULTIRUN", *sweep), "results/s: 2 trials")
    (tmp_path / "my" / "experiment").mkdir(parents=True)
    (tmp_path / "my" / "experiment" / "e.yaml").write_text("# @package _global_\nhydra:\n  mode: MULTIRUN\n")
    for words in (["--config-dir", "my"], ["hydra.searchpath=[file://my]"]):
        check_went_on(command(tmp_path, *words, "+experiment=e", *sweep), "results/s: 2 trials")
    check_went_on(command(tmp_path, "+experiment=digits", "dry_run=true"), "results/digits: ")


def test_of_our_own_files_only_those_that_are_added_by_a_plus_make_a_sweep() -> None:
    found = {path.relative_to(CONFIGS).parts[0] for path in CONFIGS.rglob("*.yaml") if "MULTIRUN" in path.read_text()}
    assert found == {"cluster", "experiment"}
    defaults = (CONFIGS / "config.yaml").read_text().partition("defaults:")[2].partition("\n\n")[0]
    assert not any(group in defaults for group in found)
