"""Commands on somebody's own module: from the current folder, as a stack or one by one, refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from runner.config.settings import LANES
from runner.data.code_place import source_hash
from tests.cli.own_code import ARMS, SMALL, done, own, rows
from tests.damage import command, process


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return own(tmp_path)


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
