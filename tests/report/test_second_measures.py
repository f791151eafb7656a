"""Second measures stand beside the first with intervals of their own, and without a verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from runner.analysis.blocks import split
from runner.analysis.results import results
from runner.analysis.study_results import BlockResults
from runner.report.generalization import generalization, markdown, remarks
from runner.report.second_measures import SECOND, table
from tests.analysis.test_select import frame
from tests.report.studies import noise, search, trial

FRESH = range(100, 105)
ARMS = ("Adam, no decay", "Adam + L2", "AdamW")


def found(rows: Sequence[dict[str, object]]) -> BlockResults:
    (block,) = split(frame(rows))
    return results(block)


def flat(optimizer: str, lr: float, wd: float, seed: int) -> float:
    """The best cell of each arm is known."""
    return 5.0 - ((optimizer, lr, wd) in CELLS)


CELLS = (("adam", 1e-3, 0.0), ("adam", 1e-3, 1e-3), ("adamw", 1e-3, 0.1))


def fresh(**more: object) -> list[dict[str, object]]:
    """A search with fresh runs of its best cells, whose second measures vary by themselves."""
    rows = search(error=flat)
    for name, lr, wd in CELLS:
        for seed in FRESH:
            row = trial(name, lr, wd, seed, phase="final", error=4 + noise(name, wd, seed))
            row |= {s.column: 1.2 + 0.5 * noise(s.column, name, wd, seed) for s in SECOND if s.column != "test_error"}
            rows.append(row | more)
    return rows


def lines(one: BlockResults) -> dict[tuple[str, str], list[str]]:
    shown = table(one)
    assert shown is not None
    return {(row[0], row[1]): list(row[2:]) for row in shown.rows}


def test_means_and_paired_differences_are_those_of_scipy() -> None:
    rows = fresh()
    one = generalization([found(rows)]).set_index("arm")
    for column in ("test_loss", "test_ece", "test_brier", "test_top5_error"):
        of_arm = {
            name: np.array(
                [r[column] for r in rows if r["phase"] == "final" and r["optimizer"] == name and r["wd"]], float
            )
            for name in ("adam", "adamw")
        }
        interval = stats.ttest_rel(of_arm["adamw"], of_arm["adam"]).confidence_interval()
        cells = one.loc["AdamW"].to_dict()
        assert cells[column] == pytest.approx(of_arm["adamw"].mean())
        assert cells[f"{column}_difference"] == pytest.approx((of_arm["adamw"] - of_arm["adam"]).mean())
        assert cells[f"{column}_difference_low"] == pytest.approx(interval.low)
        assert cells[f"{column}_difference_high"] == pytest.approx(interval.high)
        assert cells[f"{column}_difference_pairs"] == len(FRESH)
        assert math.isnan(one.loc["Adam + L2"].to_dict()[f"{column}_difference"])


def test_of_several_replicates_each_is_one_number() -> None:
    rows, means = [], {}
    for number in range(4):
        for row in fresh():
            own = trial(
                str(row["optimizer"]),
                float(str(row["lr"])),
                float(str(row["wd"])),
                int(str(row["seed"])) + 10**6 * number,
                phase=row["phase"],
                error=row["test_error"],
                replicate=number,
            )
            if row["phase"] == "final":
                own["test_ece"] = 3 + noise(own["trial"])
                means.setdefault((own["optimizer"], own["wd"] != 0, number), []).append(own["test_ece"])
            rows.append(own)
    one = found(rows)
    of_arm = {name: [np.mean(means[name, True, number]) for number in range(4)] for name in ("adam", "adamw")}
    cells = generalization([one]).set_index("arm").loc["AdamW"].to_dict()
    assert cells["test_ece"] == pytest.approx(np.mean(of_arm["adamw"]))
    assert cells["test_ece_difference_pairs"] == 4
    interval = stats.ttest_rel(of_arm["adamw"], of_arm["adam"]).confidence_interval()
    assert cells["test_ece_difference_low"] == pytest.approx(interval.low)
    assert lines(one)["AdamW", "calibration error (%)"][2] == "4 replicates"


def test_each_arm_has_each_measure_but_the_main_one() -> None:
    names = ["test loss (nats)", "calibration error (%)", "Brier score (0 to 2)", "top-5 error (%)"]
    shown = lines(found(fresh()))
    assert list(shown) == [(arm, name) for name in names for arm in ARMS]
    mean, difference, n = shown["AdamW", "calibration error (%)"]
    assert mean.count("[") == difference.count("[") == 1
    assert difference[0] in "+-"
    assert n == "5 seeds"
    assert shown["Adam + L2", "calibration error (%)"][1] == "–"


def test_of_text_the_error_is_a_second_measure_and_the_loss_is_not() -> None:
    rows = [row | {"dataset": "text"} for row in fresh()]
    names = {name for _, name in lines(found(rows))}
    assert "test error (%)" in names
    assert "test loss (nats)" not in names


def test_no_verdict_is_given_and_the_text_says_so() -> None:
    one = found(fresh())
    shown = table(one)
    assert shown is not None
    text = shown.markdown()
    assert not any(word in text for word in ("lower", "higher", "undecided", "verdict", "confirmed"))
    assert any("exploratory: no verdict rests on them" in line for line in remarks(one))
    assert text in markdown([one])


def test_runs_that_did_not_measure_it_are_left_out_and_diverged_ones_are_not() -> None:
    rows = fresh()
    of_adamw = [row for row in rows if row["phase"] == "final" and row["optimizer"] == "adamw"]
    of_adamw[0]["test_ece"] = None  # a row of an earlier version
    assert lines(found(rows))["AdamW", "calibration error (%)"][2] == "4 seeds"
    cells = generalization([found(rows)]).set_index("arm").loc["AdamW"].to_dict()
    assert cells["test_ece_difference_pairs"] == 4
    assert cells["test_ece"] == pytest.approx(np.mean([row["test_ece"] for row in of_adamw[1:]]))
    seed, wd = of_adamw[1]["seed"], of_adamw[1]["wd"]
    rows[rows.index(of_adamw[1])] = trial(
        "adamw", 1e-3, float(str(wd)), int(str(seed)), phase="final", status="diverged"
    )
    mean, difference, n = lines(found(rows))["AdamW", "calibration error (%)"]
    assert (mean[0], difference[0], n) == ("–", "–", "4 seeds")
    assert lines(found(rows))["AdamW", "top-5 error (%)"][0][0] != "–"  # counted at chance


def test_what_no_run_measured_is_not_shown() -> None:
    blank = dict.fromkeys(second.column for second in SECOND if second.column != "test_error")
    one = found([row | blank for row in fresh()])
    assert table(one) is None
    assert not any("Second measures" in line for line in remarks(one))
    assert ("AdamW", "Brier score (0 to 2)") not in lines(found(fresh(test_brier=None)))


def test_runs_of_the_search_are_marked() -> None:
    assert lines(found(search(error=flat)))["AdamW", "test loss (nats)"][2] == "2 seeds (of the search)"
