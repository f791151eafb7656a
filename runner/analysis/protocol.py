"""What was laid down before a study's rows were seen, and what follows for its verdicts: `Protocol`, `protocol_of`.

It stands in study.yaml, where each command has noted its settings. The unit of every comparison is the replicate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from runner.analysis.sequential import REPLICATES as REPLICATES
from runner.analysis.sequential import confidence_sequence
from runner.analysis.statistics import Estimate, t_half
from runner.config.settings import RunSettings
from runner.records.commands import entries

_KEYS = ("replicates", "prior_g", "alpha", "equal_within", "primary")


@dataclass(frozen=True)
class Protocol:
    """How a study's comparisons are judged.

    Args:
        replicates: how many were asked for; 0 with `replicates=auto`.
        looks: whether anybody could look before the last replicate and go on. Then differences are judged by
            e-values, else by the t test.
        g: variance of the standardised effect that e-values test for.
        alpha: the chance of a false verdict in a study of which no arm is better, over all its primary comparisons.
        equal_within: percent of the reference's error; a difference that is surely smaller is called equal.
        primary: the id of the claim that the study is for; '' where none was named.
        comparisons: primary ones, among which `alpha` is split, with looks and without.
    """

    replicates: int = 1
    looks: bool = False
    g: float = RunSettings.prior_g
    alpha: float = RunSettings.alpha
    equal_within: float = RunSettings.equal_within
    primary: str = ""
    comparisons: int = 1

    @property
    def level(self) -> float:
        """The coverage of the interval of one difference."""
        return 1 - self.alpha / self.comparisons

    def judged(self, difference: Estimate) -> Estimate:
        """A difference over replicates with the interval that it is judged by, at this level.

        Student's t, or where there are looks the confidence sequence.
        """
        found = replace(difference, level=self.level)
        if difference.n < 2 or not math.isfinite(difference.std):
            return found
        if self.looks:
            half = confidence_sequence(difference.std, difference.n, self.g, 1 - self.level)
        else:
            half = t_half(difference.std, difference.n, self.level)
        return replace(found, low=difference.mean - half, high=difference.mean + half)


ONE = Protocol()  # of a study of one replicate, or one of which nothing is known


def protocol_of(folder: Path, comparisons: int = 1, there: float = math.inf) -> Protocol:
    """The protocol of a study.

    A number of replicates that was raised by a later command was raised by somebody who could have looked. A smaller
    number, or a raise that has trained nothing yet, changes nothing.

    Args:
        folder: of the study; without a study.yaml that can be read, what nobody has set has its default.
        comparisons: how many are primary.
        there: how many replicates have rows.
    """
    noted = [settings for entry in entries(folder) for settings in _settings(entry)]
    return of_settings(noted, comparisons, there)


def of_settings(noted: Sequence[dict[str, Any]], comparisons: int = 1, there: float = math.inf) -> Protocol:
    """The protocol of commands by their settings, oldest first; those of g and alpha hold that were noted first.

    `there`: how many replicates have rows. A raise of which no replicate has any added nothing.
    """
    known = [{key: one[key] for key in _KEYS if key in one} for one in noted]
    counts = [int(one.get("replicates", 1)) for one in known]
    several = {count for count in counts if count != 1}
    most, raised = 1, False
    for count in counts:
        if count > most and (most == 1 or there > most):
            most, raised = count, raised or most > 1
    planned = next((one for one in known if one.get("replicates", 1) != 1), known[-1] if known else {})
    return Protocol(
        replicates=0 if 0 in several else most,
        looks=0 in several or raised,
        g=float(planned.get("prior_g", RunSettings.prior_g)),
        alpha=float(planned.get("alpha", RunSettings.alpha)),
        equal_within=float(planned.get("equal_within", RunSettings.equal_within)),
        primary=str(planned.get("primary", "")),
        comparisons=max(1, comparisons),
    )


def _settings(entry: Any) -> list[dict[str, Any]]:
    """The settings of an entry of study.yaml; none where it was edited beyond recognition."""
    settings = entry.get("settings") if isinstance(entry, dict) else None
    return [one for one in settings if isinstance(one, dict)] if isinstance(settings, list) else []
