"""A plot is one module and one line of the registry: it is drawn, shown and removed like all others."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from runner.report.plots import block, style
from runner.report.plots.plot import Plot
from runner.report.write import write_report
from tests.report.studies import LRS, search, write


def bars(data: block.PlotData) -> Figure | None:
    """A plot as somebody might add it."""
    figure = style.figure(data.block, "Trials", 4, 3)
    figure.subplots().bar(data.block.arms, [len(data.block.rows)] * len(data.block.arms))
    return figure


def test_a_plot_that_is_added_to_the_registry_is_drawn_shown_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recipe in runner/report/plots/block.py: a `Plot` of a function, and its line in `PLOTS`."""
    monkeypatch.setattr(style, "DPI", 40)
    write(tmp_path, search(lrs=LRS[:1], seeds=(0,)))
    monkeypatch.setattr(block, "PLOTS", (*block.PLOTS, Plot("bars", "How many trials", bars, "no trials")))
    assert tmp_path / "plots" / "bars.png" in write_report(tmp_path).files
    assert "![How many trials](plots/bars.png)" in (tmp_path / "generalization.md").read_text()
    assert '<a href="plots/bars.png">' in (tmp_path / "report.html").read_text()

    none = Plot("bars", "How many trials", lambda _: None, "no trials")
    monkeypatch.setattr(block, "PLOTS", (*block.PLOTS[:-1], none))
    report = write_report(tmp_path)
    assert "bars.png left out: no trials" in report.skipped
    assert not (tmp_path / "plots" / "bars.png").exists()


def test_every_plot_has_a_name_of_its_own() -> None:
    assert len({plot.stem for plot in block.PLOTS}) == len(block.PLOTS)
