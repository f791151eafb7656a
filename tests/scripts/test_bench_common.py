"""What the benchmarks share: turns are fair, tables can be read, commands are timed, wrong options are refused."""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

import pytest

from runner.records import read
from scripts.bench.common import Table, command, options, refuse_unknown, turns, wholes
from scripts.bench.made_up import study


def test_calls_take_turns_and_warm_rounds_do_not_count() -> None:
    order: list[str] = []

    def call(name: str) -> float:
        order.append(name)
        return float(len(order))

    results = turns({"a": lambda: call("a"), "b": lambda: call("b")}, 2, warm=1, before=lambda: order.append("-"))
    assert "".join(order) == "-ab-ab-ab"
    assert results == {"a": [5.0, 8.0], "b": [6.0, 9.0]}


def test_a_table_shows_some_columns_and_writes_all_of_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new" / "rows.csv"
    table = Table("name:<6 value:,.1f", path)
    table.add({"name": "one", "value": 1234.56, "torch": "2"})
    table.add({"name": "two", "value": None, "torch": "2"})
    assert capsys.readouterr().out.splitlines() == ["name      value", "one     1,234.6", "two"]
    with path.open(newline="") as file:
        assert [row["torch"] for row in csv.DictReader(file)] == ["2", "2"]


def test_a_command_has_its_words_and_its_own_memory() -> None:
    ended = command([sys.executable, "-c", "import sys; x = bytearray(2**26); print('said'); sys.exit(3)"], 3)
    assert ended.text == "said\n"
    assert ended.mib > 64
    assert ended.seconds > 0


def test_a_command_that_fails_ends_the_benchmark_with_its_words() -> None:
    with pytest.raises(SystemExit, match=r"(?s)ended with 4:.*why"):
        command([sys.executable, "-c", "import sys; print('why'); sys.exit(4)"])


@pytest.mark.parametrize("text", ["0", "1,,2", "two", "-1"])
def test_numbers_are_whole_and_positive(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="must be a whole number"):
        wholes(text)


def test_an_unknown_name_is_refused_with_those_that_are_known(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        refuse_unknown(options("A benchmark."), "case", ["digit"], ("digits", "grid"))
    assert "unknown case digit: choose from digits, grid" in capsys.readouterr().err


def test_a_made_up_study_is_read_as_a_real_one(tmp_path: Path) -> None:
    ids = study(tmp_path / "s", 3, 2)
    assert list(read.read(tmp_path / "s")["trial"]) == ids
    assert len(read.read(tmp_path / "s", "curves")) == 6
