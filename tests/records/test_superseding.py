"""A later row supersedes an earlier one, in every reader, parts included; a failed row is no result and hides none."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.execution.cluster.merge import Merger
from runner.records import parts
from runner.records.read import read
from runner.records.records import Records
from runner.records.superseding import merged, supersede
from runner.system.files import append

LAUNCH = "20260102T030405Z"


def row(trial: str, status: str = "ok", **more: object) -> dict[str, object]:
    return {"study": "s", "trial": trial, "phase": "search", "status": status, **more}


def curve(trial: str, *epochs: int, loss: float = 1.0) -> list[dict[str, object]]:
    return [{"trial": trial, "epoch": epoch, "step": 10 * epoch, "val_loss": loss, "seconds": loss} for epoch in epochs]


def job(folder: Path, shard: int = 1) -> tuple[Records, Path]:
    name = parts.new(LAUNCH, shard)
    return Records(folder, name), parts.home(folder, name)


def test_a_failed_row_is_no_result_and_the_next_row_supersedes_it(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.append_trials([row("a", "failed", note="once"), row("b")])
    assert records.done() == {"b"}
    before = records.failed()
    assert records.ended(before) == {"b"}
    records.append_trials([row("a", "failed", note="twice")])
    assert records.done() == {"b"}
    assert records.ended(before) == {"a", "b"}  # tried once in a command, and no more
    assert list(read(tmp_path)["note"]) == ["", "twice"]
    records.append_trials([row("a", note="at last")])
    assert Records(tmp_path).done() == records.done() == {"a", "b"}
    assert sorted(read(tmp_path)["note"]) == ["", "at last"]
    assert (tmp_path / "trials.csv").read_text().count("\n") == 5


@pytest.mark.parametrize("status", ["ok", "diverged"])
def test_a_failed_row_never_supersedes_a_result(status: str, tmp_path: Path) -> None:
    records, part = job(tmp_path)
    Records(tmp_path).append_trials([row("a", status)])
    with (tmp_path / "trials.csv").open("a") as file:
        file.write((tmp_path / "trials.csv").read_text().splitlines()[1].replace(f",{status},", ",failed,") + "\n")
    (part / "trials.csv").write_text((tmp_path / "trials.csv").read_text().replace(f",{status},", ",failed,"))
    assert list(read(tmp_path)["status"]) == [status]
    assert records.done() == Records(tmp_path).done() == {"a"}
    parts.end(part)
    Merger(tmp_path).merge()
    assert list(read(tmp_path)["status"]) == [status]


def test_what_is_opened_again_keeps_its_row_until_another_comes_from_whoever(tmp_path: Path) -> None:
    study, other = Records(tmp_path), Records(tmp_path)
    records, part = job(tmp_path)
    study.append_trials([row("a", started="1"), row("b", started="1")])
    assert study.reopen(["a", "none"]) == {"a"}
    assert study.done() == other.done() == records.done() == {"b"}
    assert list(read(tmp_path)["started"]) == ["1", "1"]
    records.append_trials([row("a", started="2"), row("b", started="2")])
    assert study.done() == other.done() == records.done() == {"a", "b"}
    found = read(tmp_path).set_index("trial")["started"]
    assert found.to_dict() == {"a": "2", "b": "1"}
    parts.end(part)
    Merger(tmp_path).merge()
    assert read(tmp_path).set_index("trial")["started"].to_dict() == found.to_dict()
    # A job's part that is merged and still there says nothing about what came after it.
    study.reopen(["a"])
    study.append_trials([row("a", started="3")])
    part.mkdir(parents=True)
    lines = (tmp_path / "trials.csv").read_text().splitlines(keepends=True)
    (part / "trials.csv").write_text(lines[0] + next(line for line in lines if ",2," in line))
    assert read(tmp_path).set_index("trial")["started"].to_dict() == {"a": "3", "b": "1"}
    assert Records(tmp_path).done() == {"a", "b"}


def test_a_new_attempt_supersedes_the_curve_of_the_earlier_one_to_its_end(tmp_path: Path) -> None:
    Records(tmp_path).append_curves(curve("a", *range(1, 13)) + curve("b", 1, 2))
    again = Records(tmp_path)
    again.append_curves(curve("a", 1, loss=2.0))
    again.append_curves(curve("a", 2, 3, loss=2.0))
    found = read(tmp_path, "curves")
    assert list(found[found["trial"] == "a"]["epoch"]) == [1, 2, 3]
    assert set(found[found["trial"] == "a"]["val_loss"]) == {2.0}
    assert list(found[found["trial"] == "b"]["epoch"]) == [1, 2]
    assert again.has_curves(["a"], {1, 2, 3})
    assert not Records(tmp_path).has_curves(["a"], {1, 2, 3, 4})
    assert (tmp_path / "curves.csv").read_text().count("\n") == 1 + 14 + 3


@given(st.lists(st.integers(0, 6), max_size=12), st.integers(0, 12))
def test_the_counts_of_rows_are_those_of_the_last_attempt(written: list[int], cut: int) -> None:
    """Against a set; and the counts of a second file are those of its own rows, written after the first."""

    def counted(some: list[int]) -> set[int]:
        counts: set[int] = set()
        for count in some:
            counts = {other for other in counts if other < count} | {count} if count in counts else counts | {count}
        return counts

    files = array("i"), array("i")
    for place, count in enumerate(written):
        supersede(files[place >= cut], count)
    for file, some in zip(files, (written[:cut], written[cut:]), strict=True):
        assert list(file) == sorted(counted(some))
    first, second = map(set, files)
    repeated = min(first & second, default=7)
    assert set(merged(files)) == {count for count in first if count < repeated} | second


def test_what_is_equal_but_for_its_time_is_not_written_again(tmp_path: Path) -> None:
    Records(tmp_path).append_curves(curve("a", 1, 2, 3))
    before = (tmp_path / "curves.csv").read_bytes()
    again = Records(tmp_path)
    again.append_curves([line | {"seconds": 77.0} for line in curve("a", 2, 3)])
    assert (tmp_path / "curves.csv").read_bytes() == before
    again.append_curves(curve("a", 4))
    assert list(read(tmp_path, "curves")["epoch"]) == [1, 2, 3, 4]


def test_a_later_job_goes_on_or_begins_again_and_its_rows_count(tmp_path: Path) -> None:
    Records(tmp_path).append_curves(curve("a", 1, 2, 3, 4))
    records, part = job(tmp_path)
    records.append_curves(curve("a", 3, loss=2.0))
    for _ in range(2):
        assert list(read(tmp_path, "curves")["val_loss"]) == [1.0, 1.0, 2.0]
        assert records.has_curves(["a"], {1, 2, 3}) if part.exists() else True
        parts.end(part)
        Merger(tmp_path).merge()
    assert not part.exists()


def test_a_diverged_trial_has_no_epochs_behind_its_end(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.append_curves(curve("a", *range(1, 7)))
    records.append_trials([row("a", "diverged", steps=25, train_size=100, batch_size=10, epochs=6)])
    assert list(read(tmp_path, "curves")["epoch"]) == [1, 2]


def broken(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda part: (part / name).write_bytes(change((part / name).read_bytes())) and None


BAD = {
    "a status": broken("trials.csv", lambda text: text.replace(b",ok,", b",oj,", 1)),
    "a number": broken("curves.csv", lambda text: text.replace(b",10,", b",1o,", 1)),
    "an epoch": broken("curves.csv", lambda text: text.replace(b"a,1,", b"a,one,", 1)),
    "a line cut": broken("trials.csv", lambda text: text.replace(b"s,a,search,ok", b"s,a\ns,x,search,ok", 1)),
}


@pytest.mark.parametrize("case", BAD)
def test_one_bad_cell_of_an_ended_job_costs_that_row_and_nothing_is_removed(case: str, tmp_path: Path) -> None:
    records, part = job(tmp_path)
    records.append_curves(curve("a", 1) + curve("b", 1) + curve("c", 1))
    records.append_trials([row("a"), row("b"), row("c")])
    BAD[case](part)
    damaged = {path.name: path.read_bytes() for path in part.glob("*.csv")}
    parts.end(part)
    Merger(tmp_path).merge()
    trials, curves = set(read(tmp_path)["trial"]), set(read(tmp_path, "curves")["trial"])
    assert trials >= {"b", "c"}
    assert curves >= {"b", "c"}
    (kept,) = (tmp_path / ".state" / "parts").iterdir()
    assert {path.name: path.read_bytes() for path in kept.glob("*.csv")} == damaged
    assert parts.of(tmp_path) == []


def test_a_part_that_cannot_be_read_for_once_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records, part = job(tmp_path)
    records.append_curves(curve("a", 1, 2))
    records.append_trials([row("a")])
    parts.end(part)
    honest = Path.open

    def refuse(self: Path, *arguments: str) -> object:
        if self == part / "curves.csv":
            raise OSError(5, "Input/output error", str(self))
        return honest(self, *arguments)  # type: ignore[call-overload]

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        Merger(tmp_path).merge()
    assert (part / "trials.csv").exists()
    assert (part / "curves.csv").exists()
    Merger(tmp_path).merge()
    assert list(read(tmp_path)["trial"]) == ["a"]
    assert list(read(tmp_path, "curves")["epoch"]) == [1, 2]
    assert not part.exists()


def test_a_whole_last_row_counts_without_its_newline_and_a_torn_number_does_not(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.append_trials([row("a"), row("b")])
    records.append_curves(curve("a", 1, 2))
    for name in ("trials.csv", "curves.csv"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes().removesuffix(b"\n"))
    assert list(read(tmp_path)["trial"]) == ["a", "b"]
    assert list(read(tmp_path, "curves")["epoch"]) == [1, 2]
    again = Records(tmp_path)
    assert again.done() == {"a", "b"}
    again.append_trials([row("c")])
    again.append_curves(curve("a", 3))
    assert list(read(tmp_path)["trial"]) == ["a", "b", "c"]
    append(tmp_path / "curves.csv", b"a,4,40" + b"," * 12 + b"1e-")
    assert list(read(tmp_path, "curves")["epoch"]) == [1, 2, 3]
    assert again.has_curves(["a"], {1, 2, 3})
    assert not again.has_curves(["a"], {4})
