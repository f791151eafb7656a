"""Claims about what is compared with what."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from runner.analysis.arms import L2, NO_DECAY, Arm, W
from runner.analysis.blocks import split
from runner.analysis.primary import open_questions
from runner.analysis.references import named
from runner.analysis.results import results
from runner.analysis.select import NONE_BETTER
from runner.analysis.verdict import EDGE, ONE_REPLICATE
from runner.errors import UserError
from runner.report.answer import answer
from runner.report.generalization import generalization, markdown
from runner.report.page.words import verdicts
from runner.report.terminal import terminal_table
from runner.report.write import write_report
from tests.analysis.test_results import reported, with_finals
from tests.analysis.test_select import frame
from tests.report.studies import LRS, noise, replicated, search, trial, write

WDS = (0.01, 0.03, 0.1, 0.3, 1.0)
Rows = list[dict[str, object]]


def plain(*arms: tuple[str, float, float], seeds: Sequence[int] = (0, 1, 2), **more: object) -> Rows:
    """One cell for each (optimizer, wd, error)."""
    return [
        trial(name, 1e-3, wd, seed, error=error + 0.1 * noise(name, wd, seed), **more)
        for name, wd, error in arms
        for seed in seeds
    ]


def against(rows: Rows, reference: str = "") -> dict[str, str]:
    """What each arm is compared with, as far as it is."""
    return {
        result.arm: result.reference if result.difference else ""
        for block in split(frame(rows))
        for result in results(block, reference).arms
    }


def test_the_plainest_form_of_the_question_gets_a_difference_and_an_answer() -> None:
    rows = plain(("adam", 0.0, 5), ("adamw", 0.01, 4))
    table = reported(rows)
    assert against(rows) == {"Adam, no decay": "", "AdamW": "Adam, no decay"}
    row = generalization(table).set_index("arm").loc["AdamW"]
    assert (row["reference"], row["verdict"], row["pairs"]) == ("Adam, no decay", ONE_REPLICATE, 3)
    text = terminal_table(table)
    assert "difference to no decay" in text
    assert "*" not in text
    last = answer(table)
    assert last.startswith("No verdict about optimizers: one replicate (replicates=8).")
    assert "Of these two cells, in this split, AdamW against Adam, no decay: test error lower by" in last
    assert " ".join(text.split()).endswith(last)
    assert "difference to Adam, no decay [95 %]" in markdown(table)


@pytest.mark.parametrize(
    ("arms", "expected"),
    [
        ([("sgd", 0.0), ("adamw", 0.1)], {"AdamW": "", "SGD, no decay": "AdamW"}),
        ([("sgd", 0.0), ("sgdw", 0.1)], {"SGD, no decay": "", "SGDW": "SGD, no decay"}),
        (
            [("adam", 0.0), ("adam", 0.1), ("adamw", 0.1), ("sgd", 0.1)],
            {"Adam, no decay": "Adam + L2", "Adam + L2": "", "AdamW": "Adam + L2", "SGD + L2": "Adam + L2"},
        ),
        (
            [("adam", 0.1), ("adamw", 0.1), ("sgd", 0.1), ("sgdw", 0.1)],
            {"Adam + L2": "", "AdamW": "Adam + L2", "SGD + L2": "", "SGDW": "SGD + L2"},
        ),
        ([("adamw", 0.1), ("sgdw", 0.1)], {"AdamW": "", "SGDW": "AdamW"}),
        ([("adam", 0.0), ("sgd", 0.0)], {"Adam, no decay": "", "SGD, no decay": "Adam, no decay"}),
        ([("adamw", 0.1)], {"AdamW": ""}),
    ],
)
def test_any_two_arms_are_compared(arms: list[tuple[str, float]], expected: dict[str, str]) -> None:
    assert against(plain(*((name, wd, 5) for name, wd in arms))) == expected


def test_a_reference_is_what_all_others_are_compared_with_whatever_their_family() -> None:
    rows = search(("adam", "adamw", "sgd", "sgdw"))
    found = against(rows, "adamw")
    assert found.pop("AdamW") == ""
    assert set(found.values()) == {"AdamW"}
    assert len(found) == 5


def test_a_comparison_the_other_way_round_is_its_mirror() -> None:
    (block,) = split(frame(replicated(with_finals(-0.5, 0.1))))
    one = {r.arm: r for r in results(block).arms}["AdamW"]
    other = {r.arm: r for r in results(block, "adamw").arms}["Adam + L2"]
    assert one.difference is not None
    assert other.difference is not None
    assert one.difference.difference.mean == pytest.approx(-other.difference.difference.mean)
    assert (one.verdict, other.verdict) == ("lower", "higher")


ARMS = [
    Arm("adam", NO_DECAY),
    Arm("adam", L2),
    Arm("adam", W),
    Arm("sgd", L2),
    Arm("sgd", W, "paper"),
    Arm("sgd", W, "torch"),
    Arm("sparse_adam", W),
]


@pytest.mark.parametrize(
    ("word", "arm"),
    [
        ("adam", "Adam, no decay"),
        ("ADAMW", "AdamW"),
        ("l2", "Adam + L2"),
        ("Adam + L2", "Adam + L2"),
        ("adam+l2", "Adam + L2"),
        ("Adam, no decay", "Adam, no decay"),
        ("no decay", "Adam, no decay"),
        ("sgd", "SGD + L2"),
        ("sgdw (torch)", "SGDW (torch)"),
        ("sparse_adamw", "Sparse AdamW"),
        ("adamax", ""),
        ("", ""),
        ("w", ""),
    ],
)
def test_an_arm_is_named_in_full_or_in_short(word: str, arm: str) -> None:
    assert named(ARMS, word) == arm


def test_a_short_form_that_may_mean_several_arms_is_refused_with_their_names() -> None:
    with pytest.raises(UserError, match=r"reference=sgdw: may be SGDW \(paper\) or SGDW \(torch\)"):
        named(ARMS, "sgdw")
    with pytest.raises(UserError, match="reference=l2: may be"):
        named([Arm("adam", L2, params="all"), Arm("adam", L2, params="weights")], "l2")


def test_an_unknown_reference_is_refused_with_the_arms_that_there_are(tmp_path: Path) -> None:
    write(tmp_path, plain(("adam", 0.0, 5), ("adamw", 0.1, 4)))
    with pytest.raises(
        UserError, match="reference=sgdw: no such arm; the arms of this study are Adam, no decay; AdamW"
    ):
        write_report(tmp_path, "sgdw")
    assert not (tmp_path / "generalization.csv").exists()
    write_report(tmp_path, "adamw")
    table = pd.read_csv(tmp_path / "generalization.csv").set_index("arm")
    assert table.loc["Adam, no decay", "reference"] == "AdamW"


def test_a_block_without_the_reference_has_its_own(tmp_path: Path) -> None:
    rows = plain(("adam", 0.0, 5), ("adamw", 0.1, 4)) + plain(
        ("sgd", 0.0, 5), ("sgdw", 0.1, 4), settings={"model.width": 16}
    )
    report = write_report(write(tmp_path, rows, curves=False), "adamw")
    table = pd.read_csv(tmp_path / "generalization.csv").set_index("arm")["reference"].fillna("").to_dict()
    assert table == {"Adam, no decay": "AdamW", "AdamW": "", "SGD, no decay": "", "SGDW": "SGD, no decay"}
    assert "AdamW" in report.terminal


def test_what_each_arm_is_compared_with_is_said_where_they_differ() -> None:
    rows = plain(("adam", 0.0, 5), ("adamw", 0.1, 4), ("sgd", 0.1, 5), ("sgdw", 0.1, 4))
    text = terminal_table(reported(rows))
    assert "differences: AdamW to Adam, no decay; SGDW to SGD + L2" in text
    assert "difference to" not in text


def test_one_decay_or_one_rate_is_no_edge_even_beside_no_decay() -> None:
    rows = plain(("adam", 0.0, 5), ("adam", 0.1, 4), ("adamw", 0.1, 3))
    for one in reported(rows):
        for result in one.arms:
            assert (result.edge, result.not_searched) == ("", "lr wd" if result.wd else "lr")
    assert "*" not in terminal_table(reported(rows))
    two = [*rows, *plain(("adamw", 0.2, 2))]
    assert {r.arm: r.edge for one in reported(two) for r in one.arms}["AdamW"] == "wd largest"


def useless(optimizer: str, lr: float, wd: float, seed: int) -> float:
    """A bowl in which every L2 is worse than none, and the smaller the less; AdamW has its best inside."""
    more = 0.5 * abs(WDS.index(wd) - 2) if optimizer == "adamw" else 10 * wd**0.5
    return 5.0 + abs(LRS.index(lr) - 2) + more


def with_useless(gain: float, l2: float = 0.4) -> Rows:
    """Fresh seeds in which AdamW differs from no decay by `gain`, and from the best L2 by less or more."""
    cells = [("adam", 1e-3, 0.0, 0.0), ("adam", 1e-3, 1e-5, l2), ("adamw", 1e-3, 0.1, gain)]
    return search(error=useless) + [
        trial(name, lr, wd, seed, phase="final", error=5 + noise(seed) + more + 0.1 * noise(name, wd, seed))
        for name, lr, wd, more in cells
        for seed in range(100, 105)
    ]


@pytest.mark.parametrize(("gain", "verdict"), [(-0.5, "lower"), (0.5, "higher")])
def test_where_no_l2_is_better_than_none_the_verdict_is_against_no_decay_and_says_so(gain: float, verdict: str) -> None:
    (block,) = split(frame(replicated(with_useless(gain))))
    found = results(block)
    arms = {arm.arm: arm for arm in found.arms}
    assert arms["Adam + L2"].edge == NONE_BETTER
    assert (arms["AdamW"].reference, arms["AdamW"].instead) == ("Adam, no decay", "Adam + L2")
    mine, other = (arms[name].by_unit("test_error") for name in ("AdamW", "Adam, no decay"))
    assert arms["AdamW"].difference is not None
    assert arms["AdamW"].difference.difference.mean == pytest.approx(
        sum(mine[unit] - other[unit] for unit in mine) / len(mine)
    )
    assert arms["AdamW"].verdict == verdict
    # L2 is compared with what it is worse than, which is no edge beyond which a better cell may lie.
    assert (arms["Adam + L2"].reference, arms["Adam + L2"].verdict) == ("Adam, no decay", "higher")
    assert arms["Adam, no decay"].difference is None
    text = markdown([found])
    assert "AdamW: compared with Adam, no decay in place of Adam + L2, of which no decay that was tried is" in text
    assert "validation data" in text
    assert "On the edge of its grid" not in text
    assert "in place of Adam + L2" in " ".join(terminal_table([found]).split())
    assert "than Adam, no decay (no Adam + L2 is better), over" in answer([found])
    assert any("No Adam + L2 that was tried is better than no decay." in line for line in verdicts(found))
    assert open_questions([found]) == ([], [])


def test_a_reference_that_was_asked_for_stays_and_an_l2_that_gives_something_too() -> None:
    (block,) = split(frame(replicated(with_useless(-0.5))))
    (adamw,) = [arm for arm in results(block, "l2").arms if arm.arm == "AdamW"]
    assert (adamw.reference, adamw.verdict, adamw.instead) == ("Adam + L2", EDGE, "")
    (block,) = split(frame(replicated(with_finals(-0.5, 0.1))))
    (adamw,) = [arm for arm in results(block).arms if arm.arm == "AdamW"]
    assert (adamw.reference, adamw.verdict, adamw.instead) == ("Adam + L2", "lower", "")
