"""A file that is replaced is the old one or the new one at every instant, and nothing else is left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runner.system.files import draft_of, replacing, set_aside


@pytest.mark.parametrize("alone", [False, True])
def test_a_file_is_replaced_when_its_draft_is_whole(alone: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")
    with replacing(path, alone) as draft:
        draft.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_draft_that_is_not_finished_goes_and_the_file_stays(error: type[BaseException], tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")

    def write() -> None:
        with replacing(path) as draft:
            draft.write_text("ne")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_kill_left_of_a_draft_is_written_over(tmp_path: Path) -> None:
    draft_of(tmp_path / "a").write_text("half of it, and more than the next")
    with replacing(tmp_path / "a", alone=True) as draft, draft.open("xb") as file:
        file.write(b"whole")
    assert (tmp_path / "a").read_bytes() == b"whole"
    assert os.listdir(tmp_path) == ["a"]


def test_what_is_set_aside_takes_the_first_free_name(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / "a").write_text(str(number))
        assert set_aside(tmp_path / "a").name == f"a.old{number}"
    assert not (tmp_path / "a").exists()
