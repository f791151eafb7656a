"""Claims about the level of a study's differences: one for tables, claims and plans, and told wherever one is shown."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy import stats

from runner.analysis.blocks import split
from runner.analysis.protocol import Protocol, of_commands, protocol_of
from runner.analysis.results import results
from runner.analysis.statistics import detectable, estimate
from runner.analysis.study_results import BlockResults
from runner.analysis.verdict import decision
from runner.config.settings import RunSettings
from runner.report.answer import answer
from runner.report.estimates import percent
from runner.report.generalization import generalization, markdown
from runner.report.page.words import verdicts
from runner.report.terminal import terminal_table
from tests.analysis.test_results import with_finals
from tests.analysis.test_select import frame
from tests.report.studies import replicated

VALUES = [-0.31, 0.12, -0.44, -0.05, -0.27, -0.6, -0.33]


def judged_by(protocol: Protocol, gain: float = -0.5, spread: float = 0.1) -> BlockResults:
    (block,) = split(frame(replicated(with_finals(gain, spread))))
    return results(block, "", protocol)


@pytest.mark.parametrize(("alpha", "comparisons"), [(0.05, 1), (0.05, 3), (0.01, 1), (0.001, 2), (0.2, 1)])
def test_a_fixed_number_is_judged_by_the_t_interval_at_alpha_over_the_comparisons(
    alpha: float, comparisons: int
) -> None:
    protocol = Protocol(7, alpha=alpha, comparisons=comparisons)
    found = protocol.judged(estimate(VALUES))
    expected = stats.ttest_1samp(VALUES, 0.0).confidence_interval(1 - alpha / comparisons)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9)
    assert found.level == protocol.level == 1 - alpha / comparisons


def test_a_fixed_number_calls_one_arm_better_in_alpha_of_studies_at_most_over_all_comparisons() -> None:
    rng, studies, alpha = np.random.default_rng(0), 2000, 0.1
    protocol = Protocol(6, alpha=alpha, comparisons=3, equal_within=1e-9)
    values = rng.standard_normal((studies, 3, 6))
    wrong = sum(
        any(decision(protocol.judged(estimate(one)), 1.0, protocol) != "undecided" for one in study) for study in values
    )
    assert wrong / studies <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / studies)
    assert wrong / studies >= alpha / 2  # The simulation would see a level that is too strict as well.


def test_what_is_significant_at_5_percent_only_is_undecided_at_a_tenth_of_a_percent() -> None:
    for alpha, word in ((0.05, "lower"), (0.001, "undecided")):
        (adamw,) = [
            arm for arm in judged_by(Protocol(5, alpha=alpha, equal_within=0.1), -0.07).arms if arm.arm == "AdamW"
        ]
        assert adamw.verdict == word


@pytest.mark.parametrize(
    ("protocol", "level"),
    [
        (Protocol(5), "95 %"),
        (Protocol(5, alpha=0.001), "99.9 %"),
        (Protocol(5, comparisons=3), "98.33 %"),
        (Protocol(0, looks=True, comparisons=2), "97.5 %"),
    ],
)
def test_every_text_names_the_level_that_was_used(protocol: Protocol, level: str) -> None:
    found = judged_by(protocol)
    (sentence,) = [line for line in verdicts(found) if "AdamW" in line]
    assert f"({level.replace(' ', chr(160))} interval" in sentence
    assert f"difference to L2 [{level}]" in markdown([found])
    row = generalization([found]).set_index("arm").loc["AdamW"]
    assert percent(row["difference_level"] / 100) == level
    assert (f"{level} interval" in terminal_table([found])) == (level != "95 %")
    assert (f"{level} interval" in answer([found])) == (level != "95 %")
    if not protocol.looks:
        (adamw,) = [arm for arm in found.arms if arm.arm == "AdamW"]
        assert adamw.difference is not None
        assert f"two-sided {100 * (1 - protocol.level):.4g} % level" in markdown([found])
        spread = adamw.difference.difference.std
        assert adamw.detectable == pytest.approx(detectable(spread, 5, alpha=1 - protocol.level))


def test_over_the_seeds_of_one_replicate_the_interval_is_that_of_95_percent_whatever_the_study_asked_for() -> None:
    (block,) = split(frame(with_finals(-0.5, 0.1)))
    found = results(block, "", Protocol(0, looks=True, comparisons=3))
    assert any("(95\u00a0% interval" in line for line in verdicts(found))
    assert "[98" not in markdown([found])


def test_the_detectable_difference_is_that_of_its_level() -> None:
    delta = detectable(0.3, 6, alpha=0.01)
    assert stats.nct.sf(stats.t.ppf(0.995, 5), 5, delta / 0.3 * math.sqrt(6)) == pytest.approx(0.8, abs=1e-5)


@pytest.mark.parametrize(
    ("level", "text"), [(0.95, "95 %"), (1 - 0.05 / 3, "98.33 %"), (0.975, "97.5 %"), (1 - 1e-6, "99.9999 %")]
)
def test_a_level_is_never_rounded_to_100_percent(level: float, text: str) -> None:
    assert percent(level) == text


def test_a_confidence_sequence_without_ends_is_no_dash() -> None:
    """With g = 1 four replicates exclude nothing, so the sequence has no ends there."""
    found = judged_by(Protocol(0, looks=True, alpha=1e-9))
    assert any("interval without ends as yet)" in line for line in verdicts(found))
    for text in (answer([found]), terminal_table([found]), *verdicts(found)):
        assert "± –" not in text
        assert "– to –" not in text


def command(**more: Any) -> dict[str, Any]:
    """A configuration as study.yaml has it."""
    own: dict[str, Any] = {"dataset": {"name": "digits"}, "wd_convention": "paper"}
    own |= {"optimizer": {"name": "adamw"}, "lr": [0.1, 0.2], "wd": [0.0, 0.1], "seed": [0, 1], "final_seeds": 3}
    return own | {"replicates": 8, "alpha": 0.05, "prior_g": 1.0, "equal_within": 5.0, "primary": ""} | more


def test_what_the_first_command_laid_down_holds_and_later_changes_are_told() -> None:
    """Also where the first asks for one replicate: its rows could be seen when the second was given."""
    for replicates in (1, 8):
        first = command(replicates=replicates, primary="best-cell", alpha=0.01)
        later = command(alpha=0.2, prior_g=4.0, equal_within=50.0, primary="cosine-best")
        found = of_commands([[first], [later], [later]])
        assert (found.alpha, found.g, found.equal_within, found.primary) == (0.01, 1.0, 5.0, "best-cell")
        assert found.afterwards == ("prior_g=4.0", "alpha=0.2", "equal_within=50.0", "primary=cosine-best")
        said = "without effect: prior_g=4.0, alpha=0.2, equal_within=50.0, primary=cosine-best."
        assert said in markdown([judged_by(found)])
        (block,) = split(frame(with_finals(-0.5, 0.1)))
        assert said in markdown([results(block, "", found)])
    assert of_commands([[command()], [command(primary="best-cell")]]).primary == ""
    assert of_commands([[command(primary="best-cell")], [command()]]).afterwards == ()
    old = {key: value for key, value in command().items() if key not in ("primary", "alpha")}
    assert of_commands([[old], [command(primary="best-cell", alpha=0.01)]]).primary == "best-cell"


@pytest.mark.parametrize(
    ("more", "raised"),
    [
        ({"final_seeds": 9}, ("final_seeds",)),
        ({"refine": 1}, ("refine",)),
        ({"lr": [0.1, 0.2, 0.4]}, ("cells",)),
        ({"seed": [0, 1, 2]}, ("search seeds",)),
        ({"seed": [0, 1, 2], "wd": [0.3]}, ("cells", "search seeds")),
        ({"final_seeds": 1, "lr": [0.1]}, ()),
        # An arm that two others of its optimizer wait for may be what AdamW is compared with from now on.
        ({"optimizer": {"name": "adam"}, "wd": [0.1], "lr": [0.7], "final_seeds": 9}, ("arms to compare",)),
        ({"optimizer": {"name": "sgdw"}, "wd": [0.1]}, ()),
        # Other numbers of an optimizer, and rules for the decay, are cells of the same arm.
        ({"optimizer": {"name": "adamw", "beta2": 0.9}}, ("cells",)),
        ({"wd": [0.0], "wd_rule": "batch"}, ("cells",)),
        # The arm without decay is that of both twins.
        ({"optimizer": {"name": "adam"}, "lr": [0.7], "wd": [0.0]}, ("cells",)),
        ({"wd_convention": "normalized", "wd": [0.0, 0.5], "lr": [0.7]}, ("arms to compare", "cells")),
        ({"wd_convention": "normalized", "wd": [0.0, 0.5]}, ("arms to compare",)),
        ({"dataset": {"name": "digits", "cache": "elsewhere"}, "seed": [2]}, ("search seeds",)),
        ({"dataset": {"name": "modular"}, "seed": [2]}, ()),
        ({"epochs": 90, "final_seeds": 9}, ()),
        ({}, ()),
    ],
)
def test_more_runs_of_an_arm_that_could_be_seen_are_a_look(more: dict[str, Any], raised: tuple[str, ...]) -> None:
    found = of_commands([[command()], [command(**more)]])
    assert (found.raised, found.looks) == (raised, bool(raised))
    text = markdown([judged_by(found)])
    assert ("More of this was asked for while results could be seen" in text) == bool(raised)
    # One replicate decides nothing, so that nothing could be seen in it.
    assert not of_commands([[command(replicates=1)], [command(**more)]]).looks


def test_the_second_arm_of_an_optimizer_is_no_look_for_nothing_was_compared_before() -> None:
    alone = command(wd=[0.1])
    assert not of_commands([[alone], [command(optimizer={"name": "adam"}, wd=[0.1])]]).looks


def test_one_command_may_have_many_configurations_and_be_given_again() -> None:
    sweep = [command(lr=[lr]) for lr in (0.1, 0.2, 0.4)]
    assert not of_commands([sweep, sweep, [sweep[1]]]).looks
    assert of_commands([[command(lr=None)], [command(seed="x")], []]).raised == ()


def test_a_command_that_is_not_noted_yet_counts_as_the_last(tmp_path: Path) -> None:
    run = RunSettings(replicates=0, prior_g=4.0, alpha=0.01)
    assert protocol_of(tmp_path, 2, run).level == 1 - 0.01 / 2
    (tmp_path / "study.yaml").write_text("---\n" + yaml.safe_dump({"settings": [command(replicates=1)]}))
    found = protocol_of(tmp_path, 1, run)
    assert (found.looks, found.replicates, found.alpha) == (True, 0, 0.05)
