"""Tuning budgets are shown in all forms of the report, above the heat maps, and leave nothing outdated behind."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from runner.analysis.blocks import Block, split
from runner.analysis.results import results
from runner.analysis.tuning import tuning
from runner.records import read
from runner.report.plots import style
from runner.report.plots.tuning import tuning_curves
from runner.report.tuning import note, table
from runner.report.write import write_report
from tests.report.studies import LRS, search, trial, write


@pytest.fixture(autouse=True)
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style, "DPI", 40)


def block_of(folder: Path, rows: list[dict[str, object]]) -> Block:
    (block,) = split(read.read(write(folder, rows)))
    return block


def test_every_budget_is_in_the_csv_and_its_doublings_in_the_tables(tmp_path: Path) -> None:
    write(tmp_path, search())
    assert tmp_path / "tuning.csv" in write_report(tmp_path).files
    found = pd.read_csv(tmp_path / "tuning.csv").set_index(["arm", "k"])
    assert found.groupby("arm").size().to_dict() == {"Adam + L2": 25, "Adam, no decay": 5, "AdamW": 25}
    assert set(zip(found["cells"], found["seeds"], found["replicates"], strict=True)) == {(25, 2, 1), (5, 2, 1)}
    one = found.loc[("AdamW", 4)]
    assert one["low"] < one["error"] < one["high"]
    assert (one["measure"], one["selected_by"]) == ("test_error", "val_error")
    text = (tmp_path / "generalization.md").read_text()
    lines = dict(re.findall(r"^\| (1|2|4|8|16|all) \| (.*) \|$", text, re.M))
    assert list(lines) == ["1", "2", "4", "8", "16", "all"]
    cell = f"{one['error']:.2f} [{one['low']:.2f}, {one['high']:.2f}]"
    assert lines["4"].split(" | ")[2] == cell
    assert lines["8"].split(" | ")[0] == "–"  # there are five cells without decay
    last = found.loc[("Adam, no decay", 5), "error"]
    assert lines["all"].split(" | ")[0].startswith(f"{last:.2f} [")


def test_they_stand_above_the_heat_maps(tmp_path: Path) -> None:
    write(tmp_path, search())
    write_report(tmp_path)
    page, text = (tmp_path / "report.html").read_text(), (tmp_path / "generalization.md").read_text()
    for words in ("expected test error (%) of the best of k random cells", "Tuning budget: k of an arm"):
        assert text.index(words) < text.index("plots/tuning.png") < text.index("plots/heatmap.png")
        assert (
            page.index(words.replace("'", "&#39;")) < page.index("plots/tuning.png") < page.index("plots/heatmap.png")
        )
    assert '<a href="tuning.csv">' in page


def test_without_two_cells_there_is_none_and_an_outdated_file_goes(tmp_path: Path) -> None:
    (tmp_path / "tuning.csv").write_text("of before\n")
    write(tmp_path, [trial("adam", 1e-3, 1e-3, 0), trial("adamw", 1e-3, 0.1, 0)])
    report = write_report(tmp_path)
    assert not (tmp_path / "tuning.csv").exists()
    assert not [path for path in report.files if "tuning" in path.name]
    assert not [line for line in report.skipped if "tuning" in line]
    assert "best of k random cells" not in (tmp_path / "generalization.md").read_text()


def test_the_plot_has_a_line_and_a_band_of_each_arm_and_its_legend_beside_them(tmp_path: Path) -> None:
    block = block_of(tmp_path, search())
    figure = tuning_curves(block)
    assert figure is not None
    (axes,) = figure.axes
    assert [line.get_label() for line in axes.lines] == [f"{c.arm} ({len(c.cells)} cells)" for c in tuning(block)]
    for line, curve in zip(axes.lines, tuning(block), strict=True):
        assert np.asarray(line.get_ydata()) == pytest.approx(curve.mean)
    assert len(axes.collections) == 3
    assert axes.get_xscale() == "log"
    figure.draw_without_rendering()
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "4", "8", "16"]
    legend = axes.get_legend()
    assert legend is not None
    assert legend.get_window_extent().x0 > axes.get_window_extent().x1
    assert "Test error of the best of k random cells" in figure.get_suptitle()


def test_the_words_say_who_reports_and_what_the_band_covers(tmp_path: Path) -> None:
    one = block_of(tmp_path / "one", search(seeds=(0,)))
    several = block_of(tmp_path / "several", search())
    parts = [search(seeds=(r,), lrs=LRS[:2], replicate=r, settings={"replicate": r}) for r in (0, 1)]
    replicated = block_of(tmp_path / "replicated", [row for part in parts for row in part])
    said = {name: note(results(block)) for name, block in (("one", one), ("two", several), ("R", replicated))}
    assert "the chosen run reports itself" in said["one"][0]
    assert "covers other cells of the same window, no other split" in said["one"][0]
    assert "its other search seeds report" in said["two"][0]
    assert "other cells of the same window and other search seeds, no other split" in said["two"][0]
    assert "Student's t over replicates" in said["R"][0]
    captions = [figure.get_supxlabel() for block in (one, several, replicated) if (figure := tuning_curves(block))]
    assert [caption.replace("\n", " ").partition("band: 95 %, ")[2] for caption in captions] == [
        "for other cells",
        "for other cells and seeds of the same split",
        "over replicates",
    ]


def test_a_selection_on_test_is_marked_and_a_loss_has_its_unit(tmp_path: Path) -> None:
    on_test = [row | {"val_size": 0, "val_error": None, "val_loss": None} for row in search()]
    shown = table(results(block_of(tmp_path / "test", on_test)))
    assert shown is not None
    assert shown.caption.endswith("(selected on test)")
    text = search(dataset="text", settings={"dataset": "text"})
    shown = table(results(block_of(tmp_path / "text", text)))
    assert shown is not None
    assert "expected test loss (nats)" in shown.caption
    assert re.fullmatch(r"0\.\d{4} \[0\.\d{4}, 0\.\d{4}\]", shown.rows[2][3])


def test_a_curve_without_some_cells_or_replicates_says_so(tmp_path: Path) -> None:
    parts = [search(seeds=(r,), lrs=LRS[:2], replicate=r, settings={"replicate": r}) for r in range(6)]
    rows = [row for part in parts for row in part]
    assert not [line for line in note(results(block_of(tmp_path / "all", rows))) if "tuning curve is over" in line]
    for lacking, said in (
        ({5}, "AdamW's tuning curve is over 5 of 6 replicates"),
        ({2, 3, 4, 5}, "over 5 of 10 cells"),
    ):
        some = [
            row
            for row in rows
            if not (row["optimizer"] == "adamw" and row["lr"] == LRS[1] and row["replicate"] in lacking)
        ]
        (line,) = note(results(block_of(tmp_path / str(len(lacking)), some)))[1:]
        assert said in line
