"""The shortest budget is that of a whole run whose winner's fresh seeds reach the error, and not one on the way."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from runner.analysis.blocks import split
from runner.analysis.results import results
from runner.analysis.shortest import LEVELS, Budgets, Course, budgets, levels, shortest_table
from runner.analysis.study_results import StudyResults
from runner.report import shortest
from runner.report.plots import style
from runner.report.write import write_report
from tests.analysis.test_select import frame
from tests.report.studies import noise, trial, write

# Mean test error by arm, schedule and epochs. AdamW's cosine of 20 epochs does worse than that of 10.
MEANS = {
    ("adam", "cosine"): {5: 12.0, 10: 6.2, 20: 4.4},
    ("adamw", "cosine"): {5: 9.5, 10: 4.4, 20: 4.7},
    ("adamw", "onecycle"): {5: 5.9, 10: 5.8},
}
Rows = list[dict[str, object]]


def row(optimizer: str, schedule: str, epochs: int, lr: float, seed: int, error: float, **more: object) -> Rows:
    wd = 0.1 if optimizer == "adamw" else 1e-3
    own = {"schedule": schedule, "epochs": epochs, "error": error, "settings": {"schedule": schedule} | more}
    return [trial(optimizer, lr, wd, seed, phase="final" if seed >= 100 else "search", **own)]


def studied(fresh: bool = True) -> Rows:
    """A search of two learning rates, of which the first wins, and three fresh seeds of it."""
    rows: Rows = []
    for (optimizer, schedule), lengths in MEANS.items():
        for epochs, mean in lengths.items():
            for lr, more in ((1e-3, 0.0), (1e-2, 3.0)):
                rows += row(optimizer, schedule, epochs, lr, 0, mean + more - 2)  # lucky: it must not count
            for seed in (100, 101, 102) if fresh else ():
                rows += row(optimizer, schedule, epochs, 1e-3, seed, mean + 0.1 * noise(seed))
    return rows


def study(rows: Rows) -> StudyResults:
    empty = pd.DataFrame()
    return StudyResults(tuple(results(block) for block in split(frame(rows))), empty, empty, empty)


def found(rows: Rows) -> Budgets:
    (one,) = budgets(study(rows))
    return one


def course(one: Budgets, arm: str, schedule: str) -> Course:
    (chosen,) = [c for c in one.courses if (c.arm, c.schedule) == (arm, schedule)]
    return chosen


def test_the_error_of_a_length_is_that_of_its_winners_fresh_seeds() -> None:
    one = found(studied())
    assert [(c.arm, c.schedule) for c in one.courses] == [
        ("Adam + L2", "cosine"),
        ("AdamW", "cosine"),
        ("AdamW", "onecycle"),
    ]
    spread = np.mean([0.1 * noise(seed) for seed in (100, 101, 102)])
    for (optimizer, schedule), lengths in MEANS.items():
        reached = course(one, "AdamW" if optimizer == "adamw" else "Adam + L2", schedule).reached
        assert {epochs: value.mean for epochs, value in reached.items()} == pytest.approx(
            {epochs: mean + spread for epochs, mean in lengths.items()}
        )
        assert {value.n for value in reached.values()} == {3}


@pytest.mark.parametrize(
    ("level", "l2", "adamw", "onecycle", "first"),
    [
        (13.0, 5, 5, 5, {("Adam + L2", "cosine"), ("AdamW", "cosine"), ("AdamW", "onecycle")}),
        (10.0, 10, 5, 5, {("AdamW", "cosine"), ("AdamW", "onecycle")}),
        (7.0, 10, 10, 5, {("AdamW", "onecycle")}),
        (5.0, 20, 10, None, {("AdamW", "cosine")}),
        (3.0, None, None, None, set()),
    ],
)
def test_the_shortest_length_at_or_below_a_level_and_who_is_first(
    level: float, l2: int | None, adamw: int | None, onecycle: int | None, first: set[tuple[str, str]]
) -> None:
    one = found(studied())
    reached = [c.shortest(level) for c in one.courses]
    assert reached == [l2, adamw, onecycle]
    assert {(c.arm, c.schedule) for c in one.first(level)} == first


def test_runs_of_the_search_are_no_results() -> None:
    assert budgets(study(studied(fresh=False))) == []


def test_one_length_is_no_comparison_and_other_settings_are_another_group() -> None:
    rows = studied()
    assert budgets(study([one for one in rows if one["epochs"] == 10])) == []
    wider = [
        made
        for one in rows
        for made in row(
            str(one["optimizer"]),
            str(one["schedule"]),
            int(str(one["epochs"])),
            float(str(one["lr"])),
            int(str(one["seed"])),
            1.0,
            **{"model.width": 64},
        )
    ]
    both = budgets(study(rows + wider))
    assert len(both) == 2
    assert {value.mean for c in both[1].courses for value in c.reached.values()} == {1.0}


def test_of_several_variants_of_a_schedule_the_best_of_a_length_counts() -> None:
    rows = studied()
    for seed in (0, 100, 101, 102):
        rows += row("adamw", "onecycle", 10, 1e-3, seed, 2.0, **{"schedule.warmup_steps": 7})
    assert course(found(rows), "AdamW", "onecycle").reached[10].mean == pytest.approx(2.0)
    rows = studied()
    for seed in (0, 100, 101, 102):
        rows += row("adamw", "onecycle", 10, 1e-3, seed, 50.0, **{"schedule.warmup_steps": 7})
    assert course(found(rows), "AdamW", "onecycle").reached[10].mean == pytest.approx(5.8, abs=0.1)


def test_a_variant_of_which_a_run_has_no_number_takes_the_place_of_none() -> None:
    """In whatever order the two come."""
    rows = [one | {"dataset": "text"} for one in studied()]
    before = course(found(rows), "AdamW", "onecycle").reached[10].mean
    diverged = {"dataset": "text", "status": "diverged", "test_loss": math.nan}
    for seed in (0, 100, 101, 102):
        (one,) = row("adamw", "onecycle", 10, 1e-3, seed, 2.0, **{"schedule.warmup_steps": 7})
        rows.append(one | (diverged if seed == 101 else {"dataset": "text"}))
    for order in (rows, rows[::-1]):
        assert course(found(order), "AdamW", "onecycle").reached[10].mean == pytest.approx(before)


@pytest.mark.parametrize("means", [(4.4, 12.0), (0.9, 60.0), (1.31, 1.62), (2.0, 2.0), (0.012, 0.2)])
def test_levels_are_round_and_between_the_errors(means: tuple[float, float]) -> None:
    chosen = levels(means)
    assert 1 <= len(chosen) <= LEVELS
    assert list(chosen) == sorted(set(chosen))
    assert all(means[0] <= level <= means[1] for level in chosen)
    assert all(len(f"{level:g}".replace(".", "").strip("0")) <= 2 for level in chosen)


def test_a_run_without_a_number_reaches_nothing() -> None:
    assert levels([math.nan, math.inf]) == ()
    value = course(found(studied()), "AdamW", "cosine").reached[10]
    one = Course("AdamW", "cosine", {5: type(value)(math.nan, math.nan, math.nan, math.nan, 3), 10: value})
    assert one.shortest(100.0) == 10


def test_the_files_say_what_was_not_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style, "DPI", 40)
    folder = write(tmp_path / "study", studied(), curves=False)
    write_report(folder)
    table = pd.read_csv(folder / "shortest.csv")
    made = shortest_table(budgets(study(studied()))).astype({"epochs": float})
    pd.testing.assert_frame_equal(table, made, check_dtype=False)
    lowest = table[table["level"] == table["level"].min()].set_index(["arm", "schedule"])
    assert math.isnan(lowest.loc[("AdamW", "onecycle"), "epochs"])
    assert lowest.loc[("AdamW", "cosine"), "tried"] == "5 10 20"
    text = (folder / "generalization.md").read_text()
    assert shortest.TITLE in text
    assert shortest.NOT_REACHED in text
    assert "**first there**" in text
    page = (folder / "report.html").read_text()
    assert shortest.NOT_REACHED in page
    assert 'href="#shortest"' in page


def test_a_study_of_one_length_has_no_such_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style, "DPI", 40)
    folder = write(tmp_path / "study", [one for one in studied() if one["epochs"] == 10], curves=False)
    (folder / "shortest.csv").write_text("of an earlier report\n")
    write_report(folder)
    assert not (folder / "shortest.csv").exists()
    assert shortest.TITLE not in (folder / "report.html").read_text()
