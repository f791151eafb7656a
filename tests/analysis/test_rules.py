"""What a rule of thumb costs is read off the map where the rule points, and nowhere else."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.interpolate import RegularGridInterpolator

from optim.conventions import from_paper
from runner.analysis.blocks import Block, split
from runner.analysis.results import results
from runner.analysis.rules import TIMESCALE, Regret, regrets, rules_table
from runner.report import rules as reported
from runner.report.generalization import remarks
from runner.report.plots import style
from runner.report.write import write_report
from tests.analysis.test_select import frame
from tests.report.studies import search, trial, write
from tests.training.test_recipes import composed

LRS = (1e-3, 2e-3, 4e-3, 8e-3)
PER_STEP = tuple(2.0**k for k in range(-16, -2, 2))  # lr x wd, or the paper's lambda
STEPS, BATCH = 140, 64  # of the made-up rows: 400 examples, 20 epochs
Error = Callable[[float, float], float]


def bowl(lr: float, per_step: float) -> float:
    """Lowest at lr 2e-3 and a decay per step of 2^-6."""
    return 3 + 0.7 * (math.log2(lr / 2e-3)) ** 2 + 0.4 * (math.log2(per_step) + 6) ** 2 if per_step else 9.0


def block(
    optimizer: str = "adamw",
    convention: str = "paper",
    error: Error = bowl,
    grid: Sequence[float] = PER_STEP,
    none: bool = False,
) -> Block:
    """`none`: with cells without decay too."""
    rows = []
    for lr in LRS:
        for per_step in grid:
            wd = per_step if convention == "l2" else from_paper(convention, per_step, lr, STEPS)
            own = {"wd_torch": per_step / lr, "wd_paper": per_step} if convention != "l2" else {}
            rows += [
                trial(optimizer, lr, wd, seed, wd_convention=convention, error=error(lr, per_step) + seed - 0.5, **own)
                for seed in range(2)
            ]
        coupled = optimizer.removesuffix("w")
        seeds = range(2) if none else ()
        rows += [trial(coupled, lr, 0.0, seed, error=error(lr, 0.0) + seed - 0.5) for seed in seeds]
    (found,) = split(frame(rows))
    return found


def named(one: Block) -> dict[str, Regret]:
    return {regret.rule.name: regret for regret in regrets(one)}


@pytest.mark.parametrize("convention", ["paper", "torch", "normalized"])
def test_scores_between_cells_are_those_of_scipy_in_log2_of_the_decay(convention: str) -> None:
    surface = np.array([[bowl(lr, per_step) for per_step in PER_STEP] for lr in LRS])
    at = RegularGridInterpolator((np.log2(LRS), np.log2(PER_STEP)), surface)
    decays = {
        "timescale": lambda lr: 1 / (0.2 * STEPS),
        "product": lambda lr: 1e-4,
        "batch": lambda lr: lr * 0.1 / BATCH,
        "torch": lambda lr: lr * 0.01,
    }
    found = named(block(convention=convention))
    assert set(found) == set(decays)
    good = [lr for lr, line in zip(LRS, surface, strict=True) if line.min() <= 2 * surface.min()]
    for name, decay in decays.items():
        inside = [lr for lr in LRS if PER_STEP[0] <= decay(lr) <= PER_STEP[-1]]
        scores = {lr: float(at((np.log2(lr), np.log2(decay(lr))))) for lr in inside}
        one = found[name]
        if not inside:
            assert math.isnan(one.score)
            assert (math.isnan(one.lr), one.good, one.outside) == (True, (), len(good))
            continue
        best = min(scores, key=scores.__getitem__)
        assert one.lr == best
        assert one.wd == pytest.approx(from_paper(convention, decay(best), best, STEPS))
        assert one.regret == pytest.approx(scores[best] - surface.min())
        assert one.good == tuple(lr for lr in good if lr in inside)
        assert one.outside == len(good) - len(one.good)
        if one.good:
            assert one.good_regret == pytest.approx(np.mean([scores[lr] for lr in one.good]) - surface.min())
            lowest = {lr: line.min() for lr, line in zip(LRS, surface, strict=True)}
            assert one.own == pytest.approx(np.mean([scores[lr] - lowest[lr] for lr in one.good]))
    assert found["timescale"].seeds == 2


def test_less_decay_than_the_smallest_is_read_off_between_none_and_that_in_proportion() -> None:
    least, decays = PER_STEP[0], {lr: lr * 0.1 / BATCH for lr in LRS}
    assert all(decay < least for decay in decays.values())
    scores = {lr: np.interp(decay, [0, least], [bowl(lr, 0), bowl(lr, least)]) for lr, decay in decays.items()}
    found = named(block(none=True))["batch"]
    assert found.score == pytest.approx(min(scores.values()))
    assert found.wd == pytest.approx(decays[found.lr])
    assert (len(found.good) > 0, found.outside) == (True, 0)


@pytest.mark.parametrize("name", ["product", "batch"])
def test_rules_with_a_setting_of_their_name_give_its_decay(name: str) -> None:
    found = named(block(convention="torch", grid=(*(2.0**k for k in range(-24, -16, 2)), *PER_STEP)))[name]
    typed = composed("optimizer=adamw", f"wd_rule={name}", f"lr={found.lr!r}", f"batch_size={BATCH}")
    assert (found.wd,) == pytest.approx(typed.wds(found.lr))


def test_a_timescale_of_a_fifth_of_the_run_is_as_many_steps_as_the_average_is_long() -> None:
    found = named(block(convention="torch"))["timescale"]
    assert 1 / (found.lr * found.wd) == pytest.approx(TIMESCALE * STEPS)


def test_a_rule_that_points_at_the_best_cell_costs_nothing() -> None:
    found = named(block(error=lambda lr, per_step: bowl(lr, per_step * 2**-6 * 0.2 * STEPS)))
    assert 0 <= found["timescale"].regret < 0.6 < found["product"].regret


def test_the_penalty_has_torchs_default_of_none_and_the_usual_one() -> None:
    found = named(block("adam", "l2", none=True))
    assert set(found) == {"torch", "usual"}
    assert (found["torch"].lr, found["torch"].wd, found["torch"].score) == (LRS[0], 0.0, 9.0)
    at = np.interp(math.log2(1e-4), np.log2(PER_STEP), [bowl(2e-3, x) for x in PER_STEP])
    assert (found["usual"].lr, found["usual"].wd) == (2e-3, 1e-4)
    assert found["usual"].score == pytest.approx(at)


def test_torch_has_no_default_for_sgdw() -> None:
    assert set(named(block("sgdw"))) == {"timescale", "product", "batch"}


def test_cells_that_diverged_are_neighbours_only_of_what_lies_beside_them() -> None:
    rows = [row for row in search(("adamw",)) if row["wd"]]
    (whole,) = split(frame(rows))
    (one,) = [regret for regret in regrets(whole) if regret.rule.name == "torch"]
    assert one.wd == 0.01  # it lies on the grid's first decay
    for row in rows:
        if row["wd"] == 0.03:
            row |= {"status": "failed", "val_error": None, "val_loss": None}
    (holed,) = split(frame(rows))
    (again,) = [regret for regret in regrets(holed) if regret.rule.name == "torch"]
    assert again.score == one.score
    batch = [regret for regret in regrets(holed) if regret.rule.name == "batch"]
    assert math.isnan(batch[0].score)  # 0.1 / 64 lies below the grid


def test_the_table_and_the_csv_say_where_the_grid_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = block()
    frame_ = rules_table([one]).set_index("rule")
    assert frame_.loc["batch", "outside"] == len(named(one)["batch"].good) + named(one)["batch"].outside
    shown = reported.table(results(one))
    assert shown is not None
    assert {row[1].partition(":")[0]: row[2] for row in shown.rows}["batch"] == reported.OUTSIDE
    assert reported.notes(results(one))[0] in remarks(results(one))
    monkeypatch.setattr(style, "DPI", 40)
    folder = write(tmp_path / "study", search(), curves=False)
    write_report(folder)
    table = pd.read_csv(folder / "rules.csv")
    assert set(table["arm"]) == {"Adam + L2", "AdamW"}
    assert "Regret of rules of thumb" in (folder / "report.html").read_text()


def test_rows_that_do_not_tell_their_size_have_no_timescale() -> None:
    (one,) = split(frame([row | {"train_size": None} for row in search(("adamw",))]))
    assert set(named(one)) == {"product", "batch", "torch"}


def test_without_a_map_there_is_no_table() -> None:
    (one,) = split(frame([trial("adamw", 1e-3, 0.1, seed) for seed in range(2)]))
    assert regrets(one) == []
    assert reported.table(results(one)) is None
    assert reported.notes(results(one)) == []
