"""A winner on the edge of its grid comes with the command that trains the cells beyond that edge, and no others."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from runner.analysis.blocks import split
from runner.analysis.results import results
from runner.analysis.select import NONE_BETTER
from runner.report.extend import HEAD, beyond, extended, extension
from runner.report.write import summary, write_report
from tests.analysis.test_select import frame
from tests.report.studies import LRS, WDS, search, truth, write

ZEROS = {(lr, 0.0) for lr in (1.0, 2.0, 4.0)}
CELLS = {(lr, wd) for lr in (1.0, 2.0, 4.0) for wd in (0.1, 0.2, 0.4)}


# What a row says of itself, beside the made-up study's own.
SETTINGS = {"schedule": "cosine", "precision": "fp32", "batch_size": 64}


def studied(*arguments: Any, **changes: Any) -> list[dict[str, object]]:
    """A search whose rows tell all their settings."""
    return search(*arguments, **{"settings": SETTINGS} | changes)


def printed(rows: Sequence[Mapping[str, object]], folder: str = "results/made-up") -> list[dict[str, str]]:
    """The commands for a made-up study, each as {key: value}."""
    text = extension(Path(folder), [results(block) for block in split(frame(rows))])
    found = []
    for line in text.splitlines():
        if line.startswith("python"):
            words = shlex.split(line)
            assert words[:4] == ["python", "-m", "runner", "-m"]
            found.append(dict(word.split("=", 1) for word in words[4:]))
    assert bool(found) == text.startswith(HEAD)
    return found


@pytest.mark.parametrize(
    ("values", "upward", "more"),
    [
        ([1e-3, 2e-3, 4e-3], True, [8e-3, 1.6e-2]),
        ([1e-3, 2e-3, 4e-3], False, [2.5e-4, 5e-4]),
        ([1e-3, 3e-3, 1e-2], True, [3e-2, 0.1]),
        ([1e-3, 3e-3, 1e-2, 3e-2], True, [0.1, 0.3]),
        ([0.01, 0.03, 0.1], False, [1e-3, 3e-3]),
        ([0.1, 1], True, [10, 100]),
        ([0.1], True, [0.2, 0.4]),
        ([0.1], False, [0.025, 0.05]),
        ([1e30, 1e36], True, []),
    ],
)
def test_an_axis_goes_on_in_its_own_steps(values: list[float], upward: bool, more: list[float]) -> None:
    assert beyond(values, upward) == pytest.approx(more)
    assert beyond(values[::-1], upward) == beyond(values, upward)


@pytest.mark.parametrize(
    ("edge", "best", "lrs", "wds"),
    [
        ("lr largest", (4.0, 0.2), [8, 16], [0, 0.1, 0.2, 0.4]),
        ("lr smallest", (1.0, 0.2), [0.25, 0.5], [0, 0.1, 0.2, 0.4]),
        ("wd largest", (2.0, 0.4), [1, 2, 4], [0.8, 1.6]),
        ("wd smallest", (2.0, 0.1), [1, 2, 4], [0, 0.025, 0.05]),
        (NONE_BETTER, (2.0, 0.2), [1, 2, 4], [0.025, 0.05]),
        ("lr largest, wd largest", (4.0, 0.4), [1, 2, 4, 8, 16], [0, 0.1, 0.2, 0.4, 0.8, 1.6]),
        ("", (2.0, 0.2), [], []),
    ],
)
def test_the_map_stays_a_rectangle(edge: str, best: tuple[float, float], lrs: list[float], wds: list[float]) -> None:
    found = extended(edge, best, CELLS, ZEROS)
    assert [pytest.approx(lrs), pytest.approx(wds)] == list(found)


def test_a_stray_cell_does_not_become_a_column() -> None:
    assert extended("lr largest", (4.0, 0.2), CELLS | {(1.0, 77.0)}, ZEROS)[1] == [0, 0.1, 0.2, 0.4]
    assert extended("wd largest", (2.0, 0.4), CELLS | {(77.0, 0.1)}, ZEROS)[0] == [1, 2, 4]


def test_nothing_is_printed_where_the_best_cells_are_inside() -> None:
    assert printed(studied(seeds=(0, 1, 2))) == []


def test_each_arm_on_an_edge_gets_its_command() -> None:
    found = printed(studied(seeds=(0, 1), lrs=LRS[:3], wds=WDS | {"torch": (0.01, 0.03)}))
    assert [words["optimizer"] for words in found] == ["adam", "adamw"]  # Adam without decay is in both
    assert [words["seed"] for words in found] == ["0,1", "0,1"]
    assert [words["study"] for words in found] == ["made-up", "made-up"]
    assert found[0]["lr"] == "0.003,0.01"
    assert found[0]["wd"] == "0,1e-5,1e-4,0.001,0.01,0.1"
    assert (found[1]["lr"], found[1]["wd"]) == ("1e-4,3e-4,0.001,0.003,0.01", "0,0.01,0.03,0.09,0.27")


def test_the_axis_goes_on_from_the_last_cell_that_was_compared() -> None:
    rows = studied(seeds=(0, 1), lrs=LRS[:3])
    lone = studied(seeds=(9,), lrs=LRS[4:])
    found = printed([row for row in rows + lone if row["optimizer"] == "adamw"])
    assert [(words["lr"], words["seed"]) for words in found] == [("0.003,0.01", "0,1")]


def test_no_decay_alone_gets_a_command_of_its_own() -> None:
    def error(optimizer: str, lr: float, wd: float, seed: int) -> float:
        return truth(optimizer, lr, wd, seed) if wd else 9 - 100 * lr

    (found,) = printed(studied(error=error))
    assert (found["optimizer"], found["lr"], found["wd"]) == ("adam", "0.03,0.1", "0")


def test_a_decay_that_only_harms_is_sought_below_the_smallest() -> None:
    def error(optimizer: str, lr: float, wd: float, seed: int) -> float:
        return truth("adam", lr, 0, seed) + (0.1 + abs(wd - 0.1) if wd else 0)

    found = {words["optimizer"]: words for words in printed(studied(error=error))}
    assert found["adamw"]["wd"] == "0.001,0.003"
    assert found["adamw"]["lr"] == "1e-4,3e-4,0.001,0.003,0.01"


def test_what_the_study_was_run_with_is_typed_again() -> None:
    settings = {"model.width": 4, "schedule.warmup_epochs": 2.0, "optimizer.beta2": 0.98, "dataset.train": 100}
    (words,) = printed(studied(("adamw",), lrs=LRS[:3], settings=SETTINGS | settings), "/data/my studies/2024")
    del words["lr"], words["wd"]
    assert words == {
        "optimizer": "adamw",
        "optimizer.beta2": "0.98",
        "dataset.train": "100",
        "model.width": "4",
        "schedule.warmup_epochs": "2",
        "batch_size": "64",
        "seed": "0,1",
        "study": "'2024'",
        "results": "'/data/my studies'",
    }


def test_the_name_of_the_data_is_that_of_the_rows() -> None:
    (words,) = printed(studied(("adamw",), lrs=LRS[:3], dataset="my digits"))
    assert words["dataset.label"] == "'my digits'"


def test_a_rule_of_thumb_is_followed_beyond_the_edge(tmp_path: Path) -> None:
    noted = "model: {name: resnet}, dataset: {name: digits}, schedule: {name: cosine}, epochs: 20, batch_size: 64, "
    noted += "precision: fp32, wd: [1], seed: [0]"
    rule = f"{{{noted}, lr: [1], optimizer: {{name: adamw}}, wd_rule: product, wd_rule_constant: 2.0e-4}}"
    grid = f"{{{noted}, lr: [1, 2], optimizer: {{name: adam}}, wd_rule: none}}"
    (tmp_path / "study.yaml").write_text(f"settings: [{rule}, {grid}]\n")
    (words,) = printed(studied(("adamw",), lrs=LRS[:3], wds={"torch": (0.1,)}), str(tmp_path))
    assert "wd" not in words
    assert (words["lr"], words["wd_rule"], words["wd_rule_constant"]) == ("0.003,0.01", "product", "2e-4")


def test_what_was_added_near_a_winner_is_no_part_of_the_axes() -> None:
    rows = studied(("adamw",), lrs=LRS[:3])
    near = studied(("adamw",), lrs=(5.5e-4,), phase="refine")
    assert printed([*rows, *near]) == printed(rows)
    assert printed(rows)[0]["lr"] == "0.003,0.01"


def test_a_study_of_auto_is_extended_in_the_replicates_that_there_are(tmp_path: Path) -> None:
    noted = "model: {name: resnet}, dataset: {name: digits}, schedule: {name: cosine}, epochs: 20, batch_size: 64, "
    noted += "precision: fp32, wd: [1], seed: [0], lr: [1], optimizer: {name: adamw}, replicates: 0, max_replicates: 9"
    (tmp_path / "study.yaml").write_text(f"settings: [{{{noted}}}]\n")
    rows = [
        {**row, "replicate": number, "trial": f"{number}{row['trial']}"}
        for row in studied(("adamw",), lrs=LRS[:3])
        for number in range(7)
    ]
    (words,) = printed(rows, str(tmp_path))
    assert words["replicates"] == "7"


def test_no_decay_is_asked_for_that_leaves_nothing_of_a_weight() -> None:
    def error(optimizer: str, lr: float, wd: float, seed: int) -> float:
        return 9 - math.log(1 + wd) + abs(math.log(lr / 1e-3))

    wds = dict.fromkeys(("torch", "l2"), (1000.0, 3000.0))
    (words,) = printed(studied(("adamw",), lrs=LRS[:4], wds=wds, error=error))
    assert words["wd"] == "9000"  # but not 2.7e4, more than all of a weight even at the smallest rate, 1e-4
    (words,) = printed(studied(("adam",), wds=wds, error=error))
    assert words["wd"] == "9000,27000"


@pytest.mark.parametrize("settings", ["", "null", "[]", "{}", '{"optimizer": "adam"}', '{"optimizer": "gone"}'])
def test_rows_that_cannot_be_typed_again_get_no_command(settings: str) -> None:
    assert printed([row | {"settings": settings} for row in studied(lrs=LRS[:3])]) == []


def test_the_report_and_the_table_of_a_finished_study_end_with_the_commands(tmp_path: Path) -> None:
    folder = write(tmp_path / "made-up", studied(lrs=LRS[:3]), curves=False)
    for text in (write_report(folder).terminal, summary(folder)):
        table, commands = text.split(f"\n\n{HEAD}\n")
        assert "on the edge of its grid" in table
        assert len([line for line in commands.splitlines() if line.startswith("python -m runner -m ")]) == 2
