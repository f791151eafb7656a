"""Claims about fresh seeds: they alone are results, and a verdict waits until all of them are there."""

from __future__ import annotations

from runner.analysis.blocks import split
from runner.analysis.protocol import Protocol
from runner.analysis.results import results
from runner.analysis.verdict import ONE_REPLICATE, OPTIMISTIC
from runner.report.generalization import markdown
from tests.analysis.test_results import FRESH, bowl, by_arm, reported, with_finals
from tests.analysis.test_select import frame
from tests.report.studies import in_replicate, replicated, search, trial


def test_a_replicate_that_was_interrupted_before_its_fresh_seeds_waits_and_does_not_undo_the_others() -> None:
    rows = replicated(with_finals(-0.5, 0.1))
    left = [row for row in rows if (row["phase"], row["replicate"]) != ("final", 4)]
    (block,) = split(frame(left))
    found = results(block, "", Protocol(5))
    (adamw,) = [arm for arm in found.arms if arm.arm == "AdamW"]
    assert adamw.replicates == (0, 1, 2, 3)
    assert adamw.verdict == "undecided (4 of 5 replicates are there)"
    assert OPTIMISTIC not in adamw.remark
    assert "left out until they have fresh seeds: replicates 4." in markdown([found])
    (adamw,) = [arm for arm in results(block, "", Protocol(4)).arms if arm.arm == "AdamW"]
    assert adamw.verdict == "lower"
    # The only finished one may lack an arm that the others are to be compared with.
    alone = [row for row in rows if row["phase"] == "search" or (row["replicate"] == 0 and row["optimizer"] == "adamw")]
    alone = [row for row in alone if (row["replicate"], row["wd"] > 0, row["optimizer"]) != (0, True, "adam")]
    (adamw,) = [arm for arm in reported(alone)[0].arms if arm.arm == "AdamW"]
    assert adamw.replicates == (0,)
    assert adamw.verdict == ONE_REPLICATE


def test_only_fresh_seeds_are_reported_as_results() -> None:
    found = by_arm(with_finals(-0.5, 0.1))["AdamW"]
    assert found.values["test_error"].n == 5
    assert found.remark == ""
    search_only = by_arm(replicated(search(error=bowl, seeds=range(4))))["AdamW"]
    assert search_only.phase == "search"
    assert OPTIMISTIC in search_only.remark
    assert search_only.verdict == "undecided (no fresh seeds)"


def test_final_rows_with_search_seeds_do_not_count_as_fresh() -> None:
    found = by_arm(with_finals(-0.5, 0.1, seeds=(0, 1, 100, 101, 102)))["AdamW"]
    assert found.seeds == (100, 101, 102)
    assert "left out" in found.remark


def test_final_rows_of_another_cell_are_not_reported() -> None:
    rows = [*search(error=bowl), *(trial("adamw", 1e-4, 1.0, seed, phase="final", error=0.1) for seed in FRESH)]
    found = by_arm(rows)["AdamW"]
    assert found.phase == "search"
    assert "another cell" in found.remark
    assert found.values["test_error"].mean == 5.0


def test_a_verdict_waits_for_every_fresh_run_that_was_planned_and_for_one_that_failed() -> None:
    """One of two seeds was enough, so a study that was interrupted had a verdict, which could change later."""
    rows = [row for k in (0, 1) for row in replicated(with_finals(-0.5, 0.1, seeds=range(100 + k, 110, 2)))]
    whole = {str(row["trial"]): row for row in rows}
    last = next(key for key, row in whole.items() if row["phase"] == "final" and row["optimizer"] == "adamw")
    without = [row for key, row in whole.items() if key != last]
    broken = [*without, whole[last] | {"status": "failed"}]
    for some, said in (
        (list(whole.values()), "lower"),
        (without, "undecided (9 of 10 fresh runs of AdamW are there)"),
        (broken, "undecided (1 of 10 fresh runs of AdamW failed)"),
    ):
        for looks in (False, True):
            (block,) = split(frame(some))
            found = results(block, "", Protocol(5, looks=looks, final_seeds=2))
            (adamw,) = [arm for arm in found.arms if arm.arm == "AdamW"]
            assert adamw.verdict == said


def test_a_verdict_waits_for_the_same_search_in_every_replicate() -> None:
    """Without its rows, or with failed ones, a replicate has chosen its cell from fewer; alike in all it is a grid."""
    rows = replicated(with_finals(-0.5, 0.1))
    searched = [row for row in rows if (row["phase"], row["optimizer"]) == ("search", "adamw") and row["wd"]]
    cell = {name: searched[0][name] for name in ("lr", "wd")}
    of_second = [row for row in searched if row["replicate"] == 2]
    one = next(row for row in of_second if cell.items() <= row.items())

    def verdict(lost: list[dict[str, object]], failed: list[dict[str, object]]) -> str:
        left = [row | ({"status": "failed"} if row in failed else {}) for row in rows if row not in lost]
        (block,) = split(frame(left))
        (adamw,) = [arm for arm in results(block, "", Protocol(5)).arms if arm.arm == "AdamW"]
        return adamw.verdict

    assert verdict([], []) == "lower"
    for case in ((of_second, []), ([one], []), ([], [one])):
        assert verdict(*case) == "undecided (the search of AdamW lacks runs in 1 replicate)"
    assert verdict([row for row in searched if row["replicate"]], []).endswith("in 4 replicates)")
    alike = [row for row in searched if cell.items() <= row.items()]
    assert verdict([], alike) == "lower"
    # An arm that later replicates did not ask for lacks nothing of them.
    gone = [row for row in rows if row["optimizer"] == "adamw" and row["wd"] and int(str(row["replicate"])) > 2]
    assert verdict(gone, []) == "undecided (3 replicates; 4 are needed)"
    # A study that began with one replicate and a larger grid.
    assert verdict([row for row in alike if row["replicate"]], []) == "lower"


def one_cell(fresh: int, failed: str = "") -> list[dict[str, object]]:
    """Six replicates of one cell of each arm, AdamW far ahead, with so many fresh runs, those of one arm failed."""
    rows = []
    for optimizer, wd, error in (("adam", 0.01, 9.0), ("adamw", 0.1, 5.0)):
        for phase, seed, status in [("search", 0, "ok")] + [("final", 1000 + n, "ok") for n in range(fresh)]:
            bad = failed == optimizer and phase == "final"
            of_run = {"phase": phase, "status": "failed" if bad else status}
            rows += [
                in_replicate(
                    trial(optimizer, 0.01, wd, seed, val_error=error, test_error=error + n / error, **of_run), n
                )
                for n in range(6)
            ]
    return rows


def word(rows: list[dict[str, object]], protocol: Protocol) -> str:
    (block,) = split(frame(rows))
    return next(arm.verdict for arm in results(block, "", protocol).arms if arm.arm == "AdamW")


def test_runs_of_the_search_stand_for_no_fresh_runs_that_were_asked_for_and_are_not_there() -> None:
    """With one cell nothing was selected, so its search runs would be a result if nobody had asked for others."""
    assert word(one_cell(0), Protocol(6)) == "lower"
    asked = Protocol(6, final_seeds=2, all_fresh=True)
    assert word(one_cell(0), asked).startswith("undecided (0 of 12 fresh runs of")
    assert word(one_cell(1), asked).startswith("undecided (6 of 12 fresh runs of")
    assert word(one_cell(2), asked) == "lower"
    assert word(one_cell(2, "adamw"), asked) == "undecided (the fresh runs of AdamW failed)"


def test_a_replicate_that_is_gone_from_among_others_withholds_the_verdict() -> None:
    rows = [row for row in one_cell(2) if row["replicate"] != 2]
    assert word(rows, Protocol(0, looks=True)) == "undecided (AdamW has no result in replicate 2)"
    rows = [row for row in one_cell(2) if row["replicate"] not in (0, 3)]
    assert word(rows, Protocol(0, looks=True)) == "undecided (AdamW has no result in replicate 0, 3)"


def test_where_nobody_knows_how_many_fresh_runs_were_asked_for_it_is_as_many_as_there_are_elsewhere() -> None:
    rows = one_cell(2)
    lost = next(row for row in rows if (row["optimizer"], row["phase"], row["replicate"]) == ("adamw", "final", 3))
    rows.remove(lost)
    unknown = Protocol(1, looks=True, unknown=("there is no study.yaml",))
    assert word(rows, unknown) == "undecided (11 of 12 fresh runs of AdamW are there)"
    gone = [row for row in rows if (row["optimizer"], row["phase"]) != ("adamw", "final")]
    assert word(gone, unknown).startswith("undecided (0 of 12 fresh runs of AdamW")
