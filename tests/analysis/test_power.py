"""Claims about how many replicates a difference would need: counted by the test that will judge it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runner.analysis.power import needed_replicates
from runner.analysis.primary import results_of
from runner.analysis.sequential import confidence_sequence
from runner.analysis.statistics import needed, t_critical
from runner.config.settings import RunSettings
from runner.records.read import read
from tests.analysis.test_results import with_finals
from tests.report.studies import replicated, write


def counts(folder: Path, run: RunSettings) -> tuple[list[int], str]:
    """Replicates for 5, 10 and 20 %, and the line that has them."""
    (line,) = needed_replicates(results_of(folder, read(folder), "", run))
    return [int(count) for count in re.findall(r"(\d+) for (?:5|10|20) %", line)], line


@pytest.mark.parametrize("alpha", [0.05, 0.001])
def test_a_command_plans_by_its_own_test_and_level_and_not_by_that_of_the_rows_there_are(
    alpha: float, tmp_path: Path
) -> None:
    folder = write(tmp_path, with_finals(-0.5, 1.0), curves=False)
    (folder / "study.yaml").write_text("settings: [{replicates: 1}]\n")
    (block,) = results_of(folder, read(folder))
    (adamw,) = [arm for arm in block.arms if arm.arm == "AdamW"]
    (l2,) = [arm for arm in block.arms if arm.arm == "Adam + L2"]
    assert adamw.difference is not None
    spread, error = adamw.difference.difference.std, l2.values["test_error"].mean
    sequential = [
        needed(spread, p / 100 * error, lambda n: confidence_sequence(1.0, n, 1.0, alpha) * n**0.5) for p in (5, 10, 20)
    ]
    by_t = [needed(spread, p / 100 * error, lambda n: t_critical(n, alpha)) for p in (5, 10, 20)]
    assert counts(folder, RunSettings(replicates=0, alpha=alpha))[0] == [max(4, n or 0) for n in sequential]
    assert counts(folder, RunSettings(replicates=8, alpha=alpha))[0] == [max(4, n or 0) for n in by_t]


def test_seeds_of_one_replicate_are_a_guess_and_no_bound(tmp_path: Path) -> None:
    one, several = tmp_path / "one", tmp_path / "several"
    write(one, with_finals(-0.5, 1.0), curves=False)
    write(several, replicated(with_finals(-0.5, 1.0)), curves=False)
    assert "(a guess from the spread over 5 seeds of one replicate)" in counts(one, RunSettings())[1]
    assert "(the spread over 5 replicates)" in counts(several, RunSettings())[1]
    assert "at least" not in counts(one, RunSettings())[1]


def test_a_number_that_is_raised_is_planned_by_the_test_that_will_judge_it(tmp_path: Path) -> None:
    """It was planned by the t test, and the replicates that were then added were judged by e-values."""
    folder = write(tmp_path, replicated(with_finals(-0.5, 1.0)), curves=False)
    same, auto = (counts(folder, RunSettings(replicates=n))[0] for n in (5, 0))
    assert counts(folder, RunSettings(replicates=8))[0] == auto != same


def test_alpha_is_that_of_the_comparisons_that_there_will_be(tmp_path: Path) -> None:
    folder, run = write(tmp_path, replicated(with_finals(-0.5, 1.0)), curves=False), RunSettings(replicates=5)
    one, three = (needed_replicates(results_of(folder, read(folder), "", run, comparisons)) for comparisons in (0, 3))
    assert one != three
