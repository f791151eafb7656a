"""Benchmarks and studies for machines that no test runs on can at least be started."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).parents[2] / "scripts"
OWN_PACKAGES = {"parity", "parity_peers"}  # import Keras and optax, and are run by tests of their own


def test_every_script_finds_what_it_imports() -> None:
    names = sorted({path.stem for path in SCRIPTS.glob("*.py")} - OWN_PACKAGES)
    assert "bench_stack" in names
    code = f"import {', '.join(names)}"
    said = subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
