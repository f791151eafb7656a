"""Where decoded data is kept: without a place nothing fails, a full one is tidied, and several processes may use it."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from runner.data.load import load
from tests.data.test_cache import folder, npz, picture, same


@pytest.mark.parametrize("asked", [True, False])
def test_without_a_place_to_keep_it_everything_is_read(
    asked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    blocked = tmp_path / "a file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    settings = folder(tmp_path / "data")
    settings = replace(settings, cache=str(blocked / "cache")) if asked else settings
    assert same(load(settings), load(replace(settings, cache="false")))
    said = capsys.readouterr().err
    assert ("cannot be kept" in said) is asked, "a small dataset is worth a word only if somebody named the folder"


def test_no_home_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def refuse() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", refuse)
    assert len(load(folder(tmp_path / "data")).test) == 24


def test_the_folder_is_the_users_or_the_one_that_was_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from runner.data.cache import home

    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("XDG_CACHE_HOME", "/there")
    assert home("false") is home("False") is None
    assert home("") == home("true") == Path("/there/adamw-runner")
    assert home("~/here") == Path("/home/me/here")
    for unset in ("", "relative"):  # which the XDG specification has programs ignore
        monkeypatch.setenv("XDG_CACHE_HOME", unset)
        assert home("") == Path("/home/me/.cache/adamw-runner")


def test_what_a_killed_process_left_is_removed_and_what_another_writes_is_not(tmp_path: Path, kept: Path) -> None:
    import fcntl

    kept.mkdir(parents=True)
    (kept / "dead.part").write_bytes(b"half")
    with (kept / "alive.part").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        load(npz(tmp_path / "data"))
        assert [path.name for path in kept.glob("*.part")] == ["alive.part"]


def test_the_oldest_go_when_the_folder_is_full(tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = npz(tmp_path / "data")
    load(settings)
    (oldest,) = kept.iterdir()
    monkeypatch.setattr("runner.data.cache.LIMIT", int(1.9 * oldest.stat().st_size))
    load(replace(settings, validation=0.2))
    os.utime(oldest, ns=(10**18, oldest.stat().st_mtime_ns))
    load(replace(settings, validation=0.3))
    assert len(list(kept.iterdir())) == 2
    assert not oldest.exists()


def test_several_processes_may_keep_the_same_data_at_once(tmp_path: Path, kept: Path) -> None:
    settings = folder(tmp_path / "data")
    expected, found = load(replace(settings, cache="false")), []
    threads = [threading.Thread(target=lambda: found.append(load(settings))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert all(same(one, expected) for one in found)
    assert len(list(kept.iterdir())) == 1


def test_nobody_writes_to_what_is_kept(tmp_path: Path, kept: Path) -> None:
    settings = npz(tmp_path / "data")
    load(settings)
    first = load(settings)
    first.train.x[:] = 0
    assert load(settings).train.x.any()


def test_a_change_while_the_files_are_read_is_not_kept(
    tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = folder(tmp_path / "data")
    whole = PIL.Image.open
    once = [None]

    def changing(fp: Any, *more: Any, **named: Any) -> Any:
        if once:
            once.clear()
            picture(tmp_path / "data" / "train" / "ant" / "0.bmp", 80)
        return whole(fp, *more, **named)

    monkeypatch.setattr(PIL.Image, "open", changing)
    load(settings)
    assert not list(kept.glob("*"))
