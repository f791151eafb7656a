"""Records: nothing lost, nothing twice, nothing rewritten, and numbers read back exactly."""

from __future__ import annotations

import math
import multiprocessing
from pathlib import Path

import pytest

from runner.errors import UserError
from runner.records.lines import Rows
from runner.records.read import read
from runner.records.records import Records
from runner.records.schema import CURVES, OLDEST, TRIALS
from runner.records.table import Table


def row(trial: str, **more: object) -> dict[str, object]:
    return {"study": "s", "trial": trial, "phase": "search", "status": "ok", **more}


def test_columns_are_the_fixed_ones() -> None:
    assert ",".join(TRIALS).startswith("study,trial,phase,status,model,dataset,optimizer,wd_convention,lr,wd,seed")
    assert TRIALS[OLDEST["trials"] :] == ["host", "code", "replicate", "split", "test_ece", "test_brier"]
    assert (len(TRIALS), len(CURVES)) == (55, 15)


def test_floats_read_back_exactly_and_empty_is_not_nan_in_the_file(tmp_path: Path) -> None:
    value = 0.1 + 0.2
    Records(tmp_path).append_trials([row("a", lr=value, val_loss=math.nan, note='a "quoted", note')])
    assert read(tmp_path)["lr"][0] == value
    assert read(tmp_path)["note"][0] == 'a "quoted", note'
    line = (tmp_path / "trials.csv").read_text().splitlines()[1].split(",")
    assert line[TRIALS.index("val_loss")] == "nan"
    assert line[TRIALS.index("test_loss")] == ""


def test_a_trial_is_recorded_once_whoever_appends_it(tmp_path: Path) -> None:
    one, other = Records(tmp_path), Records(tmp_path)
    one.append_trials([row("a")])
    other.append_trials([row("a"), row("b")])
    one.append_trials([row("b"), row("c")])
    assert list(read(tmp_path)["trial"]) == ["a", "b", "c"]
    assert one.done() == other.done() == {"a", "b", "c"}


def test_an_epoch_is_recorded_once_however_often_the_trial_starts_again(tmp_path: Path) -> None:
    first = Records(tmp_path)
    first.append_curves([{"trial": "a", "epoch": e} for e in (1, 2)])
    again = Records(tmp_path)
    again.append_curves([{"trial": "a", "epoch": e} for e in (1, 2, 3)])
    assert list(read(tmp_path, "curves")["epoch"]) == [1, 2, 3]


def test_a_torn_last_line_is_ignored_by_readers_and_repaired_by_the_next_writer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Records(tmp_path).append_trials([row("a")])
    path = tmp_path / "trials.csv"
    whole = path.read_bytes()
    path.write_bytes(whole + b"s,b,sear")
    assert list(read(tmp_path)["trial"]) == ["a"]
    Records(tmp_path).append_trials([row("c")])
    assert list(read(tmp_path)["trial"]) == ["a", "c"]
    assert path.read_bytes().startswith(whole)
    assert "removed a torn last line" in capsys.readouterr().out


@pytest.mark.parametrize("begun", ["", "study,tri"])
def test_a_file_that_was_only_begun_is_begun_again(begun: str, tmp_path: Path) -> None:
    (tmp_path / "trials.csv").write_text(begun)
    assert read(tmp_path).empty
    Records(tmp_path).append_trials([row("a")])
    assert list(read(tmp_path)["trial"]) == ["a"]


def test_a_foreign_file_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "trials.csv").write_text("name,score\nx,1\n")
    for call in (lambda: read(tmp_path), lambda: Records(tmp_path).append_trials([row("a")])):
        with pytest.raises(UserError, match="not a records file of schema 1") as refusal:
            call()
        assert "\n" not in str(refusal.value)


def test_what_is_no_text_is_recorded_all_the_same(tmp_path: Path) -> None:
    strange = b"host-\xff".decode(errors="surrogateescape")
    Records(tmp_path).append_trials([row("a", host=strange, note=strange)])
    assert list(read(tmp_path)["host"]) == ["host-?"]


@pytest.mark.parametrize("name", ["null", "nan", "NA", "None", "", "1e5", "true"])
def test_text_is_read_as_it_was_written(name: str, tmp_path: Path) -> None:
    Records(tmp_path).append_trials([row("a", host=name, note=name)])
    assert read(tmp_path)[["host", "note"]].iloc[0].to_list() == [name, name]


def test_an_unknown_column_is_a_mistake_of_ours(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="no column"):
        Records(tmp_path).append_trials([row("a", accuracy=1.0)])


def _write(folder: Path, who: int) -> None:
    records = Records(folder)
    for i in range(40):
        records.append_trials([row(f"t{i}"), row(f"own{who}-{i}")])


def test_four_processes_at_once_leave_every_row_whole_and_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_write, args=(tmp_path, who)) for who in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    trials = list(read(tmp_path)["trial"])
    assert len(trials) == len(set(trials)) == 40 + 4 * 40


def test_a_damaged_line_is_left_out_by_readers_and_its_trial_is_trained_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Records(tmp_path).append_trials([row("a"), row("b"), row("c")])
    path = tmp_path / "trials.csv"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], lines[1], lines[2][:9] + b"\xff\n", lines[3]]))
    assert list(read(tmp_path)["trial"]) == ["a", "c"]
    assert "1 damaged lines are left out, the first is 3" in capsys.readouterr().out
    again = Records(tmp_path)
    assert again.done() == {"a", "c"}
    again.append_trials([row("b")])
    assert list(read(tmp_path)["trial"]) == ["a", "c", "b"]


def test_a_line_with_more_cells_than_its_files_header_is_no_row(tmp_path: Path) -> None:
    path, width = tmp_path / "trials.csv", OLDEST["trials"]
    lines = [",".join(TRIALS[:width]), ",".join("x" * width), ",".join("y" * len(TRIALS))]
    path.write_text("".join(f"{line}\n" for line in lines))
    rows = Rows(path, "trials")
    assert [number for number, _ in rows] == [2]
    assert rows.damaged == [3]


def test_a_launch_log_that_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "shards.csv").mkdir()
    assert Table(tmp_path / "shards.csv", "shards", on_bad_row="skip").rows() == []
