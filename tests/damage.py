"""Commands on damaged files: `command(folder, ...)` runs the command line, `check_refused(said)` checks how it ended.

A command is a fork of a process that has imported everything, so that it takes a second; it is the same `main` with
the same arguments, output and exit status. `process(...)` is `python -m runner` itself.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from runner.records.schema import TIMING
from runner.system.streams import guarded

MOUNTS = "cannot mount a file system here"
# The smallest study: two trials of one shape in one stack, of one epoch each.
FAST = ("epochs=1", "model.width=4", "dataset.train=20", "dataset.test=1700", "study=s", "workers=1")
QUICK = (*FAST, "exact=true")  # so that trials asked for one by one end in the same rows
TWO = ("seed=[0,1]", *QUICK)
MORE = ("seed=[0,1,2]", *QUICK)  # the same two and another


Damage = Callable[[Path], Any]  # of a file or a study's folder


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it said."""

    code: int | None
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


def command(
    folder: Path,
    *arguments: str,
    before: Callable[[], None] | None = None,
    module: str = "runner",
    encoding: str = "utf-8",
) -> Said:
    """`python -m MODULE ARGUMENTS` in `folder`; `before` is called in the process, and must be a module's function."""
    (said,) = commands(1, folder, *arguments, before=before, module=module, encoding=encoding)
    return said


def commands(
    count: int,
    folder: Path,
    *arguments: str,
    before: Callable[[], None] | None = None,
    module: str = "runner",
    encoding: str = "utf-8",
) -> list[Said]:
    """The same command several times at once, whose output is read as `encoding`."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.preloaded"])
    ends = [(folder / f"stdout{n}.txt", folder / f"stderr{n}.txt") for n in range(count)]
    children = [context.Process(target=_main, args=(folder, *end, module, arguments, before)) for end in ends]
    for child in children:
        child.start()
    found = []
    for child, (out, err) in zip(children, ends, strict=True):
        child.join()
        found.append(Said(child.exitcode, out.read_text(encoding), err.read_text(encoding)))
        out.unlink()
        err.unlink()
    return found


def _main(
    folder: Path, out: Path, err: Path, module: str, arguments: tuple[str, ...], before: Callable[[], None] | None
) -> None:
    os.chdir(folder)
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
    sys.argv = [module, *arguments]
    if before is not None:
        before()
    if module == "runner":
        from runner.__main__ import main

        main()
    else:
        from runner.report.__main__ import main as report

        with guarded("runner.report"):
            sys.exit(report(arguments))


def process(folder: Path, *arguments: str, before: Callable[[], None] | None = None, module: str = "runner") -> Said:
    """The same, in a Python of its own, of any `module`."""
    words = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, preexec_fn=before)
    return Said(done.returncode, done.stdout, done.stderr)


def check_refused(said: Said, *parts: str) -> str:
    """The one line of a refusal: with these parts in it, nothing else on stderr, and status 2."""
    assert "Traceback" not in said.text, said.text
    lines = [line for line in said.text.splitlines() if line.startswith("runner: ")]
    assert len(lines) == 1, said.text
    assert said.code == 2, said.text
    assert len(lines[0]) < 500, lines[0]
    for part in parts:
        assert part in lines[0], lines[0]
    return lines[0]


def check_went_on(said: Said, *parts: str) -> None:
    """A command that mended what was wrong, and said so."""
    assert "Traceback" not in said.text, said.text
    assert said.code == 0, said.text
    for part in parts:
        assert part in said.text, said.text


def rows(folder: Path, table: str = "trials") -> pd.DataFrame:
    """All cells as text, but those of time and place."""
    frame = pd.read_csv(folder / "results" / "s" / f"{table}.csv", dtype=str, keep_default_na=False)
    keys = ["trial", *(["epoch"] if table == "curves" else [])]
    return frame.drop(columns=list(TIMING), errors="ignore").sort_values(keys).reset_index(drop=True)


def half(text: bytes) -> bytes:
    return text[: len(text) // 2]


def mounted(folder: Path, size: str) -> None:
    """A file system of `size` at `folder`, in memory; the test is skipped where that is not allowed."""
    folder.mkdir(exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        done = subprocess.run(words, capture_output=True)
    except FileNotFoundError:
        pytest.skip(MOUNTS)
    if done.returncode:
        pytest.skip(MOUNTS)


def remounted(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True, capture_output=True)


def unmounted(folder: Path) -> None:
    subprocess.run(["umount", "-l", str(folder)], check=True, capture_output=True)
