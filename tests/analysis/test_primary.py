"""Claims about the comparison that a study is about: which it is, and whether more replicates may decide it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runner.analysis.blocks import split
from runner.analysis.primary import ABOUT, intended, lacking, open_questions, primary
from runner.analysis.protocol import Protocol
from runner.analysis.results import results
from runner.analysis.study_results import BlockResults
from runner.claims.listed import LISTED
from runner.report.answer import answer
from tests.analysis.test_results import with_finals
from tests.analysis.test_select import frame
from tests.report.studies import noise, replicated, trial

LOOKS = Protocol(0, looks=True)
Rows = list[dict[str, object]]


def block_of(rows: Rows, protocol: Protocol = LOOKS) -> BlockResults:
    (block,) = split(frame(rows))
    return results(replace(block, classes=10), "", protocol)


def pair(adamw: float, seeds: int = 5, spread: float = 0.1, l2: float = 5.0) -> Rows:
    """One cell of each arm."""
    return [
        trial(name, 1e-3, 0.1, seed, error=error + spread * noise(name, seed))
        for name, error in (("adam", l2), ("adamw", adamw))
        for seed in range(seeds)
    ]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (
            [row | ({"test_loss": None, "status": "diverged"} if row["seed"] == 2 else {}) for row in pair(4.8)],
            "a run has no number",
        ),
        (pair(4.0, spread=0.0), "no spread over replicates"),
        (
            pair(90.0, l2=90.0),
            "nothing was learned",
        ),
    ],
)
def test_what_more_replicates_cannot_change_does_not_go_on(rows: Rows, reason: str) -> None:
    if reason == "a run has no number":
        rows = [row | {"dataset": "text"} for row in rows]
    going, stuck = open_questions([block_of(replicated(rows))])
    assert going == []
    assert len(stuck) == 1
    assert stuck[0].endswith(f"undecided ({reason})")


def test_too_few_replicates_and_an_open_interval_go_on() -> None:
    for rows in (pair(4.8, spread=1.0), pair(4.0, seeds=2)):
        going, stuck = open_questions([block_of(replicated(rows))])
        assert (len(going), stuck) == (1, [])


def test_where_the_arm_in_question_failed_no_other_comparison_stands_in_for_it() -> None:
    rows = [row for row in with_finals(-0.5, 0.1) if row["optimizer"] == "adam"]
    rows += [trial("adamw", 1e-3, wd, seed, status="failed") for wd in (0.1, 0.2) for seed in (0, 1)]
    found = block_of(replicated(rows))
    main = intended(found)
    assert main is not None
    assert main.arm == "AdamW"
    assert primary(found) is None
    going, stuck = open_questions([found])
    assert going == []
    assert stuck == [f"AdamW against Adam + L2: {lacking(found)}"]
    assert "AdamW has no result (all" in lacking(found)
    assert answer([found]).startswith("No answer: AdamW has no result (all")


def test_of_two_arms_alike_the_first_by_name_is_in_question_whatever_their_errors() -> None:
    for paper, torch in ((3.0, 4.0), (4.0, 3.0)):
        rows = pair(5.0)[:5] + [
            trial("adamw", 1e-3, wd, seed, wd_convention=convention, error=error + 0.1 * noise(convention, seed))
            for convention, wd, error in (("paper", 1e-4, paper), ("torch", 0.1, torch))
            for seed in range(5)
        ]
        main = primary(block_of(replicated(rows)))
        assert main is not None
        assert main.arm == "AdamW (paper)"


def twins(families: tuple[str, ...]) -> Rows:
    """Of each family L2 and its decoupled twin, one cell each."""
    return [
        trial(name, 1e-3, 0.1, seed, error=5 + 0.1 * noise(name, seed))
        for family in families
        for name in (family, f"{family}w")
        for seed in range(5)
    ]


@pytest.mark.parametrize(("claim", "arm"), [("", "AdamW"), ("best-cell", "AdamW"), ("best-cell-sgd", "SGDW")])
def test_the_table_asks_what_the_primary_claim_asks_so_that_alpha_is_spent_once(claim: str, arm: str) -> None:
    main = intended(block_of(replicated(twins(("adam", "sgd"))), replace(LOOKS, primary=claim)))
    assert main is not None
    assert main.arm == arm


def test_a_primary_claim_about_an_optimizer_that_a_block_has_not_leaves_its_question_as_it_is() -> None:
    main = intended(block_of(replicated(twins(("adam",))), replace(LOOKS, primary="best-cell-sgd")))
    assert main is not None
    assert main.arm == "AdamW"


def test_the_claims_that_are_about_the_table_are_listed_and_about_the_same_optimizer() -> None:
    assert {claim: LISTED[claim].family for claim in ABOUT} == ABOUT
