"""Studies whose arm is compared with the better of two others: `rates_of_better(...)` has the rows.

Where no L2 that was tried is better than none, the program compares with no decay. Which of the two it is may change
with every replicate that is added, and a study with looks may stop at either. Here all three arms are one and the
same, so the choice is a coin's: nothing makes it change more often.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from runner.analysis.protocol import Protocol
from scripts.error_rates.draws import Noise, made_up_arms
from scripts.error_rates.judging import FIXED, Seen, fixed, looked, row


def rates_of_better(
    source: str, noise: Noise, studies: int, most: int, rng: np.random.Generator
) -> Iterator[dict[str, object]]:
    """A row for each fixed number of replicates and one for looks.

    Args:
        source: what the studies are made of, in words.
        noise: of an arm, which all three have.
        studies: how many.
        most: replicates after which looks end.
        rng: for the draws.
    """
    (_, arm), *others = made_up_arms(noise, 3, studies, most, rng)
    tested = arm.mean(-1)
    # A cell's mean over the replicates that are there; an arm is as good as the best of its cells.
    scores = np.stack([(searched.cumsum(1) / np.arange(1, most + 1)[:, None]).min(-1) for searched, _ in others])
    errors = np.stack([fresh.mean(-1) for _, fresh in others])  # [2, studies, replicates]

    def study(i: int) -> Seen:
        def seen(n: int) -> tuple[np.ndarray, np.ndarray]:
            error = errors[scores[:, i, n - 1].argmin(), i, None, :n]
            return tested[i, None, :n] - error, error

        return seen

    for replicates in FIXED:
        judged = [fixed(*study(i)(replicates), replicates) for i in range(studies)]
        yield row(source, f"replicates={replicates}", 0, judged)
    g = Protocol().g
    yield row(source, f"auto, g={g:g}, at most {most}", 0, [looked(study(i), most, g) for i in range(studies)])
