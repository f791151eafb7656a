#!/usr/bin/env python3
"""What the rows of `scripts/bench_stack.py --csv` decide: `python scripts/gpu_decide.py STACK.csv`, a line for each.

Who computes a stack's convolutions: lanes, if they take less than 0.9 of what the grouped stack takes, for they
cost memory and time to record. Whether cuDNN tries its algorithms: if that gains over 5 %, for to try takes time again
in every command. Both were settled before the first measurement, so that no result picks its own rule.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping
from pathlib import Path

LANES, BENCHMARK = 0.9, 0.95  # of the time without


def decision(ms: Mapping[str, float]) -> str:
    """Milliseconds for each trial by way; says why where a figure is missing."""
    if "stack" not in ms:
        return "not decided: stack was not measured"
    plain, why = "stack", "lanes were not measured"
    if "lanes" in ms:
        share = ms["lanes"] / ms["stack"]
        plain, why = "lanes" if share < LANES else "stack", f"lanes take {share:.2f} of stack"
    tried = f"{plain}+benchmark"
    if tried not in ms:
        return f"{plain} ({why}; {tried} was not measured)"
    share = ms[tried] / ms[plain]
    return f"{tried if share < BENCHMARK else plain} ({why}; benchmark takes {share:.2f} of {plain})"


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    path = Path(sys.argv[1])
    if not path.is_file():
        sys.exit(f"gpu_decide: there is no {path}")
    found: dict[tuple[str, int], dict[str, float]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            ways = found.setdefault((row["case"], int(row["trials"])), {})
            ways[row["way"]] = float(row["ms_per_trial"])
    for (case, trials), ways in found.items():
        print(f"{case}, {trials} trials: {decision(ways)}")


if __name__ == "__main__":
    main()
