"""A row of folklore.csv, and the words that a verdict can be."""

from __future__ import annotations

from dataclasses import dataclass

TRUE, FALSE, PARTLY, OPEN = "true", "false", "partly true", "undecided"


@dataclass(frozen=True)
class Verdict:
    """`number` and `said` are of the list of claims; `behind`: the file and row, or plot, that it stands on."""

    number: int
    said: str
    measured: str
    value: str
    verdict: str
    behind: str
