"""A row can be repeated from its own settings, and a row that was tampered with is found out."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from runner import rerun
from runner.execution import provenance
from runner.records import identity
from runner.records.read import read
from tests.damage import QUICK, check_went_on, command

ELSEWHERE = "cpu: AMD EPYC 9B14, avx512"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Adam + L2 and AdamW, trained here, on this processor."""
    folder = tmp_path_factory.mktemp("study")
    check_went_on(command(folder, "-m", "optimizer=adam,adamw", "wd=0.1", "seed=0,1", *QUICK))
    return folder / "results" / "s"


def changed(study: Path, folder: Path, **cells: str) -> Path:
    """A copy of the study's first row with other `cells`; its trial's id stays."""
    row = pd.read_csv(study / "trials.csv", dtype=str, keep_default_na=False).iloc[:1].assign(**cells)
    row.to_csv(folder / "trials.csv", index=False)
    return folder


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_a_row_of_this_machine_comes_out_again_to_the_bit(
    optimizer: str, study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = read(study)
    row = rows[rows["optimizer"] == optimizer].iloc[-1]
    assert row["stack"] > 1  # and alone it is the same
    assert rerun.main([str(study), row["trial"]]) == 0
    said = capsys.readouterr().out
    assert said.endswith("matched to the bit\n")
    assert "differs" not in said


def test_a_row_of_before_calibration_was_measured_is_compared_in_the_rest(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older = changed(study, tmp_path, test_ece="", test_brier="")
    assert rerun.main([str(older), read(study).iloc[0]["trial"]]) == 0
    said = capsys.readouterr().out
    assert said.endswith("matched to the bit\n")
    assert "test_brier" not in said


def test_a_row_that_says_something_else_is_found_out(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = read(study).iloc[0]
    other = changed(study, tmp_path, test_loss=str(first["test_loss"] * 2))
    assert rerun.main([str(other), first["trial"]]) == 1
    said = capsys.readouterr().out
    assert said.count("differs") == 1
    assert said.endswith("1 of 12 columns do not match to the bit\n")


@pytest.mark.parametrize(
    ("recorded", "named"),
    [
        ({"device": ELSEWHERE}, ELSEWHERE),
        ({"device": "NVIDIA H100"}, "NVIDIA H100"),
        ({"device": "cpu"}, "a CPU whose kind is not on record"),  # as version 0.1.0 wrote it
        ({"torch": "2.0.1"}, "cpu: "),
        ({"device": "", "torch": ""}, "a device that is not on record, torch of an unknown version"),
    ],
)
def test_a_row_of_another_machine_is_expected_to_agree_in_distribution_only(
    recorded: dict[str, str], named: str, study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = read(study).iloc[0]
    # Another machine's kernels round otherwise, and training amplifies that.
    other = changed(study, tmp_path, test_loss=str(first["test_loss"] * 1.01), **recorded)
    assert rerun.main([str(other), first["trial"]]) == 0
    said = capsys.readouterr().out
    assert f"recorded on {named}" in said
    assert ", this is cpu: " in said
    assert "agreement in distribution only" in said
    assert "1 of 12 columns differ" in said
    # Who knows better says how near it must be.
    assert rerun.main([str(other), first["trial"], "--tolerance", "0.1"]) == 0
    assert "matched within 0.1" in capsys.readouterr().out
    assert rerun.main([str(other), first["trial"], "--tolerance", "0.001"]) == 1
    assert "1 of 12 columns do not match within 0.001" in capsys.readouterr().out


@pytest.mark.parametrize("column", ["params", "steps"])
def test_what_no_machine_changes_is_found_out_on_any(
    column: str, study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = read(study).iloc[0]
    other = changed(study, tmp_path, device=ELSEWHERE, **{column: "7"})
    assert rerun.main([str(other), first["trial"]]) == 1
    assert f"no machine changes {column}: this is not the recorded trial" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (("--tolerance=-1",), "--tolerance -1.0: must be a number from 0"),
        (("--tolerance", "nan"), "must be a number from 0"),
        (("--device", "gpu"), "--device gpu: must be cpu, cuda or cuda:N"),
        (("--device", "cuda:99"), "CUDA devices"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_in_one_line(
    typed: tuple[str, ...], says: str, study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rerun.main([str(study), read(study).iloc[0]["trial"], *typed]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


def test_a_failed_row_has_nothing_to_compare_with(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = read(study).iloc[0]
    other = changed(study, tmp_path, status="failed", params="", device="NVIDIA H100", note="out of memory")
    assert rerun.main([str(other), first["trial"]]) == 2
    assert "it failed (out of memory), so there is nothing to compare with" in capsys.readouterr().err


def test_kernels_that_the_environment_rules_out_make_another_machine(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = read(study).iloc[0]
    monkeypatch.setattr(provenance, "instructions", lambda capability: "default ONEDNN_MAX_CPU_ISA=SSE41")
    assert rerun.main([str(study), row["trial"]]) == 0  # the same bits are the same bits
    assert capsys.readouterr().out.endswith("matched to the bit\n")


@pytest.mark.parametrize("name", ["", "zz", "0000000000000"])
def test_an_unclear_trial_is_refused_in_one_line(name: str, study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rerun.main([str(study), name]) == 2
    said = capsys.readouterr().err
    assert said.startswith("runner.rerun: ")
    assert said.count("\n") == 1


def test_data_that_are_not_there_are_asked_for_as_this_command_takes_them(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = read(study).iloc[0]
    settings = first["settings"].replace('"dataset":"digits"', '"dataset":"text"')
    trial = identity.id_of(json.loads(settings))
    other = changed(study, tmp_path, settings=settings, trial=trial)
    assert rerun.main([str(other), trial]) == 2
    said = capsys.readouterr().err
    assert said.endswith("; here a setting of the dataset is given as --dataset KEY=VALUE\n")
    assert said.count("\n") == 1


def test_settings_of_another_version_are_refused(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = read(study).iloc[0]
    settings = first["settings"].replace('"model":"resnet"', '"model":"x"')
    trial = identity.id_of(json.loads(settings))
    other = changed(study, tmp_path, settings=settings, trial=trial, model="x")
    assert rerun.main([str(other), trial]) == 2
    assert "another version" in capsys.readouterr().err
