"""A claim and the evidence for it: `Claim` is a row of claims.csv, `decided` gives all of them their verdicts.

Every statistic carries two p-values: of the data if the claim were false, and if it were true. A claim is confirmed
(refuted) where the first (second) is at most 2.5 % after Holm's correction over the page's claims, which for one claim
is the usual two-sided 95 % interval lying on one side of the threshold. So where nothing is true that is claimed, at
most one study in forty confirms any of it, but for the primary comparisons of the tables, which have a level of their
own: a claim about one of these says what its table says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from runner.analysis import paper
from runner.analysis.measures import short
from runner.analysis.protocol import ONE, Protocol
from runner.analysis.statistics import Estimate
from runner.analysis.study_results import ArmResult, BlockResults
from runner.analysis.verdict import outside
from runner.claims.evidence import Evidence, everywhere
from runner.claims.listed import LISTED
from runner.claims.more import more

ALPHA = ONE.alpha / 2  # of each side, where the study sets no other
NO_LOOKS = "replicates were added one by one, and its test holds for a number fixed beforehand only"
OTHERWISE = "other windows of the grid do not bear it out"
SEEDS = 5  # fresh seeds that a comparison needs
CONFIRMED, REFUTED, UNDECIDED = "confirmed", "refuted", "undecided"


@dataclass(frozen=True)
class Claim:
    """A row of claims.csv.

    Args:
        id: a key of LISTED, by which other code finds it; several claims of a study may share it, on different blocks
            or about different families.
        name: what it says.
        statistic: what the evidence's value is, with its unit.
        evidence: None where nothing could be computed.
        places: the blocks that it was judged on.
        why: what forbids a verdict, whatever the numbers say.
        remark: goes behind the verdict.
        among: what was varied between the blocks: '5, 20, 80 epochs'.
        papers: what the paper has for the statistic, where LISTED does not tell.
        variant: tells it from the paper's own claim of this number: 'SGD'.
        family: the optimizers that it is about.
        windows: of a statistic of a map, the least and the largest value in other windows of the grid, and how many.
        leaves_open: why its evidence leaves it open, where there is more to say than that the interval does.
        sample: what more of would narrow the interval, and how many there are: (5, 'trials'); None: the evidence's n.
        plus, minus: the arms whose best cells' errors the value adds, and those whose it takes off. A verdict that a
            better cell outside their grids could take back is withheld.
        table: the difference as the table of its block judges it, where that is the block's primary comparison. Then it
            is read off that interval.
        beside: that another claim of its id is such a one, so that this one is exploratory.
        verdict: CONFIRMED, REFUTED or UNDECIDED (`decided`).
    """

    id: str
    name: str
    statistic: str
    evidence: Evidence | None
    places: tuple[BlockResults, ...]
    why: str = ""
    remark: str = ""
    among: str = ""
    papers: str = ""
    variant: str = ""
    family: str = "adam"
    windows: tuple[float, float, int] | None = None
    leaves_open: str = ""
    sample: tuple[float, str] | None = None
    plus: tuple[ArmResult, ...] = ()
    minus: tuple[ArmResult, ...] = ()
    table: Estimate | None = None
    beside: bool = False
    verdict: str = UNDECIDED

    @property
    def number(self) -> int:
        """In the list of claims."""
        return LISTED[self.id].number

    @property
    def figure(self) -> str:
        """Where the paper says so."""
        return LISTED[self.id].figure

    @property
    def paper_value(self) -> str:
        return self.papers or LISTED[self.id].value

    @property
    def is_primary(self) -> bool:
        """Whether the study's protocol named it beforehand."""
        return self.id == self.protocol.primary and not self.beside

    @property
    def protocol(self) -> Protocol:
        """Of the study that it was judged on."""
        return self.places[0].protocol if self.places else ONE

    @property
    def level(self) -> float:
        """The coverage of its interval, which is not corrected for several claims."""
        return 1 - self.protocol.alpha

    @property
    def is_on_the_papers_data(self) -> bool:
        """Whether any of its blocks is of data that the paper used."""
        return any(one.block.settings["dataset"] in paper.DATASETS for one in self.places)

    @property
    def claim(self) -> str:
        """What the tables call it: '1', or '1 (SGD)'."""
        return f"{self.number} ({self.variant})" if self.variant else str(self.number)

    @property
    def scope(self) -> str:
        """Where it was judged, and at what scale."""
        return "; ".join([*dict.fromkeys(one.scope for one in self.places), *([self.among] if self.among else [])])

    @property
    def because(self) -> str:
        """The reason of an undecided one, and whatever else is to be said."""
        return "; ".join(part for part in (self.why, self.remark) if part)


def in_all_windows(claim: Claim, own: Evidence, others: Sequence[Evidence]) -> Claim:
    """The claim with evidence that has to hold in other windows of the grid too, by their own noise.

    Args:
        claim: without evidence; its `sample` is dropped where it is the windows that leave it open.
        own: in the window that was searched.
        others: in each of the others.
    """
    evidence = everywhere(own, *others)
    alone, worst = (min(one.against_null, one.against_claim) for one in (own, evidence))
    differs = alone <= claim.protocol.alpha / 2 < worst or alone < 0.5 <= worst
    return replace(
        claim,
        evidence=evidence,
        leaves_open=OTHERWISE if differs else "",
        sample=None if differs else claim.sample,
    )


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment (Holm 1979)."""
    return [min(1.0, one) for one in _steps(p)]


def _steps(p: Sequence[float]) -> list[float]:
    """Holm's adjustment without the bound of 1: how much smaller a p-value has to be for the number of claims."""
    order = sorted(range(len(p)), key=lambda i: p[i])
    adjusted, largest = [0.0] * len(p), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, (len(p) - rank) * p[i])
        adjusted[i] = largest
    return adjusted


def decided(claims: Sequence[Claim]) -> list[Claim]:
    """The claims with their verdicts, corrected for being several. Those with a `why` stay undecided, uncounted.

    What is the primary comparison of a block is read off its table, whose intervals share `alpha` already: one
    difference has one verdict. Of the others the primary claims share `alpha` among themselves; all that are left are
    exploratory, and share it among these.
    """
    tabled = {claim.id for claim in claims if claim.table is not None}
    seen = [_seen(replace(claim, beside=claim.table is None and claim.id in tabled)) for claim in claims]
    corrected: dict[int, tuple[float, float]] = {}
    for kind in (True, False):
        judged = [(i, c.evidence) for i, c in enumerate(seen) if c.evidence and not c.why and c.table is None]
        some = [(i, evidence) for i, evidence in judged if seen[i].is_primary == kind]
        sides = (_steps([e.against_null for _, e in some]), _steps([e.against_claim for _, e in some]))
        corrected |= {i: both for (i, _), both in zip(some, zip(*sides, strict=True), strict=True)}
    return [
        claim
        if claim.why
        else _decide(claim, claim.evidence, *corrected.get(i, (1.0, 1.0)))
        if claim.evidence
        else replace(claim, why="no numbers")
        for i, claim in enumerate(seen)
    ]


def on_edge(arm: ArmResult) -> str:
    """What is said of an arm of which a better cell may lie outside its grid."""
    return f"{arm.arm}'s best cell is on its grid's edge ({arm.edge})"


def _seen(claim: Claim) -> Claim:
    """The claim with its interval at the study's level, and the evidence that holds where replicates were added.

    A test that holds for a number fixed beforehand finds something sooner or later where it is repeated; of that kind
    are those of maps, which so decide nothing there.
    """
    protocol, evidence = claim.protocol, claim.evidence
    if evidence is None:
        return claim
    hit = [outside(side, claim.plus, claim.minus) for side in evidence.sides]
    if not claim.why and all(hit):  # neither verdict could be given
        claim = replace(claim, why=on_edge(hit[0][0]))
    if not protocol.looks:
        low, high = evidence.bounds(protocol.alpha) if evidence.bounds else (evidence.low, evidence.high)
        return replace(claim, evidence=replace(evidence, low=low, high=high))
    if evidence.looked is None:
        return replace(claim, why=claim.why or NO_LOOKS)
    return replace(claim, evidence=evidence.looked(protocol))


def _decide(claim: Claim, evidence: Evidence, confirming: float, refuting: float) -> Claim:
    protocol, alpha = claim.protocol, claim.protocol.alpha / 2
    found = (confirming, refuting)
    if claim.table is not None and evidence.by_interval is not None:
        spread = claim.table.low < claim.table.high  # else nothing is known of how the numbers would vary
        found = evidence.by_interval(claim.table.low, claim.table.high) if spread else (1.0, 1.0)
        confirming, refuting = (protocol.comparisons * p for p in (evidence.against_null, evidence.against_claim))
    for verdict, p, side in zip((CONFIRMED, REFUTED), found, evidence.sides, strict=True):
        if p <= alpha and not outside(side, claim.plus, claim.minus):
            return replace(claim, verdict=verdict)
    if hit := outside(0, claim.plus, claim.minus):
        return replace(claim, why=on_edge(hit[0]))
    alone = min(evidence.against_null, evidence.against_claim) <= alpha
    if evidence.low == evidence.high:
        return replace(claim, why="its values are all the same, which does not say how they would vary")
    why = "not after Holm's correction" if alone else claim.leaves_open or "the interval leaves it open"
    if claim.table is not None and alone:
        why = f"the table's {short(100 * protocol.level, 4)} % interval leaves it open"
    if not claim.leaves_open:
        sample = claim.sample or (evidence.n, "replicates" if claim.places and claim.places[0].parts else "seeds")
        sides = ((evidence.against_null, confirming), (evidence.against_claim, refuting))
        why += f"; {more(sample, alpha, *sides, grown=evidence.grown)}"
    return replace(claim, why=why)
