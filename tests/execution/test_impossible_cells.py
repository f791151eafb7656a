"""Whatever a cell holds: its row is named in one line, or the report and the next command work with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.errors import UserError
from runner.records import identity
from runner.records.checks import TOLD
from runner.records.read import read
from runner.records.records import Records
from runner.records.schema import COLUMNS, PLACE, RESULT_TABLES, TEXTS, TRIALS
from runner.records.table import Table
from runner.report.write import write_report
from runner.trials.described import described
from tests.helpers import images, trial
from tests.report.studies import curve, search

FINE = {"phase": "search", "status": "ok"}
ODD = ("inf", "-inf", "nan", "1e308", "-1e308", "-1", "1.5", "9" * 5000, "\N{EN DASH}", "NA", "null", "", "1_0", "True")


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The lines of a study's four tables."""
    folder = tmp_path_factory.mktemp("tables")
    rows = search(lrs=(1e-3, 1e-2), wds={"l2": (1e-3,), "torch": (0.1,)}, seeds=(0,))
    records = Records(folder)
    records.append_trials(rows)
    records.append_curves(line for row in rows for line in curve(row))
    names = [str(row["trial"]) for row in rows]
    records.append_cycles({"trial": n, "cycle": 1, "epoch": 20, "val_loss": 1.0, "val_error": 5.0} for n in names)
    records.append_dynamics(
        {"trial": n, "epoch": e, "step": 7 * e, "layer": "all", "kind": "all", "weight_norm": 1.0, "max_weight": 0.5}
        for n in names
        for e in range(1, 21)
    )
    return {name: (folder / f"{name}.csv").read_text().splitlines() for name in RESULT_TABLES}


def damaged(tables: dict[str, list[str]], folder: Path, table: str, column: str, cell: str) -> None:
    import csv
    import io

    for name, lines in tables.items():
        text = io.StringIO()
        if name == table:
            (row,) = csv.reader([lines[1]])
            row[COLUMNS[table].index(column)] = cell
            csv.writer(text, lineterminator="").writerow(row)
        changed = [lines[0], text.getvalue() or lines[1], *lines[2:]]
        (folder / f"{name}.csv").write_text("\n".join([*changed, ""]))


CELLS = [(table, column) for table in RESULT_TABLES for column in COLUMNS[table]]


@pytest.mark.parametrize(("table", "column"), CELLS, ids=lambda name: name)
def test_an_impossible_number_is_named_with_its_line_or_can_be_worked_with(
    table: str, column: str, tables: dict[str, list[str]], tmp_path: Path
) -> None:
    refused = 0
    for cell in ODD:
        damaged(tables, tmp_path, table, column, cell)
        try:
            frame = read(tmp_path, table)
            Records(tmp_path).done()
        except UserError as error:
            said = str(error)
        else:
            assert len(frame) == len(tables[table]) - 1
            for other in COLUMNS[table]:
                assert (frame[other].dtype.kind in "iuf") == (other not in TEXTS)
            assert column not in TEXTS or frame[column].iloc[0] == cell
            continue
        refused += 1
        named = "trial" if (table, column) == ("trials", "settings") else column  # whose id is that of the settings
        assert f"{table}.csv: line 2: {named} is " in said, cell
        assert "must " in said, cell
        assert len(said.splitlines()) == 1
    assert refused or column in TEXTS, "a word is no number"


@pytest.mark.parametrize(
    ("column", "cell"),
    [("epochs", "inf"), ("seed", "-inf"), ("wd_paper", "inf"), ("val_error", "-1e308"), ("phase", "serach")],
)
def test_the_report_and_the_next_command_refuse_what_cannot_be(
    column: str, cell: str, tables: dict[str, list[str]], tmp_path: Path
) -> None:
    damaged(tables, tmp_path, "trials", column, cell)
    for call in (lambda: write_report(tmp_path), lambda: Records(tmp_path).done()):
        with pytest.raises(UserError, match=rf"trials.csv: line 2: {column} is '{cell}', must be .*mend that cell"):
            call()


def test_a_row_whose_id_is_not_that_of_its_settings_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An edited id made a ghost row, and edited settings gave a result to another trial."""
    some = trial(images())
    row = {"trial": some.id, "phase": "search", "status": "ok", "settings": some.settings_json}
    for changed in (
        {"trial": "0" * 16},
        {"trial": some.id[:12]},
        {"settings": row["settings"].replace('"seed":0', '"seed":1')},
    ):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        Records(folder).append_trials([row])
        path = folder / "trials.csv"
        text = path.read_text()
        for name, cell in changed.items():
            old, new = (value.replace('"', '""') for value in (row[name], cell))
            assert text.count(old) == 1
            text = text.replace(old, new)
        path.write_text(text)
        wrong = r"line 2: trial is .* must be the id of its settings"
        with pytest.raises(UserError, match=wrong):
            read(folder)
        with pytest.raises(UserError, match=wrong):
            Records(folder).done()


@pytest.mark.parametrize("column", PLACE)
def test_a_row_without_its_place_is_named_and_left_out_of_the_report(
    column: str, tables: dict[str, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged(tables, tmp_path, "trials", column, "")
    report = write_report(tmp_path)
    assert report.files
    trial = tables["trials"][1].split(",")[1]
    assert f"trials.csv: {column} of trial {trial} is empty, and must be a " in capsys.readouterr().out


EDITED = {
    "optimizer": "zork",
    "wd_convention": "paper",
    "lr": "0.5",
    "wd": "0.5",
    "seed": "7",
    "model": "transformer",
    "batch_size": "64",
    "epochs": "50",
    "schedule": "step",
    "beta1": "0.5",
    "beta2": "0.5",
    "eps": "0.5",
    "momentum": "0.5",
    "decay_params": "weights",
    "precision": "bf16",
    "replicate": "2",
    "split": "2",
    "settings": "{}",
}


@pytest.mark.parametrize("listed", ["all", "those that differ"])
@pytest.mark.parametrize("column", EDITED)
def test_a_cell_that_contradicts_the_settings_of_its_row_is_named(column: str, listed: str, tmp_path: Path) -> None:
    """Two rates that were swapped made another cell the winner, and an edited model another block of the study."""
    assert set(EDITED) == {*TOLD, "settings"}
    some = trial(images(), name="sgdw" if column == "momentum" else "adamw")
    row = described(some) | {"phase": "search", "status": "ok"}
    if listed == "those that differ":  # as version 0.1.0 wrote them
        row["settings"] = identity.text(identity.differing(some.to_flat()))
    Records(tmp_path).append_trials([row])
    assert len(read(tmp_path)) == 1
    line = Table(tmp_path / "x.csv", "trials").line(row | {column: EDITED[column]}).decode()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "trials.csv").write_text("\n".join([",".join(TRIALS), line]))
    named = "trial" if column == "settings" else column
    with pytest.raises(UserError, match=rf"line 2: {named} is .* must be "):
        read(tmp_path / "damaged")
    with pytest.raises(UserError, match=rf"line 2: {named} is .* must be "):
        Records(tmp_path / "damaged").done()


def test_a_file_whose_rows_were_looked_at_is_looked_at_again_when_it_has_changed(tmp_path: Path) -> None:
    """A command reads its rows twice, and trusts the first look only as long as the file is the same."""
    Records(tmp_path).append_trials([described(trial(images(), seed=seed)) | FINE for seed in (0, 1)])
    assert Records(tmp_path).done()
    assert len(read(tmp_path)) == 2
    path = tmp_path / "trials.csv"
    text, before = path.read_text(), path.stat()
    path.write_text(text.replace(",16,5,cosine,", ",16,7,cosine,", 1))
    assert path.stat().st_size == before.st_size
    with pytest.raises(UserError, match="line 2: epochs is '7', must be what its settings say"):
        read(tmp_path)
