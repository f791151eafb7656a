"""Test files that need a process of their own: what they claim, and how each claim came out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def claims(file: Path) -> list[str]:
    """The tests in a file that pytest does not collect by itself."""
    return re.findall(r"^ *def (test_\w+)", file.read_text(), re.MULTILINE)


def printed(file: Path, folder: Path, **environment: str) -> str:
    """What pytest says of the file, run beside us; `folder` is for Triton's compilations."""
    command = [sys.executable, "-m", "pytest", str(file), "-vv", "--tb=short", "-p", "no:cacheprovider"]
    env = os.environ | {"TRITON_CACHE_DIR": str(folder)} | environment
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=ROOT, check=False)
    return done.stdout + done.stderr


def assert_passed(claim: str, said: str, skipped: str) -> None:
    """Fail unless all cases of the claim passed; skip, saying why, if none was tried."""
    outcomes = re.findall(rf"::{claim}(?:\[[^\]]*\])? (\w+)", said)
    if set(outcomes) == {"SKIPPED"}:
        pytest.skip(skipped)
    assert set(outcomes) == {"PASSED"}, said
