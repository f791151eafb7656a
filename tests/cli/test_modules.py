"""Commands on somebody's own module: from the current folder, as a stack or one by one, refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from runner.config.settings import LANES
from runner.data.code_place import source_hash
from tests.damage import Said, command, process

NETS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width=8, drop=0.0, branch=False, fail=0):
        super().__init__()
        self.branch, self.fail = branch, fail
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(64, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(drop), nn.Linear(width, 10)
        )

    def forward(self, x):
        y = self.layers(x)
        if self.branch and y.sum().item() > 0:
            y = 2 * y
        return y

def narrow():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 7))

def number():
    return 5

def failing():
    raise ValueError("not today")

value = 3
"""
SMALL = ("model=module", "dataset.train=60", "dataset.test=1500", "study=s", "workers=1", "epochs=2")
ARMS = ("-m", "optimizer=adam,adamw", "lr=0.01", "wd=0.01", "seed=0,1", *SMALL)


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """With a module of its own name, for a process that tests imports it once."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "nets.py").write_text(NETS)
    return tmp_path


def done(said: Said) -> str:
    assert said.code == 0, said.text
    return said.text


def rows(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "results" / "s" / "trials.csv").sort_values("trial").reset_index(drop=True)


def plan(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "results" / "s" / "plan.csv")


def test_a_module_of_the_current_folder_is_compared_like_any_model(folder: Path) -> None:
    # In a process of its own, and from there in two workers: all find the current folder.
    two = [word for word in ARMS if word != "workers=1"]
    said = done(process(folder, *two, "workers=2", "stack=2", "model.make=own.nets:Net", "model.args={width: 6}"))
    assert "Net on digits, 2 epochs" in said
    assert "AdamW against Adam + L2" in " ".join(said.split())
    found = rows(folder)
    assert (found["status"] == "ok").all()
    assert set(found["params"]) == {64 * 6 + 6 + 2 * 6 + 6 * 10 + 10}
    settings = json.loads(found["settings"][0])
    assert settings["model.make"] == "own.nets:Net"
    assert settings["model.args"] == {"width": 6}
    assert len(settings["model.source"]) == 12
    assert "model.source" not in said
    trial = found["trial"][0]
    assert "matched to the bit" in done(process(folder, "results/s", trial, module="runner.rerun"))
    assert "already done" in done(command(folder, *ARMS, "model.make=own.nets:Net", "model.args={width: 6}"))


def test_a_file_that_was_changed_makes_other_trials_and_cannot_repeat_the_old(folder: Path) -> None:
    done(command(folder, *ARMS, "model.make=own.nets:Net"))
    before = rows(folder)
    with (folder / "own" / "nets.py").open("a") as file:
        file.write("# changed\n")
    done(command(folder, *ARMS, "model.make=own.nets:Net"))
    assert len(rows(folder)) == 2 * len(before)
    said = process(folder, "results/s", before["trial"][0], module="runner.rerun")
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert "its file is not the one of the row" in said.err


@pytest.mark.parametrize(
    ("args", "why"),
    [("{drop: 0.1}", "it draws random numbers"), ("{branch: true}", "it cannot be computed as a stack")],
)
def test_what_cannot_be_a_stack_is_trained_one_by_one_and_told_once(folder: Path, args: str, why: str) -> None:
    words = (*ARMS, "model.make=own.nets:Net", f"model.args={args}")
    assert "training FLOPs" in done(command(folder, *words, "dry_run=true"))
    said = done(command(folder, *words))
    assert said.count(f"own.nets:Net: its trials are computed one by one: {why}") == 1
    assert all(stack.endswith(f"-{LANES}") for stack in plan(folder)["stack"])
    first = rows(folder)
    refused = command(folder, *words, "compute=stack", "study=t")
    assert refused.code == 2
    assert f"compute=stack: not with model.make=own.nets:Net, for {why}" in refused.err
    assert not (folder / "results" / "t" / "trials.csv").exists()
    # Two commands for what one can ask for end in the same rows.
    other = folder / "other"
    other.mkdir()
    (other / "own").symlink_to(folder / "own")
    for seed in (0, 1):
        done(command(other, *(f"seed={seed}" if word == "seed=0,1" else word for word in words)))
    columns = ["trial", "train_loss", "val_loss", "test_loss", "test_error"]
    pd.testing.assert_frame_equal(first[columns], rows(other)[columns], check_exact=True)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("model.make=own.nets:narrow",), "gives [2, 7] for a batch of 2, and the dataset needs logits [2, 10]"),
        (("model.make=own.nets:number",), "gave int, which is no torch.nn.Module"),
        (("model.make=own.nets:value",), "is no function or class but int"),
        (("model.make=own.nets:nothing",), "has no attribute 'nothing'"),
        (("model.make=own.nothing:Net",), "No module named 'own.nothing'"),
        (("model.make=own.nets:failing",), "cannot be made (ValueError: not today)"),
        (("model.make=own.nets:Net", "model.args={depth: 3}"), "unexpected keyword argument 'depth'"),
        (("model.make=own.nets",), "must be package.module:name"),
        ((), "model.make=: must be package.module:name"),
        (("model.make=own.nets:Net", "dataset=modular"), "cannot take a batch"),
        (("model.make=own.nets:Net", "model.args=3"), "model.args"),
        (("model.make=own.nets:Net", "optimizer=lomo"), "optimizer=lomo: not with model=module"),
    ],
)
def test_what_is_no_module_for_the_data_is_refused_in_one_line(folder: Path, words: tuple[str, ...], line: str) -> None:
    said = command(folder, *SMALL[:1], "study=s", "workers=1", *words)
    assert said.code == 2, said.text
    assert said.err.count("\n") == 1
    assert line in said.err
    assert not (folder / "results").exists()


def test_no_file_of_the_current_folder_takes_the_place_of_an_installed_package(folder: Path) -> None:
    for name in ("torchvision", "pandas"):
        (folder / f"{name}.py").write_text("raise SystemExit('a stranger')\n")
    assert "a stranger" not in done(command(folder, *ARMS, "model.make=own.nets:Net"))


def test_the_hash_is_of_the_file_that_has_the_module_and_runs_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    (folder / "own" / "loud.py").write_text("raise SystemExit('was run')\n")
    loud = source_hash("own.loud:make")
    assert len(loud) == 12
    assert source_hash("own.nets:Net") not in ("", loud)
    assert source_hash("own.none:make") == source_hash("none:make") == ""


DATA = """
import numpy as np

def table(columns=6):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, columns))
    return x, np.array(["low", "high"])[(x.sum(1) > 0).astype(int)]

def pictures():
    rng = np.random.default_rng(0)
    return rng.normal(size=(120, 3, 8, 8)), np.arange(120) % 4
"""


def test_somebodys_network_on_somebodys_numbers_is_compared_over_replicates_and_each_row_can_be_repeated(
    folder: Path,
) -> None:
    (folder / "own" / "data.py").write_text(DATA)
    (folder / "own" / "small.py").write_text("from torch import nn\n\ndef net():\n    return nn.Linear(6, 2)\n")
    words = ("-m", "optimizer=adam,adamw", "lr=0.1", "wd=0.1", "epochs=3", "study=s", "workers=1", "replicates=4")
    words = (*words, "model=module", "model.make=own.small:net", "dataset=module", "dataset.make=own.data:table")
    said = done(command(folder, *words))
    assert "net on table, 3 epochs" in said
    assert "numbers; 216 examples for training; 24 for validation, held out; 60 for testing, held out" in said
    assert "over random splits of these examples" in " ".join(said.split())
    found = rows(folder)
    assert len(found) == 8
    assert found[["replicate", "split"]].drop_duplicates().to_numpy().tolist() == [
        [n, n] for n in found["replicate"].unique()
    ]
    assert (found["test_error"] < 30).all()
    last = found[found["replicate"] == 3].iloc[0]["trial"]
    assert "matched to the bit" in done(process(folder, "results/s", last, module="runner.rerun"))
    other = command(folder, *words, "dataset.args={columns: 7}", "study=t")
    assert other.code == 2
    assert "model.make=own.small:net: cannot take a batch [2, 7] of the dataset" in other.err


def test_our_networks_take_floats_as_images_and_nothing_else(folder: Path) -> None:
    (folder / "own" / "data.py").write_text(DATA)
    words = ("epochs=1", "study=s", "workers=1", "dataset=module")
    for model in ("model=resnet", "model=transformer"):
        said = command(folder, *words, model, "dataset.make=own.data:table")
        assert said.code == 2
        assert "its examples are numbers of shape [6]; use model=module" in said.err
    done(command(folder, *words, "model=resnet", "model.width=4", "dataset.make=own.data:pictures"))
    assert rows(folder)["status"].tolist() == ["ok"]


ODD = """
import random
import sys
import torch
from torch import nn

class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        return self.head(x.flatten(1))

class Scaled(Base):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones([]))

    def forward(self, x):
        return self.scale * super().forward(x)

class Python(Base):
    def forward(self, x):
        return (1 + random.random()) * super().forward(x)

class Lazy(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.LazyLinear(10)

    def forward(self, x):
        return self.head(x.flatten(1))

class Frozen(Base):
    def __init__(self):
        super().__init__()
        self.requires_grad_(False)

class Detached(Base):
    def forward(self, x):
        return super().forward(x).detach()

class Double(Base):
    def __init__(self):
        super().__init__()
        self.double()

def leave():
    sys.exit(0)
"""


def test_a_module_with_a_parameter_without_axes_trains(folder: Path) -> None:
    (folder / "own" / "odd.py").write_text(ODD)
    for compute in ("stack", "lanes"):
        done(command(folder, *ARMS, "model.make=own.odd:Scaled", f"compute={compute}", f"results={compute}"))
    frames = [pd.read_csv(folder / name / "s" / "trials.csv").sort_values("trial") for name in ("stack", "lanes")]
    assert (frames[0]["status"] == "ok").all()
    assert frames[0]["val_loss"].to_numpy() == pytest.approx(frames[1]["val_loss"].to_numpy(), rel=1e-4)


def test_random_numbers_of_python_are_those_of_the_trial_too(folder: Path) -> None:
    (folder / "own" / "odd.py").write_text(ODD)
    said = [done(command(folder, *ARMS, "model.make=own.odd:Python", f"results={name}")) for name in ("one", "two")]
    assert "it draws random numbers" in said[0]
    frames = [pd.read_csv(folder / name / "s" / "trials.csv").sort_values("trial") for name in ("one", "two")]
    assert frames[0]["val_loss"].tolist() == frames[1]["val_loss"].tolist()


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("Lazy", "head.weight has no shape before the first batch"),
        ("Frozen", "has no parameter to train"),
        ("Detached", "on which no parameter has a part"),
        ("Double", "head.weight is torch.float64 (torch.strided); parameters must be torch.float32"),
        ("leave", "cannot be made (SystemExit: 0)"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_training(folder: Path, name: str, line: str) -> None:
    (folder / "own" / "odd.py").write_text(ODD)
    said = command(folder, *SMALL, f"model.make=own.odd:{name}")
    assert said.code == 2, said.text
    assert said.err.count("\n") == 1
    assert line in said.err
