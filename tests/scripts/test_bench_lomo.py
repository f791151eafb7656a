"""The script that measures LOMO's memory counts to the byte, and what it writes can be read."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest
import torch

from scripts.bench import lomo


@pytest.mark.campaign
def test_the_peak_of_a_step_falls_by_nine_tenths_of_the_gradients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.csv"
    monkeypatch.setattr(sys, "argv", ["bench lomo", "--width", "128", "--tokens", "2", "--csv", str(path)])
    lomo.main()
    with path.open(newline="") as file:
        (row,) = csv.DictReader(file)
    gradients, sgd, fused = (int(row[f"{name}_bytes"]) for name in ("gradient", "sgd_peak", "lomo_peak"))
    assert sgd >= gradients == 4 * int(row["parameters"])
    assert sgd - fused >= 0.9 * gradients
    assert float(row["share"]) == pytest.approx((sgd - fused) / gradients, abs=1e-4)


def test_the_peak_counts_what_is_held_at_a_time_to_the_byte() -> None:
    def call() -> None:
        one, two = torch.empty(1000, 1000), torch.empty(500, 1000)
        del one
        torch.empty(1000, 100).add_(two[0, 0])

    assert lomo.peak_bytes(call) == 6_000_000
