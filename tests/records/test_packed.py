"""A study whose tables are packed says the same, and is unpacked before rows are added."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from runner.errors import UserError
from runner.records.packed import packed
from runner.records.read import exists, read
from runner.records.records import Records
from runner.records.table import Table
from tests.damage import MORE, TWO, check_went_on, command


def row(trial: str, **more: object) -> dict[str, object]:
    return {"study": "s", "trial": trial, "phase": "search", "status": "ok", "epochs": 1, **more}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Two trials in plain files, which `pack` packs."""
    records = Records(tmp_path)
    records.append_trials([row("a", lr=0.1, note='a "quoted", note'), row("b", lr=0.2)])
    records.append_curves([{"trial": trial, "epoch": 1, "val_loss": 0.5} for trial in "ab"])
    return tmp_path


def pack(folder: Path, *tables: str) -> None:
    for table in tables:
        path = folder / f"{table}.csv"
        packed(path).write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()


def test_rows_read_the_same_from_a_packed_table(study: Path) -> None:
    plain = {table: read(study, table) for table in ("trials", "curves")}
    pack(study, "trials", "curves")
    assert exists(study)
    for table, frame in plain.items():
        pd.testing.assert_frame_equal(read(study, table), frame)
    assert list(read(study, "curves", only=["b"])["trial"]) == ["b"]
    pd.testing.assert_frame_equal(
        pd.read_csv(study / "curves.csv.gz")[["trial", "epoch"]], plain["curves"][["trial", "epoch"]]
    )


def test_a_reader_sees_packed_rows_once_and_those_that_are_added_later(study: Path) -> None:
    pack(study, "trials")
    table = Table(study / "trials.csv", "trials")
    assert [len(list(table.new_lines())) for _ in range(2)] == [2, 0]
    Records(study).append_trials([row("c")])
    table.refresh(mend=False)
    assert set(table.last) == {"a", "b", "c"}


def test_a_writer_unpacks_a_study_and_keeps_its_rows(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (study / "trials.csv").read_bytes()
    pack(study, "trials", "curves")
    records = Records(study)
    assert records.done() == {"a", "b"}
    records.append_trials([row("b")])
    assert not (study / "trials.csv").exists(), "nothing was added"
    records.append_trials([row("b"), row("c")])
    assert "trials.csv.gz: is now trials.csv" in capsys.readouterr().out
    assert (study / "trials.csv").read_bytes().startswith(before)
    assert list(read(study)["trial"]) == ["a", "b", "c"]
    records.append_curves([{"trial": "c", "epoch": 1}])
    assert list(read(study, "curves")["trial"]) == ["a", "b", "c"]
    assert not list(study.glob("*.gz"))
    assert Records(study).done() == {"a", "b", "c"}


def test_a_packed_table_whose_last_line_is_torn_or_lacks_its_newline_is_mended_by_a_writer(study: Path) -> None:
    text = (study / "trials.csv").read_bytes()
    for cut, done in ((1, {"a", "b"}), (60, {"a"})):
        packed(study / "trials.csv").write_bytes(gzip.compress(text[:-cut]))
        (study / "trials.csv").unlink(missing_ok=True)
        records = Records(study)
        assert records.done() == done
        records.append_trials([row("c")])
        assert set(read(study)["trial"]) == done | {"c"}


@pytest.mark.parametrize("damage", [lambda whole: whole[:-9], lambda whole: b"no gzip", lambda whole: b""])
def test_a_damaged_packed_table_is_refused_in_one_line(study: Path, damage: Callable[[bytes], bytes]) -> None:
    pack(study, "trials")
    path = study / "trials.csv.gz"
    path.write_bytes(damage(path.read_bytes()))
    for use in (
        read,
        lambda folder: Records(folder).done(),
        lambda folder: Table(folder / "trials.csv", "trials").refresh(mend=False),
    ):
        with pytest.raises(UserError, match=r"trials.csv.gz: cannot be unpacked \(.+\); take it from a whole copy"):
            use(study)
    assert path.exists()


def test_where_both_forms_are_there_the_plain_one_counts(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packed(study / "trials.csv").write_bytes(gzip.compress(b"something else\n"))
    assert list(read(study)["trial"]) == ["a", "b"]
    assert "trials.csv.gz: is not read, for trials.csv is there too" in capsys.readouterr().out
    assert Records(study).done() == {"a", "b"}


def test_a_packed_study_is_done_has_the_same_report_and_is_continued(two: Path, tmp_path: Path) -> None:
    shutil.copytree(two, tmp_path, dirs_exist_ok=True)
    folder = tmp_path / "results" / "s"
    plain = (folder / "generalization.csv").read_bytes()
    shutil.rmtree(folder / ".state")
    pack(folder, "trials", "curves")
    assert "2 done, 0 to train" in (said := command(tmp_path, *TWO, "dry_run=true").out), said
    assert command(tmp_path, "results/s", module="runner.report").code == 0
    assert (folder / "generalization.csv").read_bytes() == plain
    assert "trials.csv.gz" in (folder / "report.html").read_text()
    assert (folder / "trials.csv.gz").exists(), "reading leaves it packed"
    check_went_on(command(tmp_path, *MORE))
    assert len(read(folder)) == 3
    assert not list(folder.glob("*.gz"))
