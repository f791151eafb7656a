"""A run ends with its rows, its report and its own status, whatever becomes of what it prints."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runner.execution import provenance
from tests.damage import TWO, command, rows

REPORT = "results/s/generalization.md"
ENDS = {
    "a closed pipe": "| true",
    "a full disk": ">/dev/full",
    "no output": ">&-",
    "no errors": "2>&-",
    "neither": ">&- 2>&-",
    "neither, nor input": "<&- >&- 2>&-",
    "errors to a full disk": "2>/dev/full",
}


def shell(folder: Path, line: str) -> subprocess.CompletedProcess[bytes]:
    """A line of bash, whose status is that of the first command of a pipe."""
    words = ["bash", "-c", f"set -o pipefail; {line}"]
    return subprocess.run(words, cwd=folder, capture_output=True, check=False)


def redirected(end: str) -> None:
    """What bash does for a word of `ENDS`, and Python then makes of it, done in a fork, which is spared the imports."""
    for word in end.split():
        number = {"<": 0, "2": 2}.get(word[0], 1)
        if word in ("|", "true"):
            reader, writer = os.pipe()
            os.close(reader)
            os.dup2(writer, 1)
        elif word.endswith("/dev/full"):
            os.dup2(os.open("/dev/full", os.O_WRONLY), number)
        else:
            os.close(number)
            setattr(sys, ("stdin", "stdout", "stderr")[number], None)


# A Python of its own meets the worst two ends: a pipe at which it may be killed, and numbers that its own files get.
@pytest.mark.parametrize("end", ["a closed pipe", "neither, nor input"])
def test_a_run_of_its_own_python_is_finished_whatever_becomes_of_its_output(end: str, tmp_path: Path) -> None:
    done = shell(tmp_path, f"{sys.executable} -m runner {' '.join(TWO)} {ENDS[end]}")
    check_finished(tmp_path, end, done.returncode, done.stderr.decode())


@pytest.mark.parametrize("end", ENDS)
def test_a_run_is_finished_whatever_becomes_of_its_output(end: str, tmp_path: Path) -> None:
    said = command(tmp_path, *TWO, before=functools.partial(redirected, ENDS[end]))
    check_finished(tmp_path, end, said.code, said.err)


def check_finished(folder: Path, end: str, code: int | None, err: str) -> None:
    assert code == 0, err
    assert len(rows(folder)) == 2
    assert (folder / REPORT).exists()
    lost = end in ("a closed pipe", "a full disk")
    said = err.splitlines()
    assert len(said) == lost, said
    assert all(line.startswith("runner: standard output is lost") for line in said)


def encoded(encoding: str) -> None:
    """As PYTHONIOENCODING has it; what the tests read afterwards are the same bytes."""
    sys.stdout.reconfigure(encoding=encoding, errors="strict")  # type: ignore[union-attr]
    sys.stderr.reconfigure(encoding=encoding)  # type: ignore[union-attr]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "koi8-r"])
def test_what_a_terminal_cannot_show_is_replaced(encoding: str, two: Path) -> None:
    for module, words in (("runner", TWO), ("runner.report", ["results/s"])):
        said = command(two, *words, module=module, before=functools.partial(encoded, encoding), encoding=encoding)
        assert (said.code, said.err) == (0, "")
        assert "AdamW" in said.out
        assert "?" in said.out or "–" in said.out or "±" in said.out


@pytest.mark.parametrize("words", ["runner --help", "runner.report --help", "runner.rerun --help", "runner --cfg job"])
@pytest.mark.parametrize("end", ["| true", ">/dev/full", ">&-", "2>&-"])
def test_other_commands_end_quietly_too(words: str, end: str, two: Path) -> None:
    done = shell(two, f"{sys.executable} -m {words} {end}")
    check_quiet(done.returncode, done.stderr.decode())


@pytest.mark.parametrize("end", ["| true", ">/dev/full", ">&-", "2>&-"])
def test_a_report_ends_quietly_too(end: str, two: Path) -> None:
    said = command(two, "results/s", module="runner.report", before=functools.partial(redirected, end))
    check_quiet(said.code, said.err)


def check_quiet(code: int | None, err: str) -> None:
    assert code == 0, err
    assert "Traceback" not in err
    assert err.count("\n") <= 1, err


@pytest.mark.parametrize("words", ["-h", "--version", "dry_run=true"])
@pytest.mark.parametrize("end", ["| head -1", ">&-"])
def test_a_reader_who_has_had_enough_of_a_text_is_no_problem(words: str, end: str, tmp_path: Path) -> None:
    """`python -m runner -h | head -1` said that standard output is lost."""
    done = shell(tmp_path, f"{sys.executable} -m runner {words} {end}")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(b"\n") <= 1


def test_the_version_is_that_of_this_program(tmp_path: Path) -> None:
    done = shell(tmp_path, f"{sys.executable} -m runner --version")
    assert done.stdout.decode().startswith(f"adamw-runner {provenance.version()} (")


def test_a_status_that_is_not_0_stays_when_output_is_lost(tmp_path: Path) -> None:
    assert shell(tmp_path, f"{sys.executable} -m runner lr=abc 2>/dev/full").returncode == 2
    assert shell(tmp_path, f"{sys.executable} -m runner.report nothing 2>&- >&-").returncode == 2
