"""Claims about restarts come out each way, and a run that diverged counts as one that did."""

from __future__ import annotations

import math

import pytest

from runner.claims.claim import Claim
from tests.claims.made_up import Row, curves_of, judged
from tests.report.studies import noise, trial


def _with_restarts(first: float, last: float, count: int = 6) -> tuple[list[Row], list[Row], list[Row]]:
    """Replicates of AdamW with and without restarts: errors after the first and last cycle of AdamWR, the
    former higher by one in every other replicate; AdamW's falls from 20.5 by one each epoch."""
    rows: list[Row] = []
    for schedule in ("cosine", "restarts"):
        for seed in range(2 * count):
            changes = {"wd_convention": "normalized", "schedule": schedule, "settings": {"schedule": schedule}}
            rows.append(trial("adamw", 0.01, 0.1, seed, replicate=seed // 2, **changes))
    curves = curves_of([r for r in rows if r["schedule"] == "cosine"], lambda row, epoch: 20.5 - epoch, "test_error")
    cycles: list[Row] = [
        {"trial": row["trial"], "cycle": cycle, "epoch": epoch, "test_error": error + 0.01 * noise(row["trial"], cycle)}
        for row in rows
        if row["schedule"] == "restarts"
        for cycle, epoch, error in ((1, 4, first + int(str(row["replicate"])) % 2), (2, 12, last))
    ]
    return rows, curves, cycles


def _restarted(*errors: float, **more: int) -> list[Claim]:
    return [c for c in judged(*_with_restarts(*errors, **more)) if c.claim == "15"]


def test_restarts_help_early_and_end_alike() -> None:
    sooner, end = _restarted(5.0, 0.5)
    assert (sooner.verdict, end.verdict) == ("confirmed", "confirmed")
    assert sooner.evidence is not None
    # AdamW has 5 % after 16 epochs and 6 % after 15, AdamWR after 4, and later than after 20 it cannot be.
    assert sooner.evidence.value == pytest.approx((math.log2(16 / 4) + math.log2(15 / 4)) / 2 / math.log2(5))
    assert sooner.evidence.n == 6
    assert sooner.remark == "the ceiling is 5.0 times the first cycle"
    sooner, end = _restarted(18.0, 3.0)
    assert (sooner.verdict, end.verdict) == ("refuted", "refuted")


def test_an_error_that_is_never_reached_is_the_ceiling_and_a_better_end_is_as_good() -> None:
    sooner, end = _restarted(0.1, 0.4)
    assert end.verdict == "confirmed"
    assert sooner.evidence is not None
    assert end.evidence is not None
    assert sooner.evidence.value == 1
    assert end.evidence.value == pytest.approx(-20, abs=2)  # 0.4 in place of 0.5, in percent of that


def test_what_the_paper_has_of_restarts_is_relative_too() -> None:
    sooner, end = _restarted(5.0, 0.5)
    assert sooner.paper_value.startswith("0.80 ")  # log2(10) of log2(18)
    assert end.paper_value.startswith("+5.4 %")  # 3.3 and 3.13 %


def _diverged(rows: list[Row], schedule: str) -> list[Row]:
    """The rows with the first run of each replicate under this schedule diverged."""
    chance = {"status": "diverged", "val_error": 90.0, "test_error": 90.0}
    return [row | chance if row["schedule"] == schedule and int(str(row["seed"])) % 2 == 0 else row for row in rows]


def test_restarts_that_diverge_count_at_chance_whenever_they_do() -> None:
    """In the first cycle they left no trace at all, later that of the cycle before."""
    rows, curves, cycles = _with_restarts(5.0, 0.5)
    rows = _diverged(rows, "restarts")
    lost = {row["trial"] for row in rows if row["status"] == "diverged"}
    for last in (0, 1):
        kept = [row for row in cycles if row["trial"] not in lost or int(str(row["cycle"])) <= last]
        sooner, end = [c for c in judged(rows, curves, kept) if c.claim == "15"]
        assert (sooner.verdict, end.verdict) == ("confirmed" if last else "refuted", "refuted")
        assert end.evidence is not None
        assert end.evidence.value == pytest.approx(100 * ((90 + 0.5) / 2 / 0.5 - 1), rel=0.01)


def test_a_run_without_restarts_that_diverges_never_reaches_the_error() -> None:
    """Its length was that at which it died, and its end the error of the epoch before."""
    rows, curves, cycles = _with_restarts(5.0, 0.5)
    rows = _diverged(rows, "cosine")
    lost = {row["trial"] for row in rows if row["status"] == "diverged"}
    curves = [row for row in curves if row["trial"] not in lost or int(str(row["epoch"])) <= 8]
    sooner, end = [c for c in judged(rows, curves, cycles) if c.claim == "15"]
    assert sooner.evidence is not None
    assert end.evidence is not None
    reached = (math.log2(16 / 4) + math.log2(15 / 4)) / 2 / math.log2(5)
    assert sooner.evidence.value == pytest.approx((1 + reached) / 2)
    assert end.verdict == "confirmed"
    assert end.evidence.value == pytest.approx(100 * (0.5 / ((90 + 0.5) / 2) - 1), abs=0.1)


def test_a_first_cycle_that_is_the_whole_run_is_no_restart() -> None:
    rows, curves, cycles = _with_restarts(5.0, 0.5)
    whole = [row | {"epoch": 20} for row in cycles if row["cycle"] == 1]
    for claim in judged(rows, curves, whole):
        if claim.claim == "15":
            assert (claim.verdict, claim.why) == ("undecided", "the first cycle is the whole run")


def test_four_replicates_are_enough_for_a_t_test_as_they_are_between_best_cells() -> None:
    for claim in _restarted(5.0, 0.5, count=3):
        assert claim.verdict == "undecided"
        assert claim.why == "3 common replicates; 4 are needed"
    assert [claim.verdict for claim in _restarted(5.0, 0.5, count=4)] == ["confirmed", "confirmed"]
