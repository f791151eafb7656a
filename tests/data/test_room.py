"""Data that does not fit into the memory that there is gets one line before it is read, not a kill while it is."""

from __future__ import annotations

import resource
from dataclasses import replace
from pathlib import Path

import PIL.Image
import pytest

from runner.data import room
from runner.data.load import load
from runner.errors import UserError
from tests.damage import check_refused, process
from tests.data.test_cache import MAKERS, folder

GROUP = {"memory.max": "1000000000", "memory.current": "990000000", "memory.stat": "anon 5\ninactive_file 4000000\n"}


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "available", lambda: 1000.0)


@pytest.mark.parametrize("name", MAKERS)
def test_every_kind_of_file_is_refused_before_it_is_read(name: str, tmp_path: Path, little: None) -> None:
    settings = replace(MAKERS[name](tmp_path / "data"), cache="false")
    with pytest.raises(UserError, match=r"dataset.*needs [\d.]+ [GM]B of memory to read, and 0.0 MB are free; \w"):
        load(settings)


def test_a_folder_is_not_opened_and_both_settings_are_named(
    tmp_path: Path, little: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = folder(tmp_path / "data")
    monkeypatch.setattr(PIL.Image, "open", lambda *_: pytest.fail("an image was opened"))
    with pytest.raises(UserError, match=r"dataset\.train=N .* dataset\.size=4"):
        load(settings)


def test_dataset_train_lowers_what_a_folder_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(folder(tmp_path / "data"), validation=0)
    monkeypatch.setattr(room, "available", lambda: 35 * 8 * 8 * 3 * room.COPIED)
    with pytest.raises(UserError, match="memory"):
        load(settings)
    assert len(load(replace(settings, train=10)).train) == 10


def test_what_is_in_the_cache_needs_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = folder(tmp_path / "data")
    load(settings)
    monkeypatch.setattr(room, "available", lambda: 0.0)
    assert len(load(settings).test) == 24


@pytest.mark.parametrize(
    ("lines", "place", "left"),
    [
        ("0::/a/b\n", "a", 14e6),
        ("0::/a/b\n", "", 14e6),
        ("0::/of/the/host\n", "", 14e6),
        ("0::/a/b\n", "elsewhere", float("inf")),
        ("", "a", float("inf")),
    ],
)
def test_limits_of_control_groups_count(
    lines: str, place: str, left: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / place).mkdir(exist_ok=True)
    for name, content in GROUP.items():
        (tmp_path / place / name).write_text(content)
    own = tmp_path / "own"
    own.write_text(lines)
    monkeypatch.setattr(room, "GROUPS", tmp_path)
    monkeypatch.setattr(room, "OWN", own)
    assert room._groups() == left


def test_version_one_of_control_groups_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "memory" / "job"
    folder.mkdir(parents=True)
    for name, content in (("limit", "1000"), ("usage", "400")):
        (folder / f"memory.{name}_in_bytes").write_text(content)
    (folder / "memory.stat").write_text("total_inactive_file 50\n")
    (tmp_path / "own").write_text("5:cpu:/job\n4:memory:/job\n")
    monkeypatch.setattr(room, "GROUPS", tmp_path)
    monkeypatch.setattr(room, "OWN", tmp_path / "own")
    assert room._groups() == 650


def test_a_machine_that_says_nothing_has_no_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MACHINE", tmp_path / "none")
    monkeypatch.setattr(room, "OWN", tmp_path / "none")
    assert room.machine_memory() == room._groups() == float("inf")


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (3 * 2**30, 3 * 2**30))


def test_a_command_says_it_in_one_line(tmp_path: Path) -> None:
    """A text of 4 GB, without a byte on the disk."""
    with (tmp_path / "book.txt").open("wb") as file:
        file.truncate(4 * 2**30)
    said = process(tmp_path, "model=transformer", "dataset=text", "dataset.path=book.txt", before=limited)
    check_refused(said, "dataset.path=book.txt", "needs 9.9 GB of memory")
