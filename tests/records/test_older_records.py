"""Studies of an older version: read, appended to, merged and resumed, and no cell changes.

They are all that are committed, and two of version 0.1.0 in the folder `older` beside this file.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from runner import rerun
from runner.data.dataset import Dataset, Split
from runner.errors import UserError
from runner.execution import provenance, worker
from runner.execution.cluster.merge import Merger
from runner.records import identity, parts
from runner.records.packed import opened
from runner.records.read import read
from runner.records.records import Records
from runner.records.schema import OLDEST, RESULT_TABLES, TEXTS, TRIALS
from runner.rerun import rebuilt, settings_of
from tests.damage import check_went_on, command
from tests.helpers import images, tokens

FOLDERS = {
    str(path.parent.relative_to(root)): path.parent
    for root in (Path(__file__).parents[2] / "results", Path(__file__).parent / "older")
    for path in sorted(root.rglob("study.yaml"))
}
STUDIES = list(FOLDERS)
OLD = TRIALS[: OLDEST["trials"]]
NEW = {"study": "s", "trial": "new", "phase": "search", "status": "failed", "note": 'a "note", of today', "host": "h"}


@functools.cache
def committed(study: str) -> pd.DataFrame:
    """The cells of a study's trials.csv as they stand in the file."""
    return cells(FOLDERS[study])


def cells(folder: Path) -> pd.DataFrame:
    with opened(folder / "trials.csv") as file:  # which may be packed
        return pd.read_csv(file, dtype=str, keep_default_na=False)


def copied(study: str, folder: Path) -> Path:
    """A copy of a study's tables that may be changed."""
    for table in RESULT_TABLES:
        for path in FOLDERS[study].glob(f"{table}.csv*"):
            shutil.copy(path, folder)
    return folder


def check_kept(study: str, folder: Path, more: int) -> pd.DataFrame:
    """Every cell of the study is as it was, and `more` rows follow; these."""
    found, before = cells(folder), committed(study)
    assert list(found.columns) == TRIALS
    pd.testing.assert_frame_equal(found[OLD].iloc[: len(before)], before[OLD])
    assert (found["host"].iloc[: len(before)] == before.get("host", "")).all()
    assert len(found) == len(before) + more
    assert len(read(folder)) == len(found)
    return found.iloc[len(before) :]


def like(flat: dict[str, Any]) -> Dataset:
    """Made-up data that a trial takes for those it was trained on, of which a small part is left to train on."""
    data = images(8, 8) if flat["dataset"] == "npz" else tokens(8, 8, per_position=True)
    test = Split(
        data.test.x[:1].repeat(flat["dataset.test_size"], 0), data.test.y[:1].repeat(flat["dataset.test_size"], 0)
    )
    return replace(data, test=test, classes=flat["dataset.classes"], vocabulary=256, hash=flat["dataset.hash"])


def test_there_are_committed_studies_of_an_older_version() -> None:
    assert len(STUDIES) >= 10
    assert sum("host" not in committed(study).columns for study in STUDIES) >= 1


@pytest.mark.parametrize("study", STUDIES)
def test_an_older_study_is_read_whole(study: str, capsys: pytest.CaptureFixture[str]) -> None:
    before, found = committed(study), read(FOLDERS[study])
    assert list(found.columns) == TRIALS
    assert len(found) == len(before)
    for name in OLD:
        wanted = before[name].to_list() if name in TEXTS else [float(cell or "nan") for cell in before[name]]
        np.testing.assert_array_equal(found[name].to_numpy(), np.array(wanted, object if name in TEXTS else float))
    assert "damaged" not in capsys.readouterr().out


@pytest.mark.parametrize("study", STUDIES)
def test_an_older_study_is_appended_to(study: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = copied(study, tmp_path)
    curves = (folder / "curves.csv").read_bytes() if (folder / "curves.csv").exists() else b""
    one, other = Records(folder), Records(folder)
    known = one.done()
    assert known == other.done() == set(committed(study)["trial"])
    one.append_trials([NEW])
    (row,) = check_kept(study, folder, 1).to_dict("records")
    assert {name: row[name] for name in NEW} == NEW
    # Who had the old file open sees the new one, and adds nothing twice.
    assert other.done() == known  # a failed row is no result
    assert other.ended() == known | {"new"}
    other.append_trials([NEW, NEW | {"trial": "next"}])
    check_kept(study, folder, 2)
    assert not list(folder.glob("*.old*"))
    assert not list(folder.glob(".*.part"))
    assert not curves or (folder / "curves.csv").read_bytes() == curves
    new = ", ".join(name for name in TRIALS if name not in committed(study).columns)
    said = capsys.readouterr().out.count(f"an older version wrote it; it now has {new} too, and keeps its rows")
    assert said == bool(new)


def another(row: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The row of a trial with another seed, as version 0.1.0 would have written it."""
    flat = json.loads(row["settings"].iloc[0]) | {"seed": seed}
    return row.assign(trial=identity.digest(flat)[: identity.OLD], seed=str(seed), settings=identity.text(flat))


@pytest.mark.parametrize("study", STUDIES)
def test_an_older_study_is_merged_with_rows_of_today_and_with_older_ones(study: str, tmp_path: Path) -> None:
    folder = copied(study, tmp_path)
    Records(folder)
    # A job of an older version that was killed, and one of this version.
    old = parts.home(folder, parts.new("20260102T030405Z", 1))
    old.mkdir(parents=True)
    row = another(committed(study)[OLD].iloc[:1], 10**9)
    older = row["trial"].iloc[0]
    row.to_csv(old / "trials.csv", index=False, lineterminator="\n")
    today = parts.new("20260102T030405Z", 2)
    Records(folder, today).append_trials([NEW])
    assert set(read(folder)["trial"]) == {*committed(study)["trial"], older, "new"}
    for part in (old, parts.home(folder, today)):
        parts.end(part)
    Merger(folder).merge()
    assert parts.of(folder) == []
    added = check_kept(study, folder, 2).set_index("trial")
    assert added["host"].to_dict() == {older: "", "new": "h"}
    assert added.loc[older, OLD[3:]].to_list() == row[OLD[3:]].iloc[0].to_list()


@pytest.mark.parametrize("study", STUDIES)
def test_an_older_study_is_resumed(study: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = copied(study, tmp_path)
    row = read(folder).iloc[-1].to_dict()
    flat = settings_of(row)
    if flat["dataset"] in ("npz", "text"):  # their data are not part of the project
        monkeypatch.setattr(rerun, "load", lambda _: like(flat))
    trial, dataset = rebuilt(flat, FOLDERS[study], {})
    if len(row["trial"]) == identity.OLD:  # as version 0.1.0 wrote it; later studies have longer ids
        trial = trial.shortened()
    assert trial.id == row["trial"]
    # What has a row is not trained again; one epoch under another seed is, into the same file.
    fresh = replace(trial, epochs=1, seed=10**9)
    job = worker.Job(
        folder,
        [[trial], [fresh]],
        {trial.dataset: dataset},
        "cpu",
        {"study": "s", "phase": "search", "host": provenance.host()},
    )
    worker.work(job, lambda *_: None)
    (added,) = check_kept(study, folder, 1).to_dict("records")
    assert (added["trial"], added["status"], added["host"]) == (fresh.id, "ok", provenance.host())
    assert added["device"].startswith("cpu: ")


@pytest.mark.campaign
def test_the_command_of_an_older_study_goes_on_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "digits-cpu"
    shutil.copytree(FOLDERS["digits"], folder)
    lines = (folder / "trials.csv").read_text().splitlines(keepends=True)
    (folder / "trials.csv").write_text("".join(lines[:3] + lines[4:]))
    cells_of = ("optimizer=adam", "lr=0.01", "wd=0,0.064", "seed=0,1,2", "epochs=20", "batch_size=32", "eval_every=2")
    said = command(tmp_path, "-m", *cells_of, "study=digits-cpu")
    check_went_on(said, "1 search trial (5 of 6 already done) in 1 stack")
    again, before = cells(folder), committed("digits")
    assert sorted(again["trial"]) == sorted(before["trial"])
    assert again["trial"].iloc[-1] == before["trial"].iloc[2]


def test_a_file_of_a_later_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "trials.csv").write_text(",".join([*TRIALS, "colour"]) + "\n" + "," * len(TRIALS) + "\n")
    for call in (lambda: read(tmp_path), lambda: Records(tmp_path).append_trials([NEW])):
        with pytest.raises(UserError, match=r"of another version .*it has the column 'colour'"):
            call()


def test_damaged_lines_of_an_older_file_stay_in_a_copy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = ",".join(["s", "a", "search", "failed", *[""] * (len(OLD) - 4)])
    text = "\r\n".join([",".join(OLD), whole, "s,torn,sea", "x" * 50, whole + "\r", ""])
    (tmp_path / "trials.csv").write_bytes(text.encode())
    Records(tmp_path).append_trials([NEW])
    assert (tmp_path / "trials.csv.old1").read_bytes() == text.encode()
    assert list(cells(tmp_path)["trial"]) == ["a", "new"]
    assert "3 damaged lines are left out, and the file as it was is trials.csv.old1" in capsys.readouterr().out


def test_a_command_of_the_older_version_that_still_runs_loses_no_row(tmp_path: Path) -> None:
    folder = copied("mechanism", tmp_path)
    Records(folder).append_trials([NEW])
    # What it appends has the older columns, for it has read the header long ago.
    rows = committed("mechanism")[OLD].iloc[:1]
    older = pd.concat([another(rows, 10**9), another(rows, 10**9 + 1)])
    b, c = older["trial"]
    older.to_csv(folder / "trials.csv", mode="a", header=False, index=False, lineterminator="\n")
    records = Records(folder)
    records.append_trials([NEW | {"trial": "d"}, NEW | {"trial": b}])
    assert list(read(folder)["trial"])[-4:] == ["new", b, c, "d"]
    assert list(read(folder)["host"])[-4:] == ["h", "", "", "h"]
    found = read(folder).set_index("trial")
    assert found.loc[b, "test_loss"] == float(older["test_loss"].iloc[0])
    part = parts.home(folder, parts.new("20260102T030405Z", 1))
    part.mkdir(parents=True)
    late = another(rows, 10**9 + 2)
    lines = [",".join(TRIALS), late.to_csv(header=False, index=False).strip(), ""]
    (part / "trials.csv").write_text("\n".join(lines))
    parts.end(part)
    Merger(folder).merge()
    last = (folder / "trials.csv").read_text().splitlines()[-1]
    assert last.startswith(f"{older['study'].iloc[0]},{late['trial'].iloc[0]},")
    assert last.endswith(",")


def test_a_file_keeps_its_place_and_its_rights(tmp_path: Path) -> None:
    folder = copied("mechanism", tmp_path)
    (tmp_path / "elsewhere").mkdir()
    real = (folder / "trials.csv").rename(tmp_path / "elsewhere" / "real.csv")
    (folder / "trials.csv").symlink_to(real)
    real.chmod(0o640)
    Records(folder).append_trials([NEW])
    assert (folder / "trials.csv").readlink() == real
    assert real.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in real.parent.iterdir()] == ["real.csv"]
    check_kept("mechanism", folder, 1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write what others may not")
@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_may_not_be_written_is_refused_and_stays(what: str, tmp_path: Path) -> None:
    folder = copied("mechanism", tmp_path)
    before, records = (folder / "trials.csv").read_bytes(), Records(folder)
    place = folder / "trials.csv" if what == "file" else folder
    place.chmod(0o444 if what == "file" else 0o555)
    with pytest.raises(UserError, match=r"cannot be put in its place \(Permission denied\)"):
        records.append_trials([NEW])
    place.chmod(0o755)
    assert (folder / "trials.csv").read_bytes() == before
    assert not list(folder.glob(".*.part"))


def test_a_copy_that_a_full_disk_cuts_is_not_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = copied("mechanism", tmp_path)
    with (folder / "trials.csv").open("ab") as file:
        file.write(b"damaged\n")
    before = (folder / "trials.csv").read_bytes()

    def half(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", half)
    with pytest.raises(UserError, match="No space left on device"):
        Records(folder).append_trials([NEW])
    assert (folder / "trials.csv").read_bytes() == before
    assert {path.name for path in folder.iterdir()} == {".state", "curves.csv", "dynamics.csv", "trials.csv"}


def test_what_a_kill_left_of_a_wider_file_is_written_over(tmp_path: Path) -> None:
    folder = copied("mechanism", tmp_path)
    (folder / ".trials.csv.part").write_text("half of a wider fi")
    Records(folder).append_trials([NEW])
    check_kept("mechanism", folder, 1)
    assert not list(folder.glob(".*.part"))


def test_a_full_disk_leaves_an_older_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = copied("mechanism", tmp_path)
    before = (folder / "trials.csv").read_bytes()
    records = Records(folder)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match=r"cannot be put in its place \(No space left on device\); free space"):
        records.append_trials([NEW])
    assert (folder / "trials.csv").read_bytes() == before
    assert {path.name for path in folder.iterdir()} == {".state", "curves.csv", "dynamics.csv", "trials.csv"}
    monkeypatch.undo()
    records.append_trials([NEW])
    check_kept("mechanism", folder, 1)
