"""Comparisons with other libraries: `python scripts/parity NAME [--help]`; without a name, a list of them."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.commands import run

if __name__ == "__main__":
    run("parity", ("table", "tools"))
