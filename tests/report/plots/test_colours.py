"""Heat maps show the basin: as many cells in each colour, the winners of the replicates, and nothing on the data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from runner.analysis.blocks import split
from runner.analysis.results import results
from runner.records import read
from runner.records.schema import DYNAMICS
from runner.report.plots.block import PLOTS
from runner.report.plots.colours import STEPS, Colours
from runner.report.plots.heatmap import heatmap
from runner.report.plots.plot import PlotData
from tests.analysis.test_select import frame
from tests.report.studies import in_replicate, search, write


@pytest.mark.parametrize("seed", range(5))
def test_each_colour_has_as_many_cells_and_a_third_at_most_share_the_last(seed: int) -> None:
    """A search of which few cells are good was one colour where the scale was linear."""
    scores = 1.2 + np.random.default_rng(seed).lognormal(1.0, 2.0, 200)
    colours = Colours.of([pd.DataFrame({"score": part}) for part in (scores[:90], scores[90:])])
    places = np.asarray(colours.norm(scores))
    assert (np.diff(places[np.argsort(scores)]) >= 0).all()  # better is never darker
    assert places.min() == 0
    inside = scores <= colours.knots[-1]
    assert inside.mean() >= 2 / 3 - 1 / len(scores)
    counts, _ = np.histogram(places[inside], STEPS, (0, 1))
    assert counts.max() - counts.min() <= 2
    assert (places[~inside] >= 1).all()


def test_twice_the_best_is_where_colours_end_where_most_cells_are_as_good() -> None:
    colours = Colours.of([pd.DataFrame({"score": [3.0, 3.5, 4.0, 5.0, 90.0]})])
    assert (colours.knots[0], colours.knots[-1]) == (3.0, 6.0)


@pytest.mark.parametrize("scores", [[2.0, 2.0], [np.nan, np.nan], [0.0], [np.inf, 1.0]])
def test_odd_scores_have_colours(scores: list[float]) -> None:
    colours = Colours.of([pd.DataFrame({"score": scores})])
    assert (np.diff(colours.knots) > 0).all()
    assert np.isfinite(np.asarray(colours.norm([s for s in scores if np.isfinite(s)]))).all()


def test_the_map_counts_in_how_many_replicates_each_cell_won() -> None:
    def truth(optimizer: str, lr: float, wd: float, seed: int) -> float:
        best = 3e-3 if seed == 2 and optimizer == "adamw" else 1e-3
        return 3.0 + abs(np.log10(lr / best)) + abs(np.log10(wd or 1e-9) + 1)

    rows = [in_replicate(row, k) for k in range(3) for row in search(seeds=(k,), error=truth)]
    (block,) = split(frame(rows))
    of = results(block)
    figure = heatmap(block, None, {arm: of.won(arm) for arm in block.arms})
    assert figure is not None
    axes = {one.get_title(): one for one in figure.axes}
    badges = {
        name: {tuple(np.round(text.get_position()).astype(int)): text.get_text() for text in one.texts
               if text.get_fontsize() == 7}
        for name, one in axes.items()
    }  # fmt: skip
    assert sorted(badges["AdamW"].values()) == ["1", "2"]
    assert list(badges["Adam + L2"].values()) == ["3"]
    (one, two) = (next(at for at, text in badges["AdamW"].items() if text == count) for count in "12")
    assert one[0] == two[0]
    assert one[1] == two[1] + 1  # the next larger learning rate
    assert "in how many of them it is the best" in " ".join(figure.get_supxlabel().split())
    alone = heatmap(split(frame(search(seeds=(0,))))[0])
    assert alone is not None
    assert "replicates" not in alone.get_supxlabel()


def dynamics(rows: pd.DataFrame) -> pd.DataFrame:
    lines = []
    for trial in rows.drop_duplicates("arm")["trial"]:
        for epoch in (1, 2, 3):
            line = dict.fromkeys(DYNAMICS, np.nan) | {"trial": trial, "epoch": epoch, "layer": "a"}
            line |= {"weight_norm": 1.0, "update_angle": 0.03 * epoch, "predicted_angle": 0.03, "max_weight": 0.5}
            line |= {"bound": 0.6, "tau_epochs": 5.0, "penalty_share": 0.3, "step": epoch}
            line |= {f"{name}_{i}": i / 100 for name in ("root", "decay") for i in range(1, 6)}
            lines += [line | {"kind": kind} for kind in ("normalised", "all")]
    return pd.DataFrame(lines)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PlotData:
    folder = write(tmp_path_factory.mktemp("plots"), search(("adam", "adamw", "sgd", "sgdw"), seeds=(0, 1)))
    (block,) = split(read.read(folder))
    return PlotData(results(block), read.read(folder, "curves"), dynamics(block.rows))


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.stem)
def test_no_legend_lies_on_a_plots_data(plot: object, data: PlotData) -> None:
    figure = next(one for one in PLOTS if one is plot).draw(data)
    if figure is None:
        assert getattr(plot, "stem", "").endswith("torch_units")  # the study is in that unit already
        return
    assert isinstance(figure, Figure)
    figure.canvas.draw()
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes if axes.get_legend())]
    for legend in legends:
        box = legend.get_window_extent()
        assert not any(box.overlaps(axes.get_window_extent().padded(-1)) for axes in figure.axes)
    named = any(label for axes in figure.axes for label in axes.get_legend_handles_labels()[1])
    assert legends or not named
