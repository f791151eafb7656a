#!/usr/bin/env python3
"""Put the committed digits study's table into README.md, between its two markers: `python scripts/readme.py`."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
MARKS = re.compile(r"(<!-- digits table -->\n).*?(<!-- end -->)", re.DOTALL)


def table(results: pd.DataFrame) -> str:
    """The README's table from the rows of a study's generalization.csv."""
    lines = [
        "| | best lr | best wd | fresh seeds | test error (%) | gap in loss | against Adam + L2 (points) |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in results.itertuples():
        unit = f" ({'L2' if row.wd_convention == 'l2' else row.wd_convention})" if row.wd else ""
        half = (row.test_error_high - row.test_error_low) / 2
        against = "–"
        if pd.notna(row.difference):
            spread = (row.difference_high - row.difference_low) / 2
            against = f"{row.difference:+.2f} ± {spread:.2f}: {row.verdict}"
        lines.append(
            f"| {row.arm} | {row.lr:g} | {row.wd:g}{unit} | {row.n} | {row.test_error:.2f} ± {half:.2f} "
            f"| {row.gap_loss:.3f} | {against} |"
        )
    lines.append("")
    lines.append(
        f"± is the 95 % t-interval over seeds; {results.trials.sum()} search runs chose the cells by validation "
        f"error; one of the {results.test_size[0]:g} test images is {100 / results.test_size[0]:.2f} points."
    )
    return "\n".join(lines) + "\n"


def with_table(readme: str, results: pd.DataFrame) -> str:
    return MARKS.sub(lambda match: match[1] + table(results) + match[2], readme)


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(with_table(path.read_text(), pd.read_csv(ROOT / "results" / "digits-cpu" / "generalization.csv")))
