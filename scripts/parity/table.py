"""The same gradients through our optimizers, torch.optim, optax and Keras 3: `python scripts/parity table [FOLDER]`.

1,000 steps of 1,000 weights whose gradients span six orders of magnitude, under a cosine schedule; after 1, 10, 100
and 1,000 steps the largest difference of each peer's weights from ours, over the largest weight. Writes parity.csv and
README.md to FOLDER (results/parity), and leaves out a library that is not installed.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from optim.conventions import equivalents
from scripts.bench.common import Row, Table
from scripts.parity.peers import PEERS, Problem

STEPS, WEIGHTS, LR = 1000, 1000, 0.01
MOMENTS = (1, 10, 100, 1000)
Weights = dict[int, np.ndarray]  # after so many steps
EPS, CONSTANT = "eps 1e-15", "constant rate"  # cases that show where Keras differs, and that it differs nowhere else
# Rule, convention, decay as typed, and what is special.
CASES = (
    ("adamw", "torch", 0.1, ""),
    ("adamw", "torch", 0.1, EPS),
    ("adamw", "paper", 1e-3, ""),
    ("adamw", "normalized", 0.05, ""),
    ("adam", "l2", 1e-2, ""),
    ("sgdw", "torch", 0.1, ""),
    ("sgdw", "torch", 0.1, CONSTANT),
    ("sgdw", "paper", 1e-3, ""),
    ("sgdw", "normalized", 0.05, ""),
    ("sgd", "l2", 1e-2, ""),
)


def problem(rule: str, convention: str, wd: float, special: str, dtype: type) -> Problem:
    """Weights and gradients of one case; decay in torch's terms (times the rate), or as an L2 coefficient."""
    random = np.random.default_rng(0)
    scale = 10.0 ** random.uniform(-5, 1, WEIGHTS)
    gradients = (random.standard_normal((STEPS, WEIGHTS)) + 0.3) * scale
    if rule.startswith("sgd"):
        gradients = gradients / 100  # SGD's step grows with the gradient: kept from blowing up
    rates = LR * (0.5 + 0.5 * np.cos(np.pi * np.arange(STEPS) / STEPS))
    if special == CONSTANT:
        rates = np.full(STEPS, LR)
    decay = wd if convention == "l2" else equivalents(convention, wd, LR, float(STEPS))["torch"]
    weights: np.ndarray = random.standard_normal(WEIGHTS).astype(dtype)
    eps = 1e-15 if special == EPS else 1e-8
    return Problem(rule, convention, wd, decay, LR, eps, weights, gradients.astype(dtype), rates)


def compared(case: Problem, special: str) -> Iterator[Row]:
    """Rows of parity.csv: one for each peer."""
    ours = trajectory(PEERS["ours"], case)
    assert ours is not None
    for name, peer in PEERS.items():
        if name == "ours":
            continue
        try:
            weights: Weights | None = trajectory(peer, case)
        except ImportError:
            print(f"{name}: not installed, left out", file=sys.stderr)
            continue
        if weights is not None:
            row: Row = {"rule": case.rule, "convention": case.convention, "wd": case.wd, "special": special}
            row |= {"dtype": str(case.weights.dtype), "peer": name}
            yield row | {f"after_{n}": difference(ours[n], weights[n]) for n in MOMENTS}


def trajectory(peer: Callable[[Problem], Iterator[np.ndarray] | None], case: Problem) -> Weights | None:
    """The weights after each of MOMENTS, as float64; None where the library has no such rule."""
    steps = peer(case)
    if steps is None:
        return None
    return {n: weights.astype(np.float64) for n, weights in enumerate(steps, 1) if n in MOMENTS}


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max() / np.abs(a).max())


def markdown(rows: list[Row]) -> str:
    """README.md of the folder: one table for each dtype."""
    parts = [
        "# Parity with torch.optim, optax and Keras 3\n",
        f"The same gradients through each for {STEPS} steps of {WEIGHTS} weights (`python scripts/parity table`): the "
        f"largest difference from our weights, over the largest weight. The rate is {LR:g} times a cosine unless a row "
        "says otherwise; decay is converted to each library's own convention.\n",
    ]
    for dtype in dict.fromkeys(row["dtype"] for row in rows):
        parts.append(f"## {dtype}\n")
        parts.append("| rule | convention | | peer | " + " | ".join(f"after {n}" for n in MOMENTS) + " |")
        parts.append("| --- | --- | --- | --- |" + " ---: |" * len(MOMENTS))
        for row in (row for row in rows if row["dtype"] == dtype):
            cells = [row["rule"], row["convention"], row["special"], row["peer"]]
            cells += [format(row[f"after_{n}"], ".1e") for n in MOMENTS]
            parts.append(f"| {' | '.join(cells)} |")
        parts.append("")
    parts.append(NOTES)
    return "\n".join(parts)


NOTES = """\
`ours, release` is our default, which saves decay up until float32 can express it and then applies it: it may lag by up
to 2^-16 of a weight, and is ahead of the others where lr x wd is too small for them. Keras adds eps before the bias
correction, torch, optax and the paper after it: with an eps of 1e-15 the difference is gone. Keras's SGD has the rate
inside the momentum buffer, as Algorithm 1 of the paper prints it; ours, torch's and optax's have it outside, as in the
code that the paper's experiments ran: at a constant rate these are the same."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("results/parity"), help="where the table goes")
    folder = parser.parse_args().folder
    torch.set_num_threads(1)
    columns = " ".join(f"after_{n}:.1e" for n in MOMENTS)
    table = Table(f"dtype:<8 rule:<6 convention:<10 special:<14 peer:<14 {columns}", folder / "parity.csv")
    for dtype in (np.float32, np.float64):
        for rule, convention, wd, special in CASES:
            table.extend(compared(problem(rule, convention, wd, special, dtype), special))
    (folder / "README.md").write_text(markdown(table.rows) + "\n", encoding="utf-8")
    if not all(math.isfinite(row[f"after_{n}"]) for row in table.rows for n in MOMENTS):
        raise SystemExit("parity: weights are not finite")
