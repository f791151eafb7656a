"""Test files that need a process of their own: what they claim, and how each claim came out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SIMULATORS = ROOT / "tests" / "simulators"


def claims(*files: Path) -> list[str]:
    """The tests in files that pytest does not collect by itself."""
    return [claim for file in files for claim in re.findall(r"^ *def (test_\w+)", file.read_text(), re.MULTILINE)]


def printed(folder: Path, *files: Path, **environment: str) -> str:
    """What pytest says of the files, run beside us; `folder` is for Triton's compilations."""
    command = [sys.executable, "-m", "pytest", *map(str, files), "-vv", "--tb=short", "-p", "no:cacheprovider"]
    env = os.environ | {"TRITON_CACHE_DIR": str(folder)} | environment
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=ROOT, check=False)
    return done.stdout + done.stderr


def assert_passed(claim: str, said: str, skipped: str) -> None:
    """Fail unless all cases of the claim passed; skip, saying why, if none was tried."""
    outcomes = re.findall(rf"::{claim}(?:\[[^\]]*\])? (\w+)", said)
    if set(outcomes) == {"SKIPPED"}:
        pytest.skip(skipped)
    assert set(outcomes) == {"PASSED"}, said
