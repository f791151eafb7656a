"""The benchmarks: `python scripts/bench NAME [--help]`; without a name, a list of them."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.commands import run

NAMES = "start step plot stack trials growth profile shapes modules sparse lomo records plan signal conv peer".split()

if __name__ == "__main__":
    run("bench", NAMES)
