"""`scripts/run` and `scripts/test` show how far an installation is, hide pip's chatter, and do it once."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# A Python that makes an environment of itself and whose pip prints what pip does, warnings about an index among it.
PYTHON = """#!/usr/bin/env bash
case "$*" in
    -c*) ;;
    --version) echo "Python 3.12.0" ;;
    *"-m venv --clear "*) rm -rf "${@: -1}"; mkdir -p "${@: -1}/bin"; cp "$0" "${@: -1}/bin/python" ;;
    *"-m pip --version") [ ! -e "$(dirname "$0")/no_pip" ] ;;
    *"-m pip install"*)
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
    assert lines[:3] == [
        "run: making .venv with Python 3.12.0",
        "run: installing the pinned packages into .venv (once; a few minutes)",
        "run: installing, package 1: torch==2.13.0",
    ]
    assert lines[-2] == "run: installing, unpacking 2 packages"
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
    assert prepare(clone, BROKEN="1").returncode == 1
    (clone / ".venv" / "bin" / "no_pip").touch()
    done = prepare(clone)
    assert done.returncode == 0, done.stderr
    assert "run: making .venv" in done.stderr
