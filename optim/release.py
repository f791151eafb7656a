"""Decoupled decay that float32 cannot express, saved up and released: `release(decay, ledger)` is the call to know.

torch multiplies a weight by float32(1 - decay): nothing at all below 3e-8, 15 % too much at 1e-7. Here what is asked
for is summed in float64, and each time the sum passes a multiple of 2^-16 all of it that is still owed is removed at
once, down to a multiple of 2^-24, so that 1 - decay is exact in float32 and nothing is lost to rounding. A decay of
2^-16 or more passes one at every step, and is then only quantised, with the remainder carried to the next step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from optim.rules import DECAY, KEEP

THRESHOLD = 2.0**-16  # large enough that a float32 weight notices, small enough that no training does
QUANTUM = 2.0**-24  # half the spacing of float32 just above 1, all of it just below


@dataclass(frozen=True)
class DecayLedger:
    """What was asked for and what was applied of it since the start of a run: numbers or arrays, float64."""

    asked: Any = 0.0
    applied: Any = 0.0


def release(decay: np.ndarray, ledger: DecayLedger | None = None, last: bool = False) -> tuple[np.ndarray, DecayLedger]:
    """What to apply at each step, and the ledger after them; time is the first axis of `decay` [steps, ...].

    A run cut into segments gives the same numbers as the run at once, if each segment gets the ledger that the one
    before returned. `last`: the run ends with these steps, so the final one pays what is owed.
    """
    ledger = ledger or DecayLedger()
    if not len(decay):
        return np.zeros(decay.shape), ledger
    before = np.broadcast_to(np.asarray(ledger.asked, dtype=np.float64), decay.shape[1:])[None]
    asked = np.cumsum(np.concatenate([before, decay]), axis=0)  # goes on adding where the last segment stopped
    due = np.diff(np.floor(asked / THRESHOLD), axis=0) > 0
    due[-1] |= last
    applied = np.where(due, np.floor(asked[1:] / QUANTUM) * QUANTUM, 0.0)
    start = np.broadcast_to(np.asarray(ledger.applied, dtype=np.float64), decay.shape[1:])[None]
    applied = np.maximum.accumulate(np.concatenate([start, applied]), axis=0)
    return np.diff(applied, axis=0), DecayLedger(asked[-1], applied[-1])


def released_rows(
    rows: np.ndarray, ledger: DecayLedger | None = None, last: bool = False
) -> tuple[np.ndarray, DecayLedger]:
    """The rows of `optim.rules.coefficients`, [steps, 2, COLUMNS] or stacked [..., R], with their decay released.

    The ledger holds arrays [2] or [2, R].
    """
    rows = rows.copy()
    rows[:, :, DECAY], ledger = release(rows[:, :, DECAY], ledger, last)
    rows[:, :, KEEP] = 1 - rows[:, :, DECAY]
    return rows, ledger


def owed_of(state: dict[str, Any]) -> float:
    """What a parameter's state of an earlier version owes, which is taken out of it: it held both sums."""
    return float(state.pop("decay_asked", 0.0)) - float(state.pop("decay_applied", 0.0))
