"""What another sweeper, such as optuna's, gets to minimise: the number that selection uses, and never nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.plugins import Plugins

from runner.analysis.measures import objective
from tests.damage import QUICK, Said, check_refused, command, rows

Plugins.instance()  # before the sweeper's base class is subclassed
NAME = "hydra_plugins.fake.Fake"


class Fake(BasicSweeper):
    """A sweeper that prints what the job returns, which optuna's would minimise."""

    def sweep(self, arguments: list[str]) -> Any:
        (returned,) = super().sweep(arguments)
        print("returned", [float(one.return_value) for one in returned])


def fake_sweeper() -> None:
    Plugins.instance().class_name_to_class[NAME] = Fake


def swept(folder: Path, *words: str, before: Callable[[], None] = fake_sweeper) -> Said:
    (folder / "my" / "hydra" / "sweeper").mkdir(parents=True)
    text = f"_target_: {NAME}\nmax_batch_size: null\nparams: null\n"
    (folder / "my" / "hydra" / "sweeper" / "fake.yaml").write_text(text)
    given = ["-m", "--config-dir", "my", "hydra/sweeper=fake", *QUICK, *words]
    return command(folder, *given, before=before)


@pytest.mark.parametrize(("validation", "column"), [("1", "val_error"), ("0", "test_error")])
def test_a_sweeper_gets_the_error_that_selects(validation: str, column: str, tmp_path: Path) -> None:
    said = swept(tmp_path, f"dataset.validation={validation}")
    assert said.code == 0, said.text
    assert f"returned [{float(rows(tmp_path)[column][0])}]" in said.out


def test_a_dry_run_has_nothing_to_minimise_and_is_refused(tmp_path: Path) -> None:
    check_refused(swept(tmp_path, "dry_run=true"), "dry_run=true: not with hydra/sweeper=fake")


def test_text_is_judged_by_its_loss_and_what_was_not_measured_is_the_worst() -> None:
    table = pd.DataFrame({"dataset": "text", "val_size": 9, "val_loss": [1.0, 2.0], "val_error": [70.0, 90.0]})
    assert objective(table) == 1.5
    assert objective(table.assign(dataset="digits")) == 80
    assert objective(table.assign(dataset="a label"), text=True) == 1.5
    assert objective(table.assign(val_loss=[1.0, None])) == math.inf
    assert objective(table[:0]) == math.inf


def broken_sweeper() -> None:
    Plugins.instance().class_name_to_class[NAME] = Broken


class Broken(BasicSweeper):
    """A sweeper that cannot be made."""

    def __init__(self, **settings: Any) -> None:
        raise ValueError("has no such study")


def test_a_sweeper_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    check_refused(swept(tmp_path, before=broken_sweeper), "has no such study")
