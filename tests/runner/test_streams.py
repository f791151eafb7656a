"""A run ends with its rows, its report and its own status, whatever becomes of what it prints."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runner import stamps
from tests.runner.damage import TWO, rows

REPORT = "results/s/generalization.md"
HELP = [f"{module} --help" for module in ("runner", "runner.report", "runner.rerun")]
ENDS = {
    "a closed pipe": "| true",
    "a full disk": ">/dev/full",
    "no output": ">&-",
    "no errors": "2>&-",
    "neither": ">&- 2>&-",
    "neither, nor input": "<&- >&- 2>&-",
    "errors to a full disk": "2>/dev/full",
}


def shell(folder: Path, line: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """A line of bash, whose status is that of the first command of a pipe."""
    words = ["bash", "-c", f"set -o pipefail; {line}"]
    return subprocess.run(words, cwd=folder, env=os.environ | environment, capture_output=True, check=False)


@pytest.mark.parametrize("end", ENDS)
def test_a_run_is_finished_whatever_becomes_of_its_output(end: str, tmp_path: Path) -> None:
    done = shell(tmp_path, f"{sys.executable} -m runner {' '.join(TWO)} {ENDS[end]}")
    assert done.returncode == 0, done.stderr.decode()
    assert len(rows(tmp_path)) == 2
    assert (tmp_path / REPORT).exists()
    lost = end in ("a closed pipe", "a full disk")
    said = done.stderr.decode().splitlines()
    assert len(said) == lost, said
    assert all(line.startswith("runner: standard output is lost") for line in said)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "koi8-r"])
def test_what_a_terminal_cannot_show_is_replaced(encoding: str, tmp_path: Path, two: Path) -> None:
    for module, words in (("runner", " ".join(TWO)), ("runner.report", "results/s")):
        done = shell(two, f"{sys.executable} -m {module} {words}", PYTHONIOENCODING=encoding)
        assert (done.returncode, done.stderr) == (0, b"")
        text = done.stdout.decode(encoding)
        assert "AdamW" in text
        assert "?" in text or "–" in text or "±" in text


@pytest.mark.parametrize(
    "words",
    ["runner --help", "runner.report --help", "runner.rerun --help", "runner.report results/s", "runner --cfg job"],
)
@pytest.mark.parametrize("end", ["| true", "| head -1", ">/dev/full", ">&-", "2>&-"])
def test_other_commands_end_quietly_too(words: str, end: str, two: Path) -> None:
    done = shell(two, f"{sys.executable} -m {words} {end}")
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr
    assert done.stderr.count(b"\n") == (end == ">/dev/full"), done.stderr


@pytest.mark.parametrize("words", ["-h", "--version", "--hydra-help", "--info defaults", "-h lr=1", "dry_run=true"])
@pytest.mark.parametrize("end", ["| head -1", "| true", ">&-"])
def test_a_reader_who_has_had_enough_of_a_text_is_no_problem(words: str, end: str, tmp_path: Path) -> None:
    """`python -m runner -h | head -1` said that standard output is lost."""
    done = shell(tmp_path, f"{sys.executable} -m runner {words} {end}")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(b"\n") <= 1


def test_the_version_is_that_of_this_program(tmp_path: Path) -> None:
    done = shell(tmp_path, f"{sys.executable} -m runner --version")
    assert done.stdout.decode().startswith(f"adamw-runner {stamps.version()} (")


def test_a_status_that_is_not_0_stays_when_output_is_lost(tmp_path: Path) -> None:
    assert shell(tmp_path, f"{sys.executable} -m runner lr=abc 2>/dev/full").returncode == 2
    assert shell(tmp_path, f"{sys.executable} -m runner.report nothing 2>&- >&-").returncode == 2
