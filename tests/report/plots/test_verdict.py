"""The first plot shows each replicate and the interval that the verdict is of, and says what its dots are."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy import stats

from runner.analysis.blocks import split
from runner.analysis.protocol import Protocol
from runner.analysis.results import results
from runner.analysis.study_results import BlockResults
from runner.report.plots.verdict import verdict_plot
from tests.analysis.test_select import frame
from tests.report.studies import in_replicate, trial

ERRORS = {"adam": (5.0, 5.6, 5.2, 5.9, 4.8), "adamw": (4.1, 4.9, 4.0, 5.0, 4.3)}


def study(replicates: bool, protocol: Protocol | None = None) -> BlockResults:
    """One cell of each arm, so that nothing is selected."""
    rows = [
        in_replicate(trial(name, 1e-3, 0.1, 0, error=error), number)
        if replicates
        else trial(name, 1e-3, 0.1, number, error=error)
        for name, errors in ERRORS.items()
        for number, error in enumerate(errors)
    ]
    (block,) = split(frame(rows))
    return results(block, protocol=protocol or Protocol(5 if replicates else 1))


def drawn(of: BlockResults) -> tuple[Figure, Axes, Axes]:
    figure = verdict_plot(of)
    assert figure is not None
    above, below = figure.axes
    return figure, above, below


def lines(axes: Axes) -> list[list[float]]:
    return [list(map(float, np.asarray(line.get_xdata()))) for line in axes.lines]


@pytest.mark.parametrize("replicates", [True, False])
def test_dots_are_the_runs_and_lines_the_intervals_of_scipy(replicates: bool) -> None:
    _, above, below = drawn(study(replicates))
    for axes, values in (
        (above, list(ERRORS.values())),
        (below, [np.subtract(ERRORS["adamw"], ERRORS["adam"]).tolist()]),
    ):
        dots = [np.asarray(one.get_offsets())[:, 0].tolist() for one in axes.collections]
        assert [sorted(one) for one in dots] == [pytest.approx(sorted(one)) for one in values]
        for one in values:
            wanted = stats.ttest_1samp(one, 0.0).confidence_interval(0.95)
            assert any(line == pytest.approx([wanted.low, wanted.high]) for line in lines(axes))
            assert any(line == pytest.approx([np.mean(one)]) for line in lines(axes))


def test_numbers_and_verdicts_stand_beside_the_rows() -> None:
    _, above, below = drawn(study(True))
    halves = {name: stats.sem(errors) * stats.t.ppf(0.975, 4) for name, errors in ERRORS.items()}
    wanted = [f"{np.mean(errors):.2f} ± {halves[name]:.2f}" for name, errors in ERRORS.items()]
    assert [text.get_text() for text in above.texts] == wanted
    assert {text.get_fontweight() for text in above.texts} == {"normal"}  # which is smaller may be undecided
    (said,) = (text.get_text() for text in below.texts)
    assert said.startswith("-0.84 ± ")
    assert said.endswith("\nlower")
    assert [tick.get_text() for tick in above.get_yticklabels()] == ["Adam + L2", "AdamW"]
    assert below.get_xlabel() == "difference to Adam + L2 (points)"


def test_the_band_is_what_the_protocol_calls_equal() -> None:
    figure, _, below = drawn(study(True, Protocol(5, equal_within=10)))
    (band,) = (patch for patch in below.patches if isinstance(patch, Rectangle))
    assert (band.get_x(), band.get_width()) == pytest.approx((-0.53, 1.06))  # 10 % of 5.3
    assert "within 10 % of the reference, called equal" in " ".join(figure.get_supxlabel().split())


def test_seeds_of_one_cell_are_called_so_and_have_no_band() -> None:
    figure, _, below = drawn(study(False))
    said = " ".join(figure.get_supxlabel().split())
    assert "seeds of one cell in one split, so no verdict about optimizers" in said
    assert not below.patches
    assert below.texts[0].get_text().endswith("no verdict")


def test_with_looks_the_interval_is_the_confidence_sequence() -> None:
    judged = study(True, Protocol(0, looks=True))
    figure, _, below = drawn(judged)
    mine = judged.arms[-1].difference
    assert mine is not None
    wanted = stats.ttest_1samp(np.subtract(ERRORS["adamw"], ERRORS["adam"]), 0.0).confidence_interval(0.95)
    assert mine.difference.low < wanted.low
    assert any(line == pytest.approx([mine.difference.low, mine.difference.high]) for line in lines(below))
    assert "confidence sequence" in " ".join(figure.get_supxlabel().split())


def test_a_diverged_run_and_wide_intervals_leave_the_dots_apart() -> None:
    rows = [trial(name, 1e-3, 0.1, k, error=e) for name, e0 in (("adam", 3.0), ("adamw", 2.0)) for k, e in
            enumerate((e0, 90.0))]  # fmt: skip
    (block,) = split(frame(rows))
    _, above, _ = drawn(results(block))
    assert above.get_xscale() == "log"
    low, high = above.get_xlim()
    assert 0 < low < 2 < 90 < high < 200


def test_a_study_of_one_run_has_no_such_plot() -> None:
    (block,) = split(frame([trial("adamw", 1e-3, 0.1, 0)]))
    assert verdict_plot(results(block)) is None
