"""A row of folklore.csv, the words that a verdict can be, and how the parts of a statement make one: `stated`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

TRUE, PARTLY, FALSE, OPEN, NOT_MEASURED = "true", "partly true", "false", "undecided", "not measured"


@dataclass(frozen=True)
class Part:
    """What one measurement says of a statement.

    Args:
        where: what it was measured on or of: 'ResNet'.
        value: what was measured, in words; '' where nothing was.
        word: TRUE, PARTLY, FALSE, OPEN or NOT_MEASURED.
        why: the reason of the last two, where there is more to say than that the interval is wide.
        n: replicates that it is over; 0 where it is a calculation.
    """

    where: str
    value: str
    word: str
    why: str = ""
    n: int = 0

    @property
    def sentence(self) -> str:
        """'ResNet: -0.2 points [-0.3, -0.1], true.'"""
        said = ", ".join(text for text in (self.value, self.word) if text)
        return f"{self.where}: {said}{f' ({self.why})' if self.why else ''}."


@dataclass(frozen=True)
class Verdict:
    """`number` and `said` are of the list of statements; `behind`: the files, rows and plots that it stands on.

    'resnet and ramp: trials.csv, lr; checks.csv: beta1_*' are a file of two studies and one beside the page, each with
    what to look at in it.
    """

    number: int
    said: str
    measured: str
    value: str
    verdict: str
    behind: str


def stated(number: int, said: str, measured: str, parts: Sequence[Part], behind: str) -> Verdict:
    """The verdict on a statement of several parts; `behind` gets the number of replicates."""
    counts = sorted({part.n for part in parts if part.n})
    over = f"; {counts[0]}{f' to {counts[-1]}' if len(counts) > 1 else ''} replicates" if counts else ""
    value = " ".join(part.sentence for part in parts) or "–"
    return Verdict(number, said, measured, value, whole([part.word for part in parts]), behind + over)


def whole(words: Sequence[str]) -> str:
    """The verdict on a statement by the words of its parts.

    It is true, false or not measured where all parts are. It is partly true where a part is true, whatever the others
    are, and undecided where none is true and not all are false.
    """
    if len(set(words)) == 1:
        return words[0]
    if not words:
        return NOT_MEASURED
    return PARTLY if {TRUE, PARTLY} & set(words) else OPEN
