"""Claims about best cells come out confirmed, refuted and undecided, each for the right study."""

from __future__ import annotations

import math
import re

import pytest

from runner.analysis.protocol import Protocol
from tests.claims.made_up import FRESH, LRS, WDS, judged, one_by_one, study, verdict
from tests.report.studies import noise


def bowl(lr: float, wd: float, best: float, x: float = 0.0, y: float = 0.0) -> float:
    """An error with its minimum `best` at the middle of the grid, moved by x and y octaves."""
    far = (math.log2(lr / LRS[3]) - x) ** 2 + ((math.log2(wd / WDS[3]) - y) ** 2 if wd else 0)
    return best * (1 + 0.1 * far)


def world(**best: float):
    """A truth with these best errors: adam (L2), adamw, plain (no decay), sgd, sgdw."""

    def truth(optimizer: str, lr: float, wd: float) -> float:
        return bowl(lr, wd, best["plain" if wd == 0 else optimizer])

    return truth


@pytest.mark.parametrize(("adamw", "expected"), [(4.0, "confirmed"), (6.0, "refuted"), (5.0, "undecided")])
def test_adamw_beats_l2_where_it_does(adamw: float, expected: str) -> None:
    claims = judged(one_by_one(world(adam=5.0, adamw=adamw, plain=7.0), spread=0.05))
    assert verdict(claims, "AdamW's best cell beats") == expected


@pytest.mark.parametrize(("plain", "expected"), [(5.0, "confirmed"), (6.0, "refuted"), (4.0, "confirmed")])
def test_l2_gives_nothing_where_it_gives_nothing_or_takes(plain: float, expected: str) -> None:
    claims = judged(one_by_one(world(adam=5.0, adamw=4.0, plain=plain), spread=0.02))
    assert verdict(claims, "Adam gets nothing from L2") == expected


def test_a_wide_interval_around_equality_is_undecided() -> None:
    claims = judged(one_by_one(world(adam=5.0, adamw=4.0, plain=5.0), spread=0.3))
    assert verdict(claims, "Adam gets nothing from L2") == "undecided"


def test_a_best_cell_on_the_edge_leaves_the_comparison_undecided() -> None:
    def truth(optimizer: str, lr: float, wd: float) -> float:
        return bowl(lr, wd, 4.0 if optimizer == "adamw" else 5.0, x=3.0)

    (claim,) = [c for c in judged(one_by_one(truth)) if "AdamW's best cell" in c.name]
    assert claim.verdict == "undecided"
    assert "edge" in claim.why


def test_the_name_of_a_claim_is_of_the_arms_that_were_compared() -> None:
    """It said Adam + L2 where Adam without decay was measured, because no L2 was better."""

    def truth(optimizer: str, lr: float, wd: float) -> float:
        return bowl(lr, WDS[3], 5.0 + 300 * wd) if optimizer == "adam" else bowl(lr, wd, 4.0)

    for claim in judged(one_by_one(truth)):
        if claim.claim == "1":
            assert claim.name == "AdamW's best cell beats that of Adam without decay"
            assert "AdamW minus Adam, no decay" in claim.statistic
            instead, change = claim.remark.split("; ")[:2]
            assert instead == "in place of Adam + L2, none of which that was tried is better"
            assert re.fullmatch(r"-\d+ % of Adam, no decay's error", change)
    names = {claim.name: claim.statistic for claim in judged(one_by_one(world(adam=5.0, adamw=4.0, plain=7.0)))}
    assert "AdamW minus Adam + L2" in names["AdamW's best cell beats Adam + L2's"]
    plain = [row for row in one_by_one(truth) if row["optimizer"] == "adamw" or row["wd"] == 0]
    assert not [claim for claim in judged(plain) if "L2" in claim.name + claim.statistic + claim.remark]


def test_where_no_decay_is_better_than_the_smallest_it_stands_for_l2_and_leaves_adamw_undecided() -> None:
    def truth(optimizer: str, lr: float, wd: float) -> float:
        if optimizer == "adam" and wd > 0:
            return bowl(lr, WDS[3], 5.0 + 300 * wd)
        return bowl(lr, wd, 4.5 if wd == 0 else 4.0)

    found = judged(one_by_one(truth, spread=0.02))
    (claim,) = [c for c in found if "AdamW's best cell" in c.name]
    assert "AdamW minus Adam, no decay" in claim.statistic
    assert claim.verdict == "confirmed"
    assert verdict(found, "Adam gets nothing from L2") == "confirmed"  # it loses by it

    (claim,) = [
        c for c in judged(one_by_one(lambda o, *cell: truth({"adam": "adamw"}.get(o, "adam"), *cell))) if c.claim == "1"
    ]
    assert claim.verdict == "undecided"
    assert "no decay is better" in claim.why


def test_without_enough_fresh_seeds_nothing_is_decided() -> None:
    truth = world(adam=5.0, adamw=4.0, plain=6.0)
    none, few = (next(c for c in judged(one_by_one(truth, fresh=f)) if c.claim == "1") for f in ((), FRESH[:3]))
    assert (none.verdict, few.verdict) == ("undecided", "undecided")
    assert "no fresh seeds" in none.why
    assert "3 common replicates; 4 are needed" in few.why


def test_one_replicate_confirms_and_refutes_nothing_about_best_cells() -> None:
    found = [c for c in judged(study(world(adam=5.0, adamw=4.0, plain=7.0))) if c.claim in ("1", "4")]
    assert len(found) == 2
    for claim in found:
        assert claim.verdict == "undecided"
        assert "one replicate decides nothing about optimizers" in claim.why


def test_selection_on_test_gives_no_verdict() -> None:
    rows = one_by_one(world(adam=5.0, adamw=4.0, plain=6.0), val_size=0)
    found = judged(rows)
    assert found
    assert {c.verdict for c in found if c.claim != "13"} == {"undecided"}
    assert all("selected on test" in c.why for c in found if c.claim != "13")


def test_the_papers_numbers_stand_only_where_the_paper_has_them() -> None:
    best = {"adam": 5.0, "adamw": 4.0, "plain": 6.0, "sgd": 5.0, "sgdw": 4.0}
    rows = [
        {**row, "trial": f"{row['trial']}-{schedule}"}
        for schedule in ("cosine", "constant")
        for row in one_by_one(
            world(**best), ("adam", "adamw", "sgd", "sgdw"), schedule=schedule, settings={"schedule": schedule}
        )
    ]
    papers = {claim.name: claim for claim in judged(rows) if claim.claim == "3"}
    assert papers["Cosine is the best schedule for AdamW"].paper_value == "-24 % (from 5.0 to 3.8 %)"
    assert papers["Cosine is the best schedule for SGDW"].paper_value == "not in the paper"
    for claim in judged(rows):
        assert ("the paper's text" in claim.remark) == (claim.claim == "1")


@pytest.mark.parametrize(("adamw", "expected"), [(4.0, "confirmed"), (5.0, "refuted"), (3.0, "confirmed")])
def test_adamw_rivals_sgdw_where_it_is_as_good_or_better(adamw: float, expected: str) -> None:
    truth = world(adam=5.0, adamw=adamw, plain=6.0, sgd=4.0, sgdw=4.0)
    claims = judged(one_by_one(truth, ("adam", "adamw", "sgd", "sgdw"), spread=0.02))
    assert verdict(claims, "AdamW rivals SGDW") == expected
    assert verdict(claims, "Adam + L2 is worse than SGD + L2") == "confirmed"


def _schedules(cosine: float, step: float) -> list:
    """Best errors of AdamW under two schedules; Adam + L2 has 5 under both."""
    rows = []
    for name, adamw, adam in (("cosine", cosine, 5.0), ("step", step, 5.5)):
        truth = world(adam=adam, adamw=adamw, plain=6.0)
        rows += one_by_one(truth, spread=0.02, schedule=name, settings={"schedule": name})
    return judged(rows)


def test_the_gap_grows_and_cosine_is_best_where_so() -> None:
    claims = _schedules(cosine=3.5, step=5.0)
    assert verdict(claims, "gain is larger under cosine than under step") == "confirmed"
    assert verdict(claims, "best schedule for AdamW") == "confirmed"
    claims = _schedules(cosine=4.9, step=4.0)
    assert verdict(claims, "gain is larger under cosine than under step") == "refuted"
    assert verdict(claims, "best schedule for AdamW") == "refuted"
    assert verdict(claims, "best schedule for Adam + L2") == "confirmed"


def test_cosine_has_to_beat_all_schedules_where_one_could_look_too() -> None:
    """The rival with the nearest mean was the only one: it is surely worse, and of the other nothing is sure."""
    rows = []
    for name, best, spread in (("cosine", 5.0, 0.0), ("step", 5.5, 0.0), ("constant", 8.0, 6.0)):
        changes = {"schedule": name, "settings": {"schedule": name}, "lrs": LRS[1:6], "wds": WDS[2:5]}
        for row in one_by_one(world(adamw=best), ("adamw",), spread=0.01, **changes):
            off = spread * noise(row["seed"]) if row["phase"] == "final" else 0.0
            rows.append({**row, "test_error": float(str(row["test_error"])) + off})
    protocol = Protocol(0, looks=True, primary="cosine-best")
    (claim,) = [c for c in judged(rows, protocol=protocol) if c.id == "cosine-best"]
    assert claim.evidence is not None
    assert claim.evidence.value == pytest.approx(-0.5, abs=0.1)
    assert claim.evidence.high < 0
    assert claim.verdict == "undecided"


@pytest.mark.parametrize(("fixed", "expected"), [(4.1, "confirmed"), (3.0, "refuted")])
def test_a_long_run_at_a_fixed_rate_against_a_short_cosine(fixed: float, expected: str) -> None:
    long = one_by_one(
        world(adam=fixed, plain=5.0),
        ("adam",),
        spread=0.02,
        schedule="constant",
        epochs=360,
        settings={"schedule": "constant", "epochs": 360},
    )
    claims = judged([*long, *one_by_one(world(adam=5.0, adamw=4.0, plain=6.0), spread=0.02)])
    assert verdict(claims, "does not replace AdamW with cosine in 18 times") == expected


@pytest.mark.parametrize(("without", "expected"), [(3.0, "confirmed"), (4.8, "refuted")])
def test_the_gain_without_normalization(without: float, expected: str) -> None:
    rows = one_by_one(world(adam=5.0, adamw=4.0, plain=6.0), spread=0.02)
    rows += one_by_one(world(adam=5.0, adamw=without, plain=6.0), spread=0.02, settings={"model.norm": "none"})
    assert verdict(judged(rows), "gain is larger without BatchNorm") == expected
