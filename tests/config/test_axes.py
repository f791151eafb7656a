"""Long lists of swept values: they come out as typed, and too many are refused before they are expanded."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from runner.config.axes import MOST, without_long_axes
from runner.errors import UserError
from runner.system import socket_folder
from tests.damage import QUICK, check_refused, check_went_on, command, process


def of(*typed: str) -> tuple[list[str], dict[str, list[object]]]:
    parser = OverridesParser.create()
    overrides, long = without_long_axes(parser.parse_overrides(list(typed)), parser)
    return [override.input_line or "" for override in overrides], long


def test_long_axes_are_plain_numbers_and_short_ones_stay_as_typed() -> None:
    many = ",".join(f"{k}e-3" for k in range(1, 200))
    overrides, long = of("seed=range(0,20000)", "wd=0,0.1", "seed=[1,2]", "epochs=3")
    assert overrides == ["seed=0", "wd=0,0.1", "seed=[1,2]", "epochs=3"]
    assert long == {"seed": list(range(20_000))}
    assert of(f"lr={many}")[1] == {"lr": [float(f"{k}e-3") for k in range(1, 200)]}


@pytest.mark.parametrize(
    "typed",
    [
        ["seed=range(0,2000000)"],
        ["seed=range(0,1000)", "lr=range(0.001,1,0.001)"],
        ["model.width=range(1,1000000000)"],
        ["optimizer=adam,adamw", f"seed=range(0,{MOST // 2 + 1})"],
    ],
)
def test_too_many_trials_are_refused_before_they_are_expanded(typed: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="more than a command takes"):
        of(*typed)
    said = command(tmp_path, "-m", *typed)
    check_refused(said, "trials are more than a command takes (200,000)", "several commands")
    assert not (tmp_path / "results").exists()


def test_a_long_axis_is_checked_as_a_short_one_is(tmp_path: Path) -> None:
    check_refused(command(tmp_path, "-m", "lr=range(-200,200)"), "lr=-200: must be a positive number")
    check_refused(command(tmp_path, "-m", "seed=range(0,200,0.5)"), "seed=0.0: must be a whole number")


def test_a_temporary_folder_whose_name_is_too_long_for_a_socket_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * (115 - len(str(tmp_path)) - 1) if len(str(tmp_path)) < 100 else "x" * 60)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    words = [word for word in QUICK if not word.startswith("workers")]
    check_went_on(process(tmp_path, "-m", "seed=0,1", "stack=1", *words, "workers=2"), "2 processes")
    assert not list(long.iterdir())


def test_where_no_place_is_short_enough_there_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    before = tempfile.gettempdir()
    monkeypatch.setattr(socket_folder, "LONGEST", 3)
    monkeypatch.setattr(socket_folder, "PLACES", ("/nowhere",))
    socket_folder.short_folder.cache_clear()
    assert len(os.fsencode(before)) > 3
    assert not socket_folder.short_folder()
    assert tempfile.gettempdir() == before
    socket_folder.short_folder.cache_clear()
