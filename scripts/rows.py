"""A benchmark's rows as CSV: `write(path, columns, rows)` after each, so that what is stopped leaves what it had."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path


def write(path: Path | None, columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> None:
    """Nothing without a path."""
    if path is not None:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)
