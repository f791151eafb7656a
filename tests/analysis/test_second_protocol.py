"""Winners by validation loss: what they reach by the rows that are there, and whether those by error say the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from runner.analysis.blocks import split
from runner.analysis.results import results
from runner.analysis.second_protocol import SecondProtocol, chosen_by, second_protocol
from runner.analysis.select import block_winners
from runner.report import second_protocol as reported
from runner.report.generalization import generalization, remarks, tables
from tests.analysis.test_select import frame
from tests.report.studies import LRS, noise, search, trial

FRESH = range(100, 106)
BY_ERROR = {"adam": 1e-3, "adamw": 1e-3}  # the best learning rate of each arm, at the middle decay
BY_LOSS = {"adam": 1e-3, "adamw": 3e-3}  # the two differ for AdamW alone
MIDDLE = {"adam": 1e-3, "adamw": 0.1}
Rows = list[dict[str, object]]


def far(optimizer: str, lr: float, wd: float, best: float) -> float:
    return abs(LRS.index(lr) - LRS.index(best)) + 0.5 * (wd != MIDDLE[optimizer])


def searched(**more: object) -> Rows:
    rows = search(error=lambda optimizer, lr, wd, seed: 5 + far(optimizer, lr, wd, BY_ERROR[optimizer]))
    for row in rows:
        name, lr, wd = str(row["optimizer"]), float(str(row["lr"])), float(str(row["wd"]))
        row["val_loss"] = 0.2 + 0.01 * far(name, lr, wd, BY_LOSS[name])
    return [row | more for row in rows]


def fresh(errors: dict[tuple[str, float], float]) -> Rows:
    """Fresh runs of cells (optimizer, lr) at the middle decay, with a mean test error each."""
    return [
        trial(name, lr, MIDDLE[name], seed, phase="final", error=mean + 0.3 * noise(name, lr, seed))
        for (name, lr), mean in errors.items()
        for seed in FRESH
    ]


def both(rows: Sequence[dict[str, object]]) -> SecondProtocol:
    (block,) = split(frame(rows))
    found = second_protocol(results(block))
    assert found is not None
    return found


def sentence(rows: Sequence[dict[str, object]]) -> str:
    (block,) = split(frame(rows))
    (line,) = reported.notes(results(block))
    assert line in remarks(results(block))
    return line


def test_winners_are_those_of_the_other_measure() -> None:
    (block,) = split(frame(searched()))
    assert {row["arm"]: row["lr"] for row in block_winners(block)}["AdamW"] == 1e-3
    by_loss = {row["arm"]: row for row in block_winners(chosen_by(block, "loss"))}
    assert by_loss["AdamW"]["lr"] == 3e-3
    assert by_loss["AdamW"]["selected_by"] == "val_loss"
    assert chosen_by(block, "error") is block
    found = both(searched())
    assert found.kinds == ("error", "loss")
    assert (found.same("Adam + L2"), found.same("AdamW")) == (True, False)


def test_text_is_chosen_by_error_the_second_time() -> None:
    found = both(searched(dataset="text"))
    assert found.kinds == ("loss", "error")
    assert (found.first["AdamW"].lr, found.second["AdamW"].lr) == (3e-3, 1e-3)


def test_what_it_reached_is_of_fresh_seeds_where_there_are_some_and_else_called_optimistic() -> None:
    rows = [*searched(), *fresh({("adam", 1e-3): 5.0, ("adamw", 1e-3): 4.0})]
    (block,) = split(frame(rows))
    shown = reported.table(results(block))
    assert shown is not None
    assert shown in tables(results(block)) or shown.markdown() in [t.markdown() for t in tables(results(block))]
    cells = {(row[0], row[1]): row for row in shown.rows}
    assert cells["AdamW", "loss"][-1] == "2 (of the search: optimistic)"
    assert cells["AdamW", "error"][-1] == cells["Adam + L2", "error, loss"][-1] == "6"
    assert "nothing can be told of Adam, no decay; AdamW (final_seeds=N also_by=loss trains" in sentence(rows)
    rows += fresh({("adamw", 3e-3): 4.5})
    found = both(rows)
    assert found.second["AdamW"].phase == "final"
    assert found.second["AdamW"].values["test_error"].mean == pytest.approx(
        np.mean([4.5 + 0.3 * noise("adamw", 3e-3, seed) for seed in FRESH])
    )


@pytest.mark.parametrize(
    ("by_error", "by_loss", "agree"), [(3.0, 3.5, True), (3.0, 7.0, False), (3.0, 5.0, False), (5.0, 5.0, True)]
)
def test_protocols_agree_where_their_intervals_lie_on_the_same_side_of_0(
    by_error: float, by_loss: float, agree: bool
) -> None:
    rows = [*searched(), *fresh({("adam", 1e-3): 5.0, ("adamw", 1e-3): by_error, ("adamw", 3e-3): by_loss})]
    found, sides = both(rows), []
    for chosen, lr in ((found.first, 1e-3), (found.second, 3e-3)):
        of_arm = {
            name: [
                row["test_error"] for row in rows if row["phase"] == "final" and (row["optimizer"], row["lr"]) == key
            ]
            for name, key in (("one", ("adamw", lr)), ("other", ("adam", 1e-3)))
        }
        interval = stats.ttest_rel(of_arm["one"], of_arm["other"]).confidence_interval()
        measured = found.difference(chosen, "AdamW", "test_error")
        assert (measured.low, measured.high) == pytest.approx((interval.low, interval.high))
        sides.append(found.side(chosen, "AdamW"))
        assert sides[-1] == (-1 if interval.high < 0 else 1 if interval.low > 0 else 0)
    assert (sides[0] == sides[1]) is agree
    assert ("both agree on" in sentence(rows) and "AdamW" in sentence(rows).partition("agree on")[2]) is agree
    assert ("they disagree on AdamW" in sentence(rows)) is not agree


def test_the_csv_has_the_second_winner_with_its_differences() -> None:
    rows = [*searched(), *fresh({("adam", 1e-3): 5.0, ("adamw", 1e-3): 3.0, ("adamw", 3e-3): 7.0})]
    (block,) = split(frame(rows))
    row = generalization([results(block)]).set_index("arm").loc["AdamW"].to_dict()
    assert (row["lr"], row["second_lr"], row["second_selected_by"]) == (1e-3, 3e-3, "loss")
    assert (row["second_phase"], row["second_n"], row["second_test_error_difference_pairs"]) == ("final", 6, 6)
    assert row["difference"] < 0 < row["second_test_error_difference_low"] < row["second_test_error_difference"]
    assert row["second_test_error"] == pytest.approx(7, abs=0.3)


def test_each_replicate_chooses_for_itself_the_second_time_too() -> None:
    """AdamW's best cell by loss is another in odd replicates; the mean over replicates is of what each has chosen."""
    rows, reached = [], []
    for number in range(4):
        best = 3e-3 if number % 2 else 1e-3
        for row in [*searched(), *fresh({("adam", 1e-3): 5.0, ("adamw", 1e-3): 4.0, ("adamw", 3e-3): 6.0})]:
            name, lr, wd = str(row["optimizer"]), float(str(row["lr"])), float(str(row["wd"]))
            own = trial(
                *(name, lr, wd, int(str(row["seed"])) + 10**6 * number),
                phase=row["phase"],
                error=row["test_error"],
                replicate=number,
            )
            if name == "adamw":
                own["val_loss"] = 0.2 + 0.01 * far(name, lr, wd, best)
            rows.append(own)
            if row["phase"] == "final" and (name, lr) == ("adamw", best):
                reached.append(row["test_error"])
    found = both(rows)
    assert found.second["AdamW"].replicates == (0, 1, 2, 3)
    assert found.second["AdamW"].values["test_error"].mean == pytest.approx(np.mean(reached))
    assert not found.same("AdamW")
    assert found.difference(found.second, "AdamW", "test_error").n == 4


def test_where_nothing_was_chosen_there_is_no_second_choice() -> None:
    (block,) = split(frame([trial("adamw", 1e-3, 0.1, seed, error=5.0) for seed in range(3)]))
    assert second_protocol(results(block)) is None
    assert reported.table(results(block)) is None
    assert reported.notes(results(block)) == []
