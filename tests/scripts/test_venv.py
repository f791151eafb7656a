"""`scripts/run` and `scripts/test` show how far an installation is, hide pip's chatter, and do it once."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# A Python that makes an environment of itself and whose pip prints what pip does, warnings about an index among it.
PYTHON = """#!/usr/bin/env bash
case "$*" in
    -c*) ;;
    --version) echo "Python 3.12.0" ;;
    *"-m venv "*)
        mkdir -p "${@: -1}/bin"; cp "$0" "${@: -1}/bin/python"
        if [ -n "${KILLED:-}" ]; then touch "${@: -1}/bin/no_pip"; kill -KILL "$PPID"; exit; fi
        rm -f "${@: -1}/bin/no_pip"
        ;;
    *"-m pip --version") [ ! -e "$(dirname "$0")/no_pip" ] ;;
    *"-m pip install"*)
        sleep "${SILENT:-0}"
        echo "WARNING: Location 'file:///index' is ignored: it is neither a file nor a directory."
        echo "Collecting torch==2.13.0 (from adamw-runner==0.1.0)"
        echo "  Downloading torch-2.13.0-cp312.whl (187 MB)"
        echo "Collecting numpy (from adamw-runner==0.1.0)"
        if [ -n "${BROKEN:-}" ]; then echo "ERROR: No matching distribution found for numpy"; exit 1; fi
        echo "Installing collected packages: numpy, torch"
        ;;
esac
"""
RUN = """#!/usr/bin/env bash
set -euo pipefail
root=ROOT
. "$root/scripts/venv.sh"
prepare ""
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What `prepare` needs of a clone, and a script that calls it."""
    (tmp_path / "scripts").mkdir()
    for name in ("constraints.txt", "pyproject.toml", "scripts/venv.sh"):
        shutil.copy(ROOT / name, tmp_path / name)
    for name, text in {
        "python": PYTHON,
        "scripts/run": RUN.replace("ROOT", str(tmp_path)),
    }.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return tmp_path


def prepare(clone: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": "/usr/bin:/bin", "PYTHON": str(clone / "python"), **environment}
    return subprocess.run([clone / "scripts" / "run"], env=env, capture_output=True, text=True)


def test_an_installation_shows_how_far_it_is_and_nothing_of_pips_warnings(clone: Path) -> None:
    done = prepare(clone)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert [re.sub(r"\d+ s$", "0 s", line) for line in lines[:3]] == [
        "run: making .venv with Python 3.12.0",
        "run: installing the pinned packages into .venv (once; a few minutes)",
        "run: installing, package 1: torch==2.13.0, 0 s",
    ]
    assert lines[-2].startswith("run: installing, unpacking 2 packages, ")
    assert lines[-1].startswith("run: installed in ")
    assert "WARNING" not in done.stderr
    assert "WARNING: Location" in (clone / ".venv" / "install.log").read_text()
    assert prepare(clone).stderr == ""  # once


def test_an_installation_that_fails_says_why_and_is_tried_again(clone: Path) -> None:
    done = prepare(clone, BROKEN="1")
    assert done.returncode == 1
    assert "run: pip could not install them; the end of .venv/install.log:" in done.stderr
    assert done.stderr.endswith("ERROR: No matching distribution found for numpy\n")
    assert prepare(clone).returncode == 0


def test_an_environment_that_was_killed_while_it_was_made_is_made_anew(clone: Path) -> None:
    assert prepare(clone, KILLED="1").returncode == -signal.SIGKILL
    assert (clone / ".venv" / "bin" / "no_pip").exists()
    done = prepare(clone)
    assert done.returncode == 0, done.stderr
    assert "run: making .venv" in done.stderr


def test_a_kill_before_the_mark_leaves_an_empty_folder_and_is_mended_too(clone: Path) -> None:
    (clone / ".venv").mkdir()
    done = prepare(clone)
    assert done.returncode == 0, done.stderr
    assert "run: making .venv" in done.stderr


def test_an_environment_of_somebody_elses_is_left_alone(clone: Path) -> None:
    (clone / ".venv").mkdir()
    (clone / ".venv" / "precious").touch()
    done = prepare(clone)
    assert done.returncode == 1
    assert "is there and has no pip" in done.stderr
    assert [path.name for path in (clone / ".venv").iterdir()] == ["precious"]


def test_an_index_that_does_not_answer_is_not_waited_for_in_silence(clone: Path) -> None:
    done = prepare(clone, SILENT="3", PROGRESS_SECONDS="1")
    assert done.returncode == 0, done.stderr
    assert "run: installing, asking the package index, " in done.stderr
