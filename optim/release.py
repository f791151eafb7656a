"""Decoupled decay that float32 cannot express, saved up and released: `release(decay, ledger)` is the call to know.

torch multiplies a weight by float32(1 - decay): that is 1 for a decay below 3e-8, and 15 % too much at 1e-7. Here the
decay that is asked for is summed in float64. Each time the sum passes a multiple of 2^-16, all that is still owed is
removed at once, rounded down to a multiple of 2^-24: 1 - decay is then exact in float32, and what was rounded off stays
owed. A decay of 2^-16 or more passes a multiple at every step, so that it is only rounded down, each step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from optim.rules import DECAY, KEEP

# A step at 2^-16 removes at least 128 units of a float32 weight's last place, so it rounds by less than 1 %. A decay
# that waits until then comes late by at most 1.5e-5 of each weight.
THRESHOLD = 2.0**-16
QUANTUM = 2.0**-24  # half the spacing of float32 just above 1, all of it just below


@dataclass(frozen=True)
class DecayLedger:
    """The sums of decay `asked` for and `applied` since the start of a run: numbers, or arrays float64."""

    asked: Any = 0.0
    applied: Any = 0.0


def release(decay: np.ndarray, ledger: DecayLedger | None = None, last: bool = False) -> tuple[np.ndarray, DecayLedger]:
    """The decay to apply at each step, and the ledger after the last one.

    A run cut into segments gives the same numbers as the run at once, if each segment gets the ledger that the one
    before returned.

    Args:
        decay: asked for at each step, [steps, ...]: the fraction of each weight.
        ledger: of the steps before; None at the start of a run.
        last: whether the run ends with these steps, so that the final one pays what is owed.
    """
    ledger = ledger or DecayLedger()
    if not len(decay):
        return np.zeros(decay.shape), ledger
    before = np.broadcast_to(np.asarray(ledger.asked, dtype=np.float64), decay.shape[1:])[None]
    # One sum over all segments, in order: adding up each segment by itself would be rounded differently.
    asked = np.cumsum(np.concatenate([before, decay]), axis=0)
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

    `ledger` and `last` as in `release`; the ledger holds arrays [2] or [2, R].
    """
    rows = rows.copy()
    rows[:, :, DECAY], ledger = release(rows[:, :, DECAY], ledger, last)
    rows[:, :, KEEP] = 1 - rows[:, :, DECAY]
    return rows, ledger


def owed_of(state: dict[str, Any]) -> float:
    """The decay that a parameter's state of an earlier version owes; its two sums are taken out of the state."""
    return float(state.pop("decay_asked", 0.0)) - float(state.pop("decay_applied", 0.0))
