"""What a study is judged by: the columns used to select and to report, and how they are called in text.

`measure_of(rows)` is the call to know.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

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
    def is_error(self) -> bool:
        return self.report == "test_error"

    @property
    def select_name(self) -> str:
        return NAMES[self.select]

    @property
    def report_name(self) -> str:
        return NAMES[self.report]

    @property
    def remark(self) -> str:
        """Goes into every table and plot title; empty with a validation split."""
        return "selected on test" if self.on_test else ""


def measure_of(rows: pd.DataFrame) -> Measure:
    """Errors, except for text (losses: a byte-level error rate hardly moves); validation where there is any."""
    text = bool((rows["dataset"] == "text").any())
    split = "test" if bool((pd.to_numeric(rows["val_size"], errors="coerce") == 0).any()) else "val"
    select, tie = ("loss", "error") if text else ("error", "loss")
    return Measure(f"{split}_{select}", f"{split}_{tie}", f"test_{select}")


def short(value: float, digits: int = 4) -> str:
    """A number as people write it: 0.001, 1e-5; '–' where there is none."""
    if value != value:
        return "–"
    text = f"{value:.{digits}g}"
    mantissa, mark, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if mark else text
