"""A t test that allows a look after every replicate: `e_value(...)`, and `confidence_sequence(...)`, its inversion.

An ordinary t test repeated until it is significant finds a difference sooner or later where there is none. The e-value
of a t statistic does not: if the mean is 0, the chance that it ever reaches 1 / alpha is at most alpha, however often
it is looked at. It is the likelihood ratio of the t statistic under a standardised effect (mean over standard
deviation) that is normal with variance g, against an effect of 0.

Sources: Hendriksen, de Heide & Grunwald, Optional Stopping with Bayes Factors, Bayesian Analysis 2021, section 4; Wang
& Ramdas, Anytime-valid t-tests and confidence sequences for Gaussian means with unknown variance, 2023, section 4.
"""

from __future__ import annotations

import math

REPLICATES = 4  # the fewest that a verdict about optimizers rests on


def e_value(mean: float, std: float, n: int, g: float) -> float:
    """The evidence of n differences against a mean of 0.

        e = (1 + n g)^(-1/2) [(1 + t^2 / nu) / (1 + t^2 / ((1 + n g) nu))]^((nu + 1) / 2),  t = mean sqrt(n) / std

    Args:
        mean: of the differences.
        std: their standard deviation (n - 1).
        n: how many there are; nu = n - 1.
        g: the variance of the standardised effect under the alternative.

    Returns: from above 0 to infinity; 1 decides nothing, as where n < 2, std is 0 or a number is missing.
    """
    if n < 2 or not (math.isfinite(mean) and 0 < std < math.inf):
        return 1.0
    nu, shrunk = n - 1, 1 + n * g
    ratio = n * (mean / std) ** 2 / nu
    # The logarithm of the e-value, which itself may be larger than a float.
    log = n / 2 * (math.log1p(ratio) - math.log1p(ratio / shrunk)) - math.log(shrunk) / 2
    return math.exp(log) if log < 700 else math.inf


def confidence_sequence(std: float, n: int, g: float, alpha: float) -> float:
    """Half the width of the interval that holds the mean at all n at once with probability 1 - alpha.

    Args:
        std: standard deviation of the differences (n - 1).
        n: how many there are.
        g: as for `e_value`.
        alpha: the chance that the mean is ever outside.

    Returns: the largest distance of a mean of the differences from a value that `e_value` does not exclude; infinite
        where so few differences exclude none, and where they do not vary, which says nothing of how they would.
    """
    if n < 2 or not 0 < std < math.inf:
        return math.inf
    nu, shrunk = n - 1, 1 + n * g
    # e = 1 / alpha solved for t^2 / nu.
    factor = math.exp(2 / n * (math.log(shrunk) / 2 - math.log(alpha)))
    if factor >= shrunk:
        return math.inf
    return std * math.sqrt((factor - 1) / (1 - factor / shrunk) * nu / n)


def least(g: float, alpha: float) -> int:
    """The smallest n at which any difference, however large, can reach an e-value of 1 / alpha."""
    n = 2
    while (n - 1) / 2 * math.log1p(n * g) < -math.log(alpha):
        n += 1
    return n
