"""The kernel that runs on a GPU computes what it should: the claims of `interpreted_kernel`, without a GPU.

They run in a process of their own, because Triton must be told to interpret before it is first imported.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="Triton is not installed, so its interpreter cannot run the kernel")

ROOT = Path(__file__).parents[2]
FILE = Path(__file__).with_name("interpreted_kernel.py")
CLAIMS = re.findall(r"^ *def (test_\w+)", FILE.read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> str:
    cache = str(tmp_path_factory.mktemp("triton"))
    command = [sys.executable, "-m", "pytest", str(FILE), "-vv", "--tb=short", "-p", "no:cacheprovider"]
    environment = os.environ | {"TRITON_INTERPRET": "1", "TRITON_CACHE_DIR": cache}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize("claim", CLAIMS)
def test_interpreted(claim: str, printed: str) -> None:
    outcomes = re.findall(rf"::{claim}(?:\[\S*\])? (\w+)", printed)
    if set(outcomes) == {"SKIPPED"}:
        pytest.skip("exact only where the interpreter (Triton 3.9) and the CPU have a true fma")
    assert set(outcomes) == {"PASSED"}, printed
