"""What the program's judge says of many studies, counted: `rates(source, difference, error)` has the rows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from runner.analysis.protocol import REPLICATES, Protocol
from runner.analysis.sequential import least
from runner.analysis.statistics import estimate
from runner.analysis.verdict import decision

FIXED = (4, 6, 8, 12, 20)
PRIORS = (0.25, 1.0, 4.0, 16.0)  # g
EFFECTS = (0, 5, 10, 20)  # percent of the reference's error
WRONG = {0: ("lower", "higher"), 5: ("equal", "lower")}  # an effect is an error that is higher; 5 is the margin
Seen = Callable[[int], tuple[np.ndarray, np.ndarray]]


class Said(NamedTuple):
    """What one study says: a verdict for each of its comparisons, whether their intervals hold the truth that is 0 (at
    every look), and after how many replicates."""

    verdicts: tuple[str, ...]
    holds: bool
    replicates: int


def fixed(difference: np.ndarray, error: np.ndarray, replicates: int) -> Said:
    """One study judged by the t test; [comparisons, replicates] of one arm minus the other, and the other's error."""
    protocol = Protocol(replicates, comparisons=len(difference))
    return _said(difference[:, :replicates], error[:, :replicates], protocol)


def sequential(difference: np.ndarray, error: np.ndarray, g: float) -> Said:
    """The same of one study with a look after each replicate, until each of its comparisons is decided."""
    return looked(lambda n: (difference[:, :n], error[:, :n]), difference.shape[1], g, len(difference))


def looked(seen: Seen, most: int, g: float, comparisons: int = 1) -> Said:
    """A study with a look after each replicate.

    Args:
        seen: difference and error, each [comparisons, n], as they are after n replicates.
        most: replicates after which it ends, decided or not.
        g: variance of the standardised effect that the e-values test for.
        comparisons: primary ones.
    """
    protocol, holds = Protocol(0, looks=True, g=g, comparisons=comparisons), True
    for n in range(max(REPLICATES, least(g, 1 - protocol.level)), most + 1):
        said = _said(*seen(n), protocol)
        holds = holds and said.holds
        if "undecided" not in said.verdicts:
            break
    return said._replace(holds=holds)


def _said(difference: np.ndarray, error: np.ndarray, protocol: Protocol) -> Said:
    judged = [protocol.judged(estimate(one)) for one in difference]
    words = tuple(decision(one, float(e.mean()), protocol) for one, e in zip(judged, error, strict=True))
    return Said(words, all(one.low <= 0 <= one.high for one in judged), difference.shape[1])


def rates(source: str, difference: np.ndarray, error: np.ndarray) -> Iterator[dict[str, object]]:
    """A row for each way of judging and each effect; [studies, comparisons, replicates] without an effect."""
    for effect in EFFECTS:
        # A relative difference makes every error of the arm so much larger.
        shifted = difference + effect / 100 * (error + difference)
        most = difference.shape[2]
        for replicates in (R for R in FIXED if most >= R):
            judged = [fixed(d, e, replicates) for d, e in zip(shifted, error, strict=True)]
            yield row(source, f"replicates={replicates}", effect, judged)
        for g in PRIORS:
            judged = [sequential(d, e, g) for d, e in zip(shifted, error, strict=True)]
            yield row(source, f"auto, g={g:g}, at most {most}", effect, judged)


def row(source: str, way: str, effect: int, judged: list[Said]) -> dict[str, object]:
    """Shares of the comparisons with each word, and of the studies in which any is wrong."""
    words = Counter(word for said in judged for word in said.verdicts)
    studies, comparisons = len(judged), len(judged[0].verdicts)
    found: dict[str, object] = {"source": source, "judged": way, "comparisons": comparisons}
    found |= {"effect_percent": effect, "studies": studies}
    found |= {word: 100 * words[word] / studies / comparisons for word in ("lower", "higher", "equal", "undecided")}
    wrong = sum(not set(WRONG.get(effect, ("lower", "equal"))).isdisjoint(said.verdicts) for said in judged)
    found |= {
        "false_verdicts": 100 * wrong / studies,
        "error_of_that": 100 * math.sqrt(max(wrong, 1) / studies / studies),
    }
    found["coverage"] = 100 * sum(said.holds for said in judged) / studies if effect == 0 else math.nan
    return found | {"mean_replicates": float(np.mean([said.replicates for said in judged]))}


def grouped(values: np.ndarray, comparisons: int) -> np.ndarray:
    """[studies * comparisons, replicates] as [studies, comparisons, replicates]: settings with runs of their own."""
    return values.reshape(-1, comparisons, values.shape[-1])
