"""Claim and table say the same of one difference, and neither what a better cell outside a grid could take back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from runner.analysis.protocol import Protocol
from runner.analysis.results import results
from runner.analysis.statistics import estimate
from runner.analysis.study_results import ArmResult
from runner.claims.claim import Claim, decided
from runner.claims.evidence import Evidence, above, apart, below, no_higher, no_lower, within
from runner.claims.judge import judge
from tests.claims.made_up import LRS, WDS, Row, judged, one_by_one, replicated, study_results
from tests.claims.test_best_cells import world

MARGIN = 0.5
SMALL = {"lrs": LRS[2:5], "wds": WDS[2:5]}
# A test, and whether a true difference makes what it claims right, and wrong.
TESTS: dict[str, tuple[Callable[..., Evidence | None], Callable[[float], bool], Callable[[float], bool]]] = {
    "below": (below, lambda d: d < 0, lambda d: d > 0),
    "above": (above, lambda d: d > 0, lambda d: d < 0),
    "no higher": (lambda v: no_higher(v, MARGIN), lambda d: d < MARGIN, lambda d: d > MARGIN),
    "no lower": (lambda v: no_lower(v, MARGIN), lambda d: d > -MARGIN, lambda d: d < -MARGIN),
    "within": (lambda v: within(v, MARGIN), lambda d: abs(d) < MARGIN, lambda d: abs(d) > MARGIN),
    "apart": (lambda v: apart(v, MARGIN), lambda d: d != 0, lambda d: abs(d) < MARGIN),
}


def arm(edge: str = "") -> ArmResult:
    (block,) = study_results(one_by_one(world(adam=5.0, adamw=4.0, plain=6.0), **SMALL)).blocks
    return replace(next(one for one in block.arms if one.arm == "AdamW"), edge=edge)


INNER, OUTER = arm(), arm("lr largest")


@pytest.mark.parametrize("looks", [False, True])
@pytest.mark.parametrize("mean", [-1.03, 0.03, 1.03])
@pytest.mark.parametrize("name", TESTS)
def test_a_verdict_is_withheld_where_a_better_cell_outside_could_take_it_back_and_only_there(
    name: str, mean: float, looks: bool
) -> None:
    """Any edge of either arm withheld it."""
    test, right, wrong = TESTS[name]
    mean = 0.0 if (name, mean) == ("apart", 0.03) else mean
    values = mean + 0.01 * np.array([-1.0, 1, -2, 2, 0, 1, -1, 0.5])
    (place,) = study_results(one_by_one(world(adamw=4.0), ("adamw",), **SMALL), protocol=Protocol(0, looks)).blocks
    one = Claim("best-cell", "made up", "", test(values), (place,))
    expected = "confirmed" if right(mean) else "refuted"
    for plus, minus in ((INNER, INNER), (OUTER, INNER), (INNER, OUTER), (OUTER, OUTER)):
        # A better cell takes from the error that is added, or from that which is taken off.
        reach = np.arange(-3.0 if plus is OUTER else 0.0, 3.01 if minus is OUTER else 0.01, 0.01)
        held = [(right if expected == "confirmed" else wrong)(round(mean + far, 9)) for far in reach]
        (claim,) = decided([replace(one, plus=(plus,), minus=(minus,))])
        assert claim.verdict == (expected if all(held) else "undecided"), (plus.edge, minus.edge)
        assert ("is on its grid's edge" in claim.why) == (not all(held))


def test_an_open_interval_beside_an_edge_is_that_of_the_edge_as_in_the_table() -> None:
    found = below([-1.0, 1.2, -0.8, 0.9, -0.3])
    for plus, minus in ((OUTER, INNER), (INNER, OUTER)):
        (claim,) = decided([Claim("best-cell", "made up", "", found, (), plus=(plus,), minus=(minus,))])
        assert claim.why == "AdamW's best cell is on its grid's edge (lr largest)"


def schedules(adamw: float = 4.0) -> list[Row]:
    """Four optimizers under two schedules, and long runs at a constant rate."""
    best = {"adam": 5.0, "adamw": adamw, "plain": 5.5, "sgd": 5.2, "sgdw": 4.6}
    rows: list[Row] = []
    for name, epochs in (("cosine", 20), ("step", 20), ("constant", 100)):
        changes = {"schedule": name, "epochs": epochs, "settings": {"schedule": name, "epochs": epochs}}
        rows += one_by_one(world(**best), ("adam", "adamw", "sgd", "sgdw"), spread=0.05, **SMALL, **changes)
    return rows


def test_the_arms_that_a_claim_adds_and_takes_off_are_those_whose_errors_raise_and_lower_its_value() -> None:
    rows, random = schedules(), np.random.default_rng(0)
    before = {(c.id, c.name): c for c in judged(rows) if c.plus}
    assert {id for id, _ in before} == {
        *("best-cell", "best-cell-sgd", "gain-by-schedule", "cosine-best", "l2-gives-nothing"),
        *("adamw-rivals-sgdw", "adam-worse-than-sgd", "long-constant"),
    }
    off: dict[object, float] = {}
    moved = [
        {**row, "test_error": float(str(row["test_error"])) + off.setdefault(_arm_of(row), random.normal(0, 1e-3))}
        for row in rows
    ]
    for claim in judged(moved):
        if claim.plus and claim.id != "cosine-best":  # whose value is that of one rival
            old = before[claim.id, claim.name].evidence
            added, taken = (sum(off[_arm_of(one.rows.iloc[0])] for one in arms) for arms in (claim.plus, claim.minus))
            assert claim.evidence.value - old.value == pytest.approx(added - taken, abs=1e-7), claim.name


def _arm_of(row: Mapping[str, object]) -> tuple[object, ...]:
    return row["optimizer"], row["schedule"], float(str(row["wd"])) > 0


@pytest.mark.parametrize(("looks", "primary"), [(False, ""), (False, "best-cell"), (True, "best-cell")])
def test_the_claim_that_is_the_tables_comparison_has_the_tables_verdict(looks: bool, primary: str) -> None:
    words, seen = {"lower": "confirmed", "higher": "refuted"}, set()
    for gain in (-0.6, -0.2, -0.1, 0.0, 0.6):
        rows: list[Row] = []
        for epochs, more in ((20, 0.0), (40, -0.3)):
            best = world(adam=5.0, adamw=5.0 + gain + more, plain=6.0)
            rows += one_by_one(best, spread=0.06, epochs=epochs, settings={"epochs": epochs}, **SMALL)
        study = study_results(rows, protocol=Protocol(0 if looks else 6, looks, primary=primary, comparisons=2))
        claims = [claim for claim in judge(study) if claim.id == "best-cell"]
        for block, claim in zip(study.blocks, claims, strict=True):
            (adamw,) = [one for one in block.arms if one.arm == "AdamW"]
            assert claim.verdict == words.get(adamw.verdict, "undecided")
            assert claim.is_primary == bool(primary)
            seen.add(claim.verdict)
    assert seen == {"confirmed", "refuted", "undecided"}


def test_among_many_other_claims_it_is_not_corrected_again() -> None:
    """Holm's correction left undecided what the table had decided."""
    values, protocol = [-0.31, -0.1, -0.44, -0.15, -0.27, -0.35], Protocol(6)
    (place,) = study_results(one_by_one(world(adamw=4.0), ("adamw",), **SMALL), protocol=protocol).blocks
    one = Claim("best-cell", "made up", "", below(values), (place,))
    others = [Claim("cosine-best", "made up", "", below([0.1, -0.1, 0.2, -0.2]), (place,)) for _ in range(20)]
    for table, verdict in ((None, "undecided"), (protocol.judged(estimate(values)), "confirmed")):
        assert decided([replace(one, table=table), *others])[0].verdict == verdict


def test_between_the_two_levels_the_claim_names_the_interval_that_leaves_it_open() -> None:
    """With two primary claims Holm's correction decided what the table had left open."""
    protocol = Protocol(6, comparisons=2)
    (place,) = study_results(one_by_one(world(adamw=4.0), ("adamw",), **SMALL), protocol=protocol).blocks
    values = [-0.31, 0.05, -0.44, -0.05, -0.27, -0.35]
    assert 0.0125 < stats.ttest_1samp(values, 0.0, alternative="less").pvalue < 0.025
    wide = stats.ttest_1samp(values, 0.0).confidence_interval(0.975)
    found = below(values)
    assert found is not None
    table = protocol.judged(estimate(values))
    assert (table.low, table.high) == pytest.approx((wide.low, wide.high))
    (claim,) = decided([Claim("best-cell", "made up", "", found, (place,), table=table)])
    assert claim.verdict == "undecided"
    assert claim.why.startswith("the table's 97.5 % interval leaves it open; about ")
    (claim,) = decided([Claim("best-cell", "made up", "", found, (place,))])
    assert claim.verdict == "confirmed"


def test_a_second_comparison_of_the_same_claim_in_a_study_is_exploratory() -> None:
    """It shared the level that the table has spent."""
    rows = one_by_one(world(adam=5.0, adamw=4.0, plain=6.0), spread=0.02, **SMALL)
    twins = [
        {
            **row,
            "wd_convention": "torch",
            "wd": float(str(row["wd"])) / float(str(row["lr"])),
            "trial": f"{row['trial']}t",
        }
        for row in rows
        if row["optimizer"] == "adamw"
    ]
    found = [c for c in judged([*rows, *twins], protocol=Protocol(6, primary="best-cell")) if c.id == "best-cell"]
    assert [(c.name.split("'")[0], c.is_primary, c.verdict) for c in found] == [
        ("AdamW (paper)", True, "confirmed"),
        ("AdamW (torch)", False, "confirmed"),
    ]


def test_before_all_planned_replicates_are_there_no_claim_is_decided() -> None:
    """The table waited for them, and claims did not."""
    rows = schedules(adamw=3.0)
    assert {c.verdict for c in judged(rows, protocol=Protocol(6))} > {"confirmed"}
    waiting = judged(rows, protocol=Protocol(7))
    assert {c.verdict for c in waiting} == {"undecided"}
    assert {c.id for c in waiting if "6 of 7 " in c.why} >= {"best-cell", "easier-to-tune", "cosine-best"}


def test_two_arms_that_guess_are_as_good_as_each_other_in_no_claim() -> None:
    """The table said so of equal arms; AdamW rivalled SGDW where neither had learned anything."""
    rows = one_by_one(world(adamw=89.9, sgdw=89.9), ("adamw", "sgdw"), spread=0.001, **SMALL)
    study = study_results(rows)
    block = results(replace(study.blocks[0].block, classes=10))
    (claim,) = [c for c in judge(replace(study, blocks=(block,))) if c.id == "adamw-rivals-sgdw"]
    assert (claim.verdict, claim.why) == ("undecided", "nothing was learned")
    assert "nothing was learned" in next(one.verdict for one in block.arms if one.verdict)


@pytest.mark.parametrize("reference", ["", "AdamW"])
def test_one_difference_has_one_verdict_whichever_arm_is_the_reference(reference: str) -> None:
    """With AdamW as the reference the claim was corrected for being one of many, and the table was not."""
    rows = one_by_one(world(adam=5.0, adamw=4.83, plain=6.0), spread=0.06, **SMALL)
    (block,) = [one.block for one in study_results(rows).blocks]
    found = results(block, reference, Protocol(6))
    (claim,) = [c for c in judge(replace(study_results(rows), blocks=(found,))) if c.id == "best-cell"]
    assert claim.table is not None
    assert claim.evidence is not None
    assert claim.table.mean == pytest.approx(claim.evidence.value)
    assert claim.table.low < claim.table.mean < claim.table.high
    words = {"lower": "confirmed", "higher": "refuted"} | (
        {"lower": "refuted", "higher": "confirmed"} if reference else {}
    )
    (arm,) = [one for one in found.arms if one.arm == ("Adam + L2" if reference else "AdamW")]
    assert claim.verdict == words.get(arm.verdict, "undecided")


def test_a_run_that_failed_leaves_table_and_claim_undecided_for_the_same_reason() -> None:
    rows = [dict(row) for row in replicated(world(adam=5.0, adamw=4.0, plain=6.0), count=4, **SMALL)]
    next(row for row in rows if row["phase"] == "final" and row["optimizer"] == "adamw")["status"] = "failed"
    (block,) = study_results(rows, protocol=Protocol(4)).blocks
    (arm,) = [one for one in block.arms if one.arm == "AdamW"]
    (claim,) = [c for c in judge(study_results(rows, protocol=Protocol(4))) if c.id == "best-cell"]
    assert arm.verdict == f"undecided ({claim.why})"
    assert claim.why == "1 of 24 fresh runs of AdamW failed"
