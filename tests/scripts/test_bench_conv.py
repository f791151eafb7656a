"""The ways that the convolution benchmark times compute the same convolution, and what it writes can be read."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from scripts.bench import conv
from scripts.bench.conv_ways import NETS, Convolution, Grouped, Lanes, Windows

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"

SHAPE = Convolution(3, 4, 3, 7, 2)
TRIALS, BATCH = 3, 2


def grouped() -> Grouped:
    return Grouped(SHAPE, TRIALS, BATCH, torch.float32, torch.channels_last)


def test_lanes_are_the_groups() -> None:
    whole, lanes = grouped(), Lanes(SHAPE, TRIALS, BATCH, torch.float32, torch.channels_last)
    for i, part in enumerate(lanes.parts):
        part.image, part.weight = whole.image.chunk(TRIALS, 1)[i], whole.weight.chunk(TRIALS)[i]
        part.gradient = whole.gradient.chunk(TRIALS, 1)[i]
    torch.testing.assert_close(torch.cat(lanes.fwd(), 1), whole.fwd())
    torch.testing.assert_close(torch.cat([dx for dx, *_ in lanes.dx()], 1), whole.dx()[0])
    torch.testing.assert_close(torch.cat([dw for _, dw, _ in lanes.dw()]), whole.dw()[1])


def test_windows_are_the_forward_pass() -> None:
    whole, windows = grouped(), Windows(SHAPE, TRIALS, BATCH, torch.float32, torch.channels_last)
    windows.image = whole.image.unflatten(1, (TRIALS, SHAPE.inputs)).permute(0, 3, 4, 1, 2)
    taps = whole.weight.unflatten(0, (TRIALS, SHAPE.outputs)).permute(0, 3, 4, 2, 1)
    windows.weight = taps.reshape(TRIALS, -1, SHAPE.outputs)
    found = windows.fwd().unflatten(1, (BATCH, SHAPE.size, SHAPE.size)).permute(1, 0, 4, 2, 3).flatten(1, 2)
    torch.testing.assert_close(found, whole.fwd(), rtol=1e-5, atol=1e-5)


def test_the_floating_point_operations_are_those_of_the_loops() -> None:
    assert SHAPE.flops(BATCH) == 2 * BATCH * (4 * 4 * SHAPE.outputs) * (3 * 3 * SHAPE.inputs)


def test_no_shape_is_measured_twice() -> None:
    shapes = [shape for net in NETS.values() for shape in net]
    assert len(shapes) == len(set(shapes))


def test_a_row_for_each_pass_of_each_way(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    words = ["resnet20", "--batch", "1", "--trials", "1,2", "--csv", str(path)]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, SCRIPTS / "bench", "conv", *words], capture_output=True, text=True, env=env)
    assert run.returncode == 0, run.stderr
    with path.open(newline="") as file:
        found = list(csv.DictReader(file))
    ways = {way: [row["what"] for row in found if row["way"] == way] for way in dict.fromkeys(r["way"] for r in found)}
    shapes, passes = len(NETS["resnet20"]), ["fwd", "dx", "dw"]
    assert ways.pop("bmm") == ["fwd"] * shapes
    assert list(ways) == ["dense", "grouped", "grouped+b", "lanes", "first"]
    assert all(whats == passes * shapes for whats in ways.values())
    assert all(float(row["us_per_trial"]) > 0 for row in found)


@pytest.mark.parametrize(("word", "said"), [("32d", "unknown net 32d"), ("--ways=rows", "unknown way rows")])
def test_an_unknown_name_is_refused(
    word: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench conv", word])
    with pytest.raises(SystemExit, match="2"):
        conv.main()
    assert said in capsys.readouterr().err
