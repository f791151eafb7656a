"""Whatever is wrong with a study's files: a command mends it and says so, or refuses in one line; no row is lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from runner.records.read import read
from runner.records.records import Records
from runner.records.schema import CURVES, TIMING, TRIALS
from tests.damage import MORE, TWO, Damage, check_refused, check_went_on, command, half, rows


@pytest.fixture
def folder(two: Path, tmp_path: Path) -> Path:
    shutil.copytree(two / "results", tmp_path / "results")
    return tmp_path


def changed(name: str, change: Callable[[bytes], bytes]) -> Damage:
    def damage(study: Path) -> None:
        (study / name).write_bytes(change((study / name).read_bytes()))

    return damage


def holds(name: str, content: bytes) -> Damage:
    return lambda study: (study / name).write_bytes(content)


def is_folder(name: str) -> Damage:
    def damage(study: Path) -> None:
        (study / name).unlink(missing_ok=True)
        (study / name).mkdir()

    return damage


def is_file(name: str) -> Damage:
    def damage(study: Path) -> None:
        shutil.rmtree(study / name, ignore_errors=True)
        (study / name).write_text("in the way")

    return damage


def cut_to(columns: int) -> Callable[[bytes], bytes]:
    return lambda text: b"".join(b",".join(line.split(b",")[:columns]) + b"\n" for line in text.splitlines())


def swapped(text: bytes) -> bytes:
    return text.replace(b"study,trial", b"trial,study", 1)


REFUSED: dict[str, tuple[Damage, tuple[str, ...]]] = {
    "foreign header": (holds("trials.csv", b"name,score\nx,1\n"), ("trials.csv", "column 1 is 'name'", "study=")),
    "first 20 columns": (
        changed("trials.csv", cut_to(20)),
        ("another version", f"lacks {len(TRIALS) - 20} columns", "move the file"),
    ),
    "a column more": (
        changed("trials.csv", lambda t: t.replace(b"\n", b",more\n", 1)),
        ("has the column 'more'",),
    ),
    "columns swapped": (changed("trials.csv", swapped), ("columns in another order", "move the file")),
    "byte-order mark": (changed("trials.csv", lambda t: b"\xef\xbb\xbf" + t), ("byte-order mark", "save it")),
    "semicolons": (changed("trials.csv", lambda t: t.replace(b",", b";")), ("column 1 is 'study;trial",)),
    "UTF-16": (changed("trials.csv", lambda t: t.decode().encode("utf-16")), ("not a records file",)),
    "binary": (holds("trials.csv", bytes(range(256)) * 20), ("not a records file", r"'\x00\x01")),
    "no number": (
        changed("trials.csv", lambda t: t.replace(b",0.001,", b",0.oo1,", 1)),
        ("line 2: lr is '0.oo1'", "mend"),
    ),
    "a date": (changed("trials.csv", lambda t: t.replace(b",0.001,", b",01.Jan,", 1)), ("line 2: lr is '01.Jan'",)),
    "no status": (
        changed("trials.csv", lambda t: t.replace(b",ok,", b",okk,", 1)),
        ("line 2: status is 'okk'", "mend"),
    ),
    "a header again": (changed("trials.csv", lambda t: t + t), ("line 4: phase is 'phase'", "remove the line")),
    "folder for a table": (is_folder("trials.csv"), ("trials.csv: Is a directory", "move it away")),
    "foreign curves": (holds("curves.csv", b"a,b\n1,2\n"), ("curves.csv: not a records file",)),
    "curves, epoch": (
        changed("curves.csv", lambda t: t.replace(b",1,", b",one,", 1)),
        ("curves.csv: line 2: epoch is 'one'",),
    ),
    "curves, nan": (changed("curves.csv", lambda t: t.replace(b",1,", b",nan,", 1)), ("must be a whole number",)),
    "folder for curves": (is_folder("curves.csv"), ("curves.csv: Is a directory",)),
    "foreign cycles": (holds("cycles.csv", b"\xff" * 50 + b"\n"), ("cycles.csv: not a records file",)),
    "folder for the plan": (is_folder("plan.csv"), ("plan.csv: Is a directory",)),
    "folder for the commands": (is_folder("study.yaml"), ("study.yaml: Is a directory",)),
    "file for the state": (is_file(".state"), ("cannot write there", "results=")),
    "folder for the lock": (is_folder(".state/records.lock"), ("records.lock: cannot write there", "results=")),
    "folder for the claims": (is_folder(".state/claims.lock"), ("claims.lock: cannot write there", "results=")),
}


@pytest.mark.campaign
@pytest.mark.parametrize("case", REFUSED)
def test_a_study_with_a_file_that_is_not_ours_is_refused_and_left_as_it_is(case: str, folder: Path) -> None:
    damage, parts = REFUSED[case]
    study = folder / "results" / "s"
    damage(study)
    names = ("trials.csv", "curves.csv", "cycles.csv", "plan.csv")
    before = {name: (study / name).read_bytes() for name in names if (study / name).is_file()}
    check_refused(command(folder, *MORE), *parts)
    assert {name: (study / name).read_bytes()[: len(text)] for name, text in before.items()} == before
    assert (study / "trials.csv").is_dir() or (study / "trials.csv").read_bytes() == before["trials.csv"]


IN_THE_WAY = {"plots": is_file("plots"), "report.html": is_folder("report.html"), "claims.md": is_folder("claims.md")}


@pytest.mark.parametrize("name", ["plots", "report.html"])
def test_a_report_that_cannot_be_written_costs_no_row(name: str, folder: Path, calm: Path) -> None:
    IN_THE_WAY[name](folder / "results" / "s")
    check_refused(
        command(folder, *MORE), f"results/s/{name}: cannot write the report", "runner.report results/s", "no row"
    )
    pd.testing.assert_frame_equal(rows(folder), rows(calm))


def line(number: int, new: Callable[[bytes], bytes], name: str = "trials.csv") -> Damage:
    """Line `number`, from 1, with its end, becomes `new` of it."""

    def change(text: bytes) -> bytes:
        lines = text.splitlines(keepends=True)
        lines[number - 1] = new(lines[number - 1])
        return b"".join(lines)

    return changed(name, change)


LEFT_OUT = "1 damaged lines are left out, the first is 2"
NONE: Damage = lambda study: None  # noqa: E731
TORN = "removed a torn last line"
PLANNED = "not a plan of stacks; it is now plan.csv.old1"
COMMANDS = "study.yaml cannot be read; it is now study.yaml.old1"
HEADER, CURVES_HEADER = ",".join(TRIALS).encode(), ",".join(CURVES).encode()
# What is wrong with the table, with the plan and with the list of commands, each with what must be said of it.
MENDED: dict[str, list[tuple[Damage, str]]] = {
    "torn in a row": [(line(3, half), f"trials.csv: {TORN}")],
    "no newline at the end": [
        (line(3, lambda t: t[:-1]), ""),  # nothing is lacking
        (holds("study.yaml", b"{{{: foo"), COMMANDS),
    ],
    "torn curves": [
        (line(3, half, "curves.csv"), f"curves.csv: {TORN}"),
        (holds("plan.csv", b"a,b\n1,2\n"), PLANNED),
        (NONE, "rows are missing in curves.csv of 1"),
    ],
    "torn header": [
        (holds("trials.csv", half(HEADER)), f"trials.csv: {TORN}"),
        (holds("plan.csv", b"stack,sl"), f"plan.csv: {TORN}"),
    ],
    "empty": [(holds("trials.csv", b""), ""), (holds("curves.csv", b""), ""), (holds("plan.csv", b""), "")],
    "only a header": [(holds("trials.csv", HEADER + b"\n"), ""), (holds("study.yaml", b""), "")],
    "a line cut": [(line(2, lambda t: half(t) + b"\n"), LEFT_OUT), (holds("study.yaml", b"\x00\x01\xff"), COMMANDS)],
    "an open quote": [(line(2, lambda t: b's,"half\n'), LEFT_OUT), (holds("study.yaml", b"a: 2024-13-45\n"), COMMANDS)],
    "an open quote at the end": [
        (line(2, lambda t: t.rpartition(b",")[0] + b',"x\n'), LEFT_OUT),
        (holds("study.yaml", b"[" * 5000), COMMANDS),
    ],
    "a carriage return": [
        (line(2, lambda t: b"s,a\rb\n"), LEFT_OUT),
        (holds("study.yaml", b"a: !!bool maybe"), COMMANDS),
    ],
    "zeros": [(line(2, lambda t: b"\0" * len(t) + b"\n"), LEFT_OUT), (holds("study.yaml", b"- 1\n- a\n"), "")],
    "a line too long": [
        (line(2, lambda t: b'"' + b"x" * 200_000 + b"\n"), LEFT_OUT),
        (holds("plan.csv", b"\xff" * 5000), PLANNED),
    ],
    "two lines run together": [
        (line(2, lambda t: t[:-1]), LEFT_OUT),
        (holds("plan.csv", b"stack,slot,trial\nx,\xc2\xb2,y\n"), ""),
    ],
    "a line twice": [
        (line(2, lambda t: t + t), "1 lines repeat the trial"),
        (changed("plan.csv", lambda t: t + b'x,"0,y\n'), ""),
    ],
    "an empty line": [
        (line(2, lambda t: b"\n" + t), LEFT_OUT),
        (changed("plan.csv", lambda t: t + b"x\ry,1,z\nx,-1,y\n"), ""),
    ],
    "Windows line ends": [(changed("trials.csv", lambda t: t.replace(b"\n", b"\r\n")), "")],
    "no curves": [(lambda study: (study / "curves.csv").unlink(), "rows are missing in curves.csv of 2")],
    "no curves of one": [(line(2, lambda t: b"", "curves.csv"), "rows are missing in curves.csv of 1")],
    "a curve cut": [
        (line(2, lambda t: half(t) + b"\n", "curves.csv"), "curves.csv: 1 damaged lines"),
        (NONE, "rows are missing in curves.csv of 1"),
    ],
    "file for the checkpoints": [(is_file(".state/stacks"), "")],
    "no state": [(lambda study: shutil.rmtree(study / ".state"), "")],
}


@pytest.mark.campaign
@pytest.mark.parametrize("case", MENDED)
def test_what_can_be_mended_is_and_the_rows_are_those_of_an_undisturbed_study(
    case: str, folder: Path, calm: Path
) -> None:
    study = folder / "results" / "s"
    for damage, _ in MENDED[case]:
        damage(study)
    said = command(folder, *MORE)
    check_went_on(said, *(part for _, part in MENDED[case]))
    assert said.out.count("note: ") == sum(part != "" for _, part in MENDED[case]), said.out
    mine, wanted = (read(f / "results" / "s").sort_values("trial", ignore_index=True) for f in (folder, calm))
    pd.testing.assert_frame_equal(mine.drop(columns=list(TIMING)), wanted.drop(columns=list(TIMING)))


def test_curves_that_are_missing_are_missed_even_where_nothing_else_is_left_to_train(folder: Path) -> None:
    study = folder / "results" / "s"
    (study / "curves.csv").unlink()
    said = command(folder, "results/s", module="runner.report")
    check_went_on(said, "curves.csv: is missing, with the rows of 2 trials")
    check_went_on(command(folder, *TWO), "rows are missing in curves.csv of 2: 2 search trials trained again")
    check_went_on(command(folder, *TWO), "already done")
    assert list(read(study, "curves")["epoch"]) == [1, 1]


def test_a_dry_run_refuses_what_the_run_would(folder: Path) -> None:
    (folder / "results" / "s" / "trials.csv").write_bytes(b"name,score\n")
    check_refused(command(folder, *MORE, "dry_run=true"), "not a records file")


def test_a_row_is_one_line_whatever_it_holds(tmp_path: Path) -> None:
    odd = 'two\nlines, "quoted"\r\0\u2028\x0c end'
    Records(tmp_path).append_trials([{"trial": name, "phase": "search", "status": "ok", "note": odd} for name in "ab"])
    assert Records(tmp_path).done() == {"a", "b"}
    assert (tmp_path / "trials.csv").read_bytes().count(b"\n") == 3
    assert list(read(tmp_path)["note"]) == ['two lines, "quoted"  \u2028\x0c end'] * 2
