"""A plot's file is named by what it shows, by a name that every file system has and no other block's plot has."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from runner.analysis.blocks import Block, split
from runner.report.plots import style
from runner.report.plots.names import LONGEST, endings
from runner.report.write import write_report
from tests.analysis.test_select import frame
from tests.report.studies import LRS, search, write

(BLOCK,) = split(frame(search(lrs=LRS[:1], seeds=(0,))))


def blocks(labels: Sequence[str]) -> list[Block]:
    return [replace(BLOCK, id=f"{number:06x}", label=label) for number, label in enumerate(labels)]


def named(*labels: str) -> list[str]:
    return list(endings(blocks(labels)).values())


def test_a_name_says_what_the_block_is() -> None:
    assert named("model.width=8", "model.width=16") == ["_width8", "_width16"]
    assert named("schedule=cosine", "schedule=step") == ["_schedule-cosine", "_schedule-step"]
    assert named("schedule=cosine | model.width=8", "schedule=step | model.width=8")[0] == "_schedule-cosine_width8"
    assert named("dataset.fraction=0.3", "dataset.fraction=1e-05") == ["_fraction0.3", "_fraction1e-05"]
    assert named("") == [""]


@pytest.mark.parametrize(
    "labels",
    [
        ("dataset=a b", "dataset=a/b", "dataset=c"),
        ("dataset=Digits", "dataset=digits"),
        ("dataset=漢字", "dataset=\U0001f600"),
        (f"dataset={'x' * 300}1", f"dataset={'x' * 300}2"),
        ("dataset=../../etc", "dataset=C:\\nul?*"),
        ("dataset=a b", "dataset=a-b", "dataset=a-b-000000"),  # the last is what the first is called with its id
        ("", "dataset=a"),
    ],
    ids=range(7),
)
def test_whatever_a_label_holds_names_are_safe_and_differ_also_where_case_does_not_count(labels: Sequence[str]) -> None:
    found = named(*labels)
    assert len({name.lower() for name in found}) == len(labels)
    assert all(re.fullmatch(r"_?[A-Za-z0-9.+_-]*", name) and len(name) <= LONGEST + 8 for name in found)


def test_plots_of_names_that_are_gone_are_removed_and_what_others_put_there_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(style, "DPI", 40)
    plots = tmp_path / "plots"
    for width in (8, 16):
        write(tmp_path, search(lrs=LRS[:2], seeds=(0,), settings={"model.width": width}))
    write_report(tmp_path)
    old = plots / "heatmap_width8.png"
    assert old.exists()
    assert (plots / "heatmap_paper_units_width16.png").exists()
    for name in ("heatmap-0a1b2c.png", "heatmap_paper_units-0a1b2c.png"):  # as an earlier version named them
        (plots / name).write_bytes(old.read_bytes())
    own = (plots / "heatmap_draft.png", plots / "scatter_width8-mine.png", plots / "mine-0a1b2c.png")
    for path in own:
        path.write_bytes(b"\x89PNG of somebody else")
    write(tmp_path, search(lrs=LRS[:2], seeds=(0,), settings={"model.width": 16, "model.depth": 14}))
    drawn = {path.name for path in write_report(tmp_path).files if path.suffix == ".png"}
    assert "heatmap_depth14_width16.png" in drawn
    assert {path.name for path in plots.iterdir()} == drawn | {path.name for path in own}
