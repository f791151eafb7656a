"""A row can be repeated from its own settings, and a row that was tampered with is found out."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner import rerun
from runner.reading import read

STUDY = Path(__file__).parents[2] / "results" / "digits-cpu"


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_a_committed_row_comes_out_again(optimizer: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows = read(STUDY)
    row = rows[(rows["optimizer"] == optimizer) & (rows["wd"] > 0)].iloc[0]
    code = rerun.main([str(STUDY), row["trial"], "--tolerance", "0.02"])
    assert "matched" in capsys.readouterr().out
    assert code == 0


def test_a_row_that_says_something_else_is_found_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (STUDY / "trials.csv").read_text().splitlines()
    columns, row = text[0].split(","), text[1].split(",")
    at = columns.index("test_loss")
    row[at] = repr(float(row[at]) * 2)
    (tmp_path / "trials.csv").write_text("\n".join([text[0], ",".join(row)]) + "\n")
    assert rerun.main([str(tmp_path), row[1]]) == 1
    assert "differs" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["", "zz", "0"])
def test_an_unclear_trial_is_refused_in_one_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert rerun.main([str(STUDY), name]) == 2
    said = capsys.readouterr().err
    assert said.startswith("runner.rerun: ")
    assert said.count("\n") == 1


def test_settings_of_another_version_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (STUDY / "trials.csv").read_text().splitlines()
    (tmp_path / "trials.csv").write_text(
        "\n".join([text[0], text[1].replace('""model"":""resnet""', '""model"":""x""')]) + "\n"
    )
    assert rerun.main([str(tmp_path), text[1].split(",")[1]]) == 2
    assert "another version" in capsys.readouterr().err
