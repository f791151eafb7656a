"""Claims about the paper's numbers: they lie on the paper's grid and say what the paper says in words."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from runner.analysis import paper

WDS = (0.0, *(0.001 / 2**k for k in range(5, -5, -1)))  # the axis of Figure 2


@pytest.mark.parametrize("optimizer", list(paper.FIGURE_2))
def test_each_map_has_ten_different_circles_on_its_grid(optimizer: str) -> None:
    circles = paper.FIGURE_2[optimizer]
    assert len(set(circles.cells)) == len(circles.cells) == 10
    assert len(WDS) == len(circles.lrs) == 11
    assert {lr for lr, _ in circles.cells} <= set(circles.lrs)
    assert {wd for _, wd in circles.cells} <= set(WDS)


def test_l2_circles_fall_and_decoupled_circles_stand_in_columns() -> None:
    """The line is SciPy's through the mean circle of each learning rate."""
    for circles in paper.FIGURE_2.values():
        by_rate: dict[float, list[float]] = {}
        for lr, wd in circles.cells:
            if wd > 0:
                by_rate.setdefault(math.log2(lr), []).append(math.log2(wd))
        line = stats.linregress(list(by_rate), [np.mean(decays) for decays in by_rate.values()])
        assert circles.slope == pytest.approx(line.slope, abs=1e-12)
    slopes = {name: circles.slope for name, circles in paper.FIGURE_2.items()}
    assert slopes == pytest.approx({"sgd": -0.914, "sgdw": -0.101, "adam": -1.65, "adamw": 0}, abs=0.001)


def test_only_adam_with_l2_has_a_circle_without_decay() -> None:
    assert {name for name, map_ in paper.FIGURE_2.items() if any(wd == 0 for _, wd in map_.cells)} == {"adam"}


def test_the_good_raw_decays_are_the_lambda_norm_that_the_paper_names() -> None:
    root = math.sqrt(paper.UPDATES)
    assert 0.001 / 8 * root == pytest.approx(0.025, rel=0.02)
    assert 0.001 / 4 * root == pytest.approx(0.05, rel=0.02)
    assert paper.rescale(paper.UPDATES) == 1
    assert paper.rescale(paper.UPDATES / 16) == 4


def test_adamw_is_below_adam_in_every_figure_and_more_so_with_better_schedules() -> None:
    gaps = [paper.FIGURE_1["adam", name] - paper.FIGURE_1["adamw", name] for name in ("constant", "step", "cosine")]
    assert gaps == sorted(gaps)
    assert gaps[0] > 0
    assert paper.FIGURE_4_CIFAR10["AdamW"][1800] < paper.FIGURE_4_CIFAR10["Adam"][1800]
