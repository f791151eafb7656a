"""Claims about the paper's circles over a map: placed at equal lambda_norm, judged only at the paper's own scale."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from runner.analysis import paper
from runner.analysis.blocks import Block, split
from runner.analysis.overlay import NOT_JUDGED, overlay_table, overlays
from runner.records import read
from runner.records.identity import id_of, text
from runner.report.plots import style
from runner.report.plots.heatmap import heatmap
from runner.report.plots.unit_map import unit_map
from runner.report.write import write_report
from tests.analysis.test_paper import WDS
from tests.report.studies import search, trial, write

FULL = {
    "settings": {"model": "shakeshake", "dataset": "cifar10", "epochs": 100},
    "batch_size": 128,
    "epochs": 100,
    "train_size": 45_000,
    "val_size": 5_000,
    "params": paper.PARAMS,
}


def figure_2(optimizers: Sequence[str] = ("adam", "adamw"), hits: int = 10, **changes: Any) -> list[dict[str, object]]:
    """The grid of Figure 2 where `hits` of the paper's circles are the best by validation, all of them by test."""
    rows = []
    for optimizer in optimizers:
        circles = paper.FIGURE_2[optimizer]
        convention = "paper" if optimizer.endswith("w") else "l2"
        for lr in circles.lrs:
            for wd in WDS:
                name, kind = (optimizer.rstrip("w"), "l2") if wd == 0 else (optimizer, convention)
                by_test = 4.0 if (lr, wd) in circles.cells else 6.0
                by_val = by_test if (lr, wd) in circles.cells[:hits] else 5.0 + 0.01 * (lr, wd).__hash__() % 1
                rows.append(
                    trial(name, lr, wd, 0, wd_convention=kind, error=by_val, test_error=by_test, **_copy(changes))
                )
    return list({str(row["trial"]): row for row in rows}.values())


def _copy(changes: dict[str, Any]) -> dict[str, Any]:
    return {name: dict(value) if isinstance(value, dict) else value for name, value in changes.items()}


def block(folder: Path, rows: Sequence[dict[str, object]]) -> Block:
    return split(read.read(write(folder, rows, curves=False)))[0]


def test_at_full_scale_the_circles_are_the_papers_cells_and_are_counted(tmp_path: Path) -> None:
    found = overlays(block(tmp_path, figure_2(("sgd", "adamw"), hits=7, **FULL)))
    assert list(found) == ["AdamW", "SGD + L2"]
    for name, optimizer in (("AdamW", "adamw"), ("SGD + L2", "sgd")):
        one = found[name]
        assert one.full
        assert one.paper_cells == paper.FIGURE_2[optimizer].cells
        assert one.inside == 10
        assert one.coincide_by_test == 10
    assert 7 <= (found["AdamW"].coincide or 0) < 10


def test_all_hits_are_at_distance_zero(tmp_path: Path) -> None:
    one = overlays(block(tmp_path, figure_2(("sgdw",), **FULL)))["SGDW"]
    assert (one.coincide, one.coincide_by_test) == (10, 10)
    assert math.hypot(*one.shift) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    "change",
    [
        {"batch_size": 64},
        {"train_size": 10_000},
        {"params": 20_000},
        {"epochs": 50},
        {"settings": {"model": "resnet", "dataset": "cifar10"}},
        {"settings": {"model": "shakeshake", "dataset": "cifar10", "model.shake": False}},
        {"settings": {"model": "shakeshake", "dataset": "cifar100"}},
    ],
)
def test_anything_smaller_is_not_judged(tmp_path: Path, change: dict[str, Any]) -> None:
    one = overlays(block(tmp_path, figure_2(("adamw",), **{**FULL, **change})))["AdamW"]
    assert one.coincide is None
    assert one.why_not_judged == NOT_JUDGED
    assert math.isfinite(math.hypot(*one.shift))


def test_a_scaled_run_moves_decoupled_circles_to_equal_lambda_norm_and_leaves_l2_alone(tmp_path: Path) -> None:
    # 400 images, 20 epochs, batch 64: 125 updates
    found = overlays(block(tmp_path, figure_2()))
    factor = math.sqrt(50_000 * 100 / 128 / 125)
    assert found["AdamW"].factor == pytest.approx(factor)
    assert found["AdamW"].paper_cells[0] == pytest.approx((0.1 / 16, 0.00025 * factor))
    assert found["Adam + L2"].paper_cells == paper.FIGURE_2["adam"].cells


def test_a_circle_stands_between_the_columns_that_it_lies_between(tmp_path: Path) -> None:
    one = overlays(block(tmp_path, figure_2(("adamw",), **FULL)))["AdamW"]
    assert one.place((0.1, 0.001 / 32)) == pytest.approx((1, 10))  # column 0 is no decay, rows from small to large
    assert one.place((0.1 / 1024, 0.001 * 2**0.5)) == pytest.approx((6.5, 0))
    assert one.place((0.1, 0.0)) == pytest.approx((0, 10))
    assert math.isnan(one.place((0.1, 0.016 * 2))[0])


def test_centroids_leave_no_decay_out_of_the_axis_of_decay(tmp_path: Path) -> None:
    one = overlays(block(tmp_path, figure_2(("adam",), **FULL)))["Adam + L2"]
    assert any(wd == 0 for _, wd in one.ours)
    assert one.shift == pytest.approx((0, 0), abs=1e-9)
    figure = heatmap(block(tmp_path, []), overlays(block(tmp_path, [])))
    assert figure is not None
    assert "cells without decay are left out" in " ".join(figure.get_supxlabel().split())


def test_other_grids_schedules_and_data_get_no_circles(tmp_path: Path) -> None:
    assert overlays(block(tmp_path / "a", search())) == {}  # other learning rates, torch's convention
    step = figure_2(("adam",), settings={"schedule": "step"})
    assert overlays(block(tmp_path / "b", step)) == {}
    tokens = figure_2(("adam",), settings={"dataset": "modular"})
    assert overlays(block(tmp_path / "c", tokens)) == {}
    few = [row for row in figure_2(("adam",)) if float(str(row["lr"])) > 0.04]
    assert overlays(block(tmp_path / "d", few)) == {}


def test_captions_say_what_each_mark_was_chosen_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style, "DPI", 40)
    mine = block(tmp_path, figure_2())
    figure = heatmap(mine, overlays(mine))
    assert figure is not None
    text = " ".join(figure.get_supxlabel().split())
    assert "chosen on test error; our circles on validation error" in text
    assert "at equal lambda_norm" in text
    assert "L2 coefficients are drawn as they are" in text
    assert NOT_JUDGED in text
    assert [entry.get_text() for entry in figure.legends[0].get_texts()] == [
        "ours, by validation error",
        "the paper's Figure 2, by test error",
    ]
    torch = unit_map(mine, "wd_torch", overlays(mine))
    assert torch is not None
    assert "diamonds" in torch.get_supxlabel()


def test_a_figure_2_study_is_drawn_in_both_units_and_has_overlay_csv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(style, "DPI", 40)
    report = write_report(write(tmp_path, figure_2(("adam", "adamw"), hits=4, **FULL), curves=False))
    names = {path.name for path in report.files}
    assert {"heatmap.png", "heatmap_torch_units.png", "overlay.csv", "report.html"} <= names
    table = pd.read_csv(tmp_path / "overlay.csv").set_index("arm")
    assert list(table["judged"]) == ["yes", "yes"]
    assert table.loc["AdamW", "coincide_by_test"] == 10
    assert len(str(table.loc["AdamW", "paper"]).split()) == 10
    (tmp_path / "trials.csv").unlink()
    write_report(write(tmp_path, search(seeds=(0,)), curves=False))
    assert not (tmp_path / "overlay.csv").exists()


def test_two_seeds_tell_how_much_of_a_top_ten_is_chance(tmp_path: Path) -> None:
    rows = figure_2(("sgd",))
    flat = [json.loads(str(row["settings"])) | {"seed": 1} for row in rows]
    other = [
        {**row, "trial": id_of(told), "settings": text(told), "seed": 1, "val_error": 12 - float(str(row["val_error"]))}
        for row, told in zip(rows, flat, strict=True)
    ]
    mine = block(tmp_path, [*rows, *other])
    assert overlays(mine)["SGD + L2"].seed_overlap == 0
    assert overlay_table([mine])["seed_overlap"].tolist() == [0]
