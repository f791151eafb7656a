"""The map in other units shows every cell of the heat map, those without decay too, and the drawn axes are readable."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from runner.analysis.blocks import split
from runner.records.schema import DYNAMICS
from runner.report.plots.dynamics import mechanism
from runner.report.plots.heatmap import best_cells, maps
from runner.report.plots.unit_map import unit_map
from tests.analysis.test_select import frame
from tests.report.studies import search, trial


def better_with(optimizer: str, lr: float, wd: float, seed: int) -> float:
    return 5.0 + abs(np.log10(lr) + 3) + abs(np.log10(wd or 1e-3) + 1)


def better_without(optimizer: str, lr: float, wd: float, seed: int) -> float:
    return better_with(optimizer, lr, wd, seed) - 6 * (wd == 0)


@pytest.mark.parametrize("error", [better_with, better_without])
def test_cells_without_decay_stand_apart_and_are_ringed_like_the_others(error: Callable[..., float]) -> None:
    """They were left out, and the red ring was on the best of the rest."""
    (block,) = split(frame(search(error=error)))
    figure = unit_map(block, "wd_paper")
    assert figure is not None
    axes = figure.axes[0]
    squares, _, rings, red = (np.asarray(one.get_offsets()) for one in axes.collections)
    (map_,) = (one for one in maps(block) if one.convention == "torch")
    assert len(squares) == len(map_.cells)
    assert len(rings) == len(best_cells(map_))
    apart, positive = squares[:, 0].min(), map_.cells["wd_paper"]
    assert (squares[:, 0] == apart).sum() == (map_.cells["wd"] == 0).sum() == 5
    assert apart < positive[positive > 0].min() / 2
    assert axes.get_xlim()[0] < apart
    assert (red[0, 0] == apart) == (error is better_without)
    figure.canvas.draw()
    ticks = [text.get_text() for text in axes.get_xticklabels()]
    assert ticks.count("0") == 1
    assert ticks[0] == "0"
    assert "left of the line: no decay" in " ".join(figure.get_supxlabel().split())
    assert len(axes.lines) == 1


def test_a_map_without_such_cells_has_no_line_and_no_zero() -> None:
    rows = [row for row in search(("adamw",)) if row["wd"]]
    (block,) = split(frame(rows))
    figure = unit_map(block, "wd_paper")
    assert figure is not None
    figure.canvas.draw()
    assert not figure.axes[0].lines
    assert "0" not in [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert "no decay" not in figure.get_supxlabel()


def test_what_decay_did_has_plain_ticks_and_a_legend_beside_its_lines() -> None:
    """Ticks read 6 x 10^-2 there, and a legend lay on a line."""
    rows = [trial("adam", 1e-3, 0.1, 0), trial("adamw", 1e-3, 0.1, 0)]
    (block,) = split(frame(rows))
    found = []
    for row in rows:
        for epoch in range(1, 21):
            line = dict.fromkeys(DYNAMICS, np.nan) | {"trial": row["trial"], "epoch": epoch, "step": epoch}
            angle = 0.06 if row["optimizer"] == "adam" else 0.03 / (1 + epoch % 3)
            numbers = {"weight_norm": 1.0, "update_angle": angle, "predicted_angle": 0.03, "max_weight": 0.5}
            shares = {f"{name}_{i}": i / 100 for name in ("root", "decay") for i in range(1, 6)}
            found += [line | numbers | shares | {"layer": "a", "kind": kind} for kind in ("normalised", "all")]
    figure = mechanism(block, pd.DataFrame(found))
    assert figure is not None
    figure.canvas.draw()
    rotation = figure.axes[1]
    assert rotation.get_yscale() == "log"
    assert not any("10^" in text.get_text() for axes in figure.axes for text in axes.get_yticklabels())
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["Adam + L2", "AdamW"]
    box = legend.get_window_extent()
    for line in rotation.lines:
        points = rotation.transData.transform(np.asarray(line.get_xydata()))
        assert not any(box.contains(x, y) for x, y in points)
