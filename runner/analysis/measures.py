"""What a study is judged by: the columns used to select and to report, and how they are called in text.

`measure_of(rows)` is the call to know.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

NOTHING = "–"
SIDES = ("lower", "higher")  # the verdicts that a difference has a sign
NAMES = {
    "val_error": "validation error (%)",
    "val_loss": "validation loss (nats)",
    "test_error": "test error (%)",
    "test_loss": "test loss (nats)",
}


@dataclass(frozen=True)
class Measure:
    """`select` decides between cells, `tie` between equal ones; `report` is compared between arms."""

    select: str
    tie: str
    report: str

    @property
    def on_test(self) -> bool:
        """True where there is no validation split: results are then optimistic and get no verdict."""
        return self.select.startswith("test")

    @property
    def kind(self) -> str:
        """'error' or 'loss': what `report` is about."""
        return self.report.removeprefix("test_")

    @property
    def digits(self) -> int:
        """Decimals in tables: percent to 0.01, losses to 0.0001."""
        return 2 if self.is_error else 4

    @property
    def is_error(self) -> bool:
        return self.report == "test_error"

    @property
    def select_name(self) -> str:
        return NAMES[self.select]

    @property
    def report_name(self) -> str:
        return NAMES[self.report]

    @property
    def select_quantity(self) -> str:
        """'validation error', without its unit."""
        return NAMES[self.select].partition(" (")[0]

    @property
    def report_quantity(self) -> str:
        return NAMES[self.report].partition(" (")[0]

    @property
    def remark(self) -> str:
        """Goes into every table and plot title; empty with a validation split."""
        return "selected on test" if self.on_test else ""


def measure_of(rows: pd.DataFrame, text: bool = False) -> Measure:
    """Errors, except for text (losses: a byte-level error rate hardly moves); validation where there is any.

    text: the settings say so, under whatever name the `dataset` column shows.
    """
    text = text or bool((rows["dataset"] == "text").any())
    split = "test" if bool((pd.to_numeric(rows["val_size"], errors="coerce") == 0).any()) else "val"
    select, tie = ("loss", "error") if text else ("error", "loss")
    return Measure(f"{split}_{select}", f"{split}_{tie}", f"test_{select}")


def objective(rows: pd.DataFrame, text: bool = False) -> float:
    """The mean over `rows` of what selection uses; inf where a run diverged or failed and has no such number.

    text: as for `measure_of`.
    """
    if rows.empty:
        return math.inf
    values = pd.to_numeric(rows[measure_of(rows, text).select], errors="coerce")
    return float(values.mean()) if values.notna().all() else math.inf


def short(value: float, digits: int = 4) -> str:
    """A number as people write it: 20, 0.001, 5e-4; '–' where there is none."""
    if value != value:
        return NOTHING
    text = f"{value:.{digits}g}"
    if 0 < abs(value) < 1e-3 and "e" not in text:
        text = f"{value:.{digits - 1}e}"
    mantissa, mark, exponent = text.partition("e")
    if not mark:
        return text
    return f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}e{int(exponent)}"


def telling(value: float, digits: int) -> int:
    """Decimals for a difference that is said to be lower or higher: `digits`, or more where it would be shown as 0."""
    while math.isfinite(value) and value and float(f"{value:.{digits}f}") == 0:
        digits += 1
    return digits


def number(value: float, digits: int = 2, sign: bool = False) -> str:
    """Fixed decimals; '–' where there is no number, and never '-0.00'."""
    if not math.isfinite(value):
        return NOTHING
    text = f"{value:{'+' if sign else ''}.{digits}f}"
    return text.lstrip("+-") if float(text) == 0 else text
