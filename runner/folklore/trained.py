"""Claims about training, 1 and 8 to 12, judged from studies: `read(folder)` gives one.

Statistics are those of `runner.report.claims`: a one-sided level of 2.5 %, corrected (Holm) over a study's claims.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from runner.analysis.arms import split
from runner.analysis.measures import number, short
from runner.analysis.results import ArmResult, results
from runner.claims.claim import CONFIRMED, REFUTED, Claim, Evidence, below
from runner.claims.judge import judge
from runner.claims.scene import Arena, by_seed, differences
from runner.folklore.verdict import FALSE, OPEN, PARTLY, TRUE, Verdict
from runner.records import read as reading


@dataclass(frozen=True, eq=False)
class Study:
    """One of the studies: its arenas (blocks with results) and what the paper's claims say about it."""

    arenas: tuple[Arena, ...]
    claims: Sequence[Claim]

    def arena(self, schedule: str = "") -> Arena | None:
        return next((a for a in self.arenas if not schedule or a.block.settings["schedule"] == schedule), None)

    def claim(self, words: str, schedule: str = "") -> Claim | None:
        return next((c for c in self.claims if words in c.name and f"{schedule} schedule" in c.scope), None)


def read(folder: Path) -> Study:
    """A study's folder as the judge wants it."""
    blocks = split(reading.read(folder))
    reported = [(block, results(block)) for block in blocks]
    tables = [reading.read(folder, name) for name in ("curves", "cycles", "dynamics")]
    return Study(tuple(Arena(block, tuple(found)) for block, found in reported), judge(reported, *tables))


def remembered(folder: Path, words: str) -> str:
    """What claims.csv of another study says of a claim under the cosine schedule; nothing where there is none."""
    path = folder / "claims.csv"
    if not path.exists():
        return ""
    table = pd.read_csv(path)
    rows = table[table["name"].str.contains(words, regex=False) & table["scope"].str.contains("cosine schedule")]
    for row in rows[rows["value"].notna()].to_dict("records")[:1]:
        low, high = short(row["low"], 2), short(row["high"], 2)
        return f" ({folder.name}: {short(row['value'], 2)} [{low}, {high}], n = {row['n']:.0f}, {row['verdict']})"
    return ""


def uneven(mechanism: Study) -> Verdict:
    l2, w = mechanism.claim("large gradients less"), mechanism.claim("all weights alike")
    return Verdict(
        1,
        "AdamW is Adam with decay decoupled from the gradient step; L2 in Adam goes through the moments and is divided "
        "by sqrt(v), so it acts unevenly",
        "rank correlation of the relative decay with sqrt(v) under Adam + L2; spread of the relative decay under AdamW "
        "(0 by its formula: what is left is rounding)",
        f"{_value(l2)}; {_value(w)}",
        _both(l2, w),
        "the mechanism study: dynamics.csv, plots/mechanism.png",
    )


def generalizes(resnet: Study, transformer: Study, larger: str = "") -> Verdict:
    """`larger`: what a larger study of the ResNet says, see `remembered`."""
    claims = [study.claim("AdamW's best cell beats", "cosine") for study in (resnet, transformer)]
    won = [claim is not None and claim.verdict == CONFIRMED for claim in claims]
    lost = [claim is not None and claim.verdict == REFUTED for claim in claims]
    verdict = TRUE if all(won) else FALSE if any(lost) and not any(won) else PARTLY if any(won) else OPEN
    return Verdict(
        8,
        "AdamW generalizes better than Adam, especially for Transformers (BERT, ViT); Adam + L2 suits small tasks",
        "test error, AdamW minus Adam + L2, in points: ResNet, Transformer (both on digits)",
        f"{_value(claims[0])}{larger}; {_value(claims[1])}",
        verdict,
        "resnet/claims.csv, transformer/claims.csv: claim 1",
    )


def cheaper(resnet: Study, transformer: Study, checks: Mapping[str, float]) -> Verdict:
    """Fewer epochs and less memory, as a blog's table for ResNet-50 has it."""
    parts, fewer = [], []
    for name, study in (("resnet", resnet), ("transformer", transformer)):
        pair = _twins(study.arena("cosine"))
        if pair is None:
            continue
        arena, l2, w = pair
        reached = [_reached(r) for r in (w, l2)]
        gap = below(_epochs(arena, w, l2)) if min(got / max(1, n) for got, n in reached) >= 0.5 else None
        fewer.append(gap is not None and gap.against_null <= 0.0125)  # two networks
        told = " and ".join(f"{got} of {n}" for got, n in reached)
        parts.append(f"{name}: epochs to target {_signed(gap) if gap else 'not measured'} (reached by {told})")
        for kind in ("step", "state"):
            parts.append(f"{kind} {number(checks[f'{name}_adamw_{kind}'] / checks[f'{name}_adam_{kind}'])}x")
    less = all(checks[f"{n}_adamw_state"] < 0.99 * checks[f"{n}_adam_state"] for n in ("resnet", "transformer"))
    verdict = TRUE if all(fewer) and less else PARTLY if any(fewer) or less else FALSE
    return Verdict(
        9,
        "ResNet-50 on ImageNet: Adam 76.2 % top-1, 120 epochs to converge, 10.3 GB; AdamW 77.1 %, 90 epochs, 9.8 GB",
        "that AdamW needs fewer epochs and less memory: epochs to target, AdamW minus Adam + L2; time of the step and "
        "bytes of state, AdamW's over Adam's",
        "; ".join(parts),
        verdict,
        "table.csv; checks.csv: *_step, *_state",
    )


def strength(**studies: Study) -> Verdict:
    """Whether the best decay moves with the rate. In torch's units AdamW's slope is one less than in the paper's."""
    found = {name: _slopes(study) for name, study in studies.items()}
    said = {verdict for verdict, _ in found.values()}
    return Verdict(
        10,
        "Learning rate influences the strength of decay in Adam + L2, not in AdamW",
        "slope of log2(best wd) on log2(lr): Adam + L2; AdamW in paper units (partly true: so there; in torch's units, "
        "where lr multiplies the decay, it is one less)",
        "; ".join(f"{name}: {value}" for name, (_, value) in found.items()),
        said.pop() if len(said) == 1 else FALSE if FALSE in said else OPEN,
        "claims.csv of the two studies: claims 5 and 6; plots/heatmap*.png",
    )


def _slopes(study: Study) -> tuple[str, str]:
    """The verdict of one study, and its slopes."""
    l2, w = study.claim("Adam + L2's basin", "cosine"), study.claim("AdamW's basin", "cosine")
    slopes = [claim.evidence for claim in (l2, w) if claim and claim.evidence]
    verdict = OPEN
    if len(slopes) == 2:
        moves, still = slopes[0].high < -0.5, slopes[1].low > -0.5 and slopes[1].high < 0.5
        moved, diagonal = slopes[0].low > -0.5, slopes[1].high < -0.5 or slopes[1].low > 0.5
        if moves and still:
            verdict = PARTLY  # in torch's own units lr scales the decay of AdamW as well
        elif moved or diagonal:
            verdict = FALSE
    return verdict, f"{_value(l2, verdict)}, {_value(w, verdict)}"


def no_switching(resnet: Study, larger: str = "") -> Verdict:
    claim = resnet.claim("AdamW rivals SGDW", "cosine")
    evidence = claim.evidence if claim and not claim.why.startswith(("selected", "no ")) else None
    verdict = OPEN
    if evidence and claim and "edge" not in claim.why:
        verdict = TRUE if evidence.high < 0.2 else FALSE if evidence.low > 0.2 else OPEN
    return Verdict(
        11,
        "With AdamW one need no longer switch between SGD and Adam",
        "test error, AdamW minus SGDW at tuned settings, in points (true: not worse by 0.2)",
        _value(claim, verdict) + larger,
        verdict,
        "resnet/claims.csv: claim 9",
    )


def fastest(resnet: Study) -> Verdict:
    """Epochs to target of AdamW with one cycle against every other arm."""
    one, cosine = resnet.arena("onecycle"), resnet.arena("cosine")
    mine = next(iter(one.decoupled("adam")), None) if one else None
    rivals: list[tuple[str, Arena, ArmResult]] = []
    for arena in (one, cosine):
        if arena is not None:
            name = arena.block.settings["schedule"]
            rivals += [(f"{r.arm}, {name}", arena, r) for r in arena.results if r is not mine]
    verdict, value = OPEN, "–"
    if one is not None and mine is not None and rivals:
        found = {name: below(_between(one, mine, arena, r)) for name, arena, r in rivals}
        tested = {name: e for name, e in found.items() if e is not None}
        if tested:
            name, worst = max(tested.items(), key=lambda item: item[1].value)
            value = f"{_signed(worst)} ({name})"
            wins = len(tested) == len(found) and max(e.against_null for e in tested.values()) <= 0.025
            loses = min(e.against_claim for e in tested.values()) * len(tested) <= 0.025
            verdict = TRUE if wins else FALSE if loses else OPEN
    return Verdict(
        12,
        "AdamW with super-convergence (1cycle) is the fastest way to train",
        "epochs to target, AdamW with one cycle minus the fastest other arm, no decay included; each arm at the cell "
        "of its best validation error, and the cycle moves the rate alone",
        value,
        verdict,
        "resnet/trials.csv: epochs_to_target of the final runs",
    )


def _reached(result: ArmResult) -> tuple[int, int]:
    """How many of an arm's runs reached the target, and how many there are."""
    if result.rows is None:
        return 0, 0
    return int(result.rows["epochs_to_target"].notna().sum()), len(result.rows)


def _twins(arena: Arena | None) -> tuple[Arena, ArmResult, ArmResult] | None:
    l2 = arena.l2("adam") if arena else None
    w = next(iter(arena.decoupled("adam")), None) if arena else None
    return (arena, l2, w) if arena and l2 and w else None


def _epochs(arena: Arena, w: ArmResult, l2: ArmResult) -> list[float]:
    return _between(arena, w, arena, l2)


def _between(here: Arena, mine: ArmResult, there: Arena, other: ArmResult) -> list[float]:
    """Differences in epochs to target; a run that never got there took one epoch more than it had."""
    last = float(here.block.settings["epochs"]) + 1
    found = [by_seed(arena, r, "epochs_to_target") for arena, r in ((here, mine), (there, other))]
    return differences(*({seed: last if math.isnan(e) else e for seed, e in one.items()} for one in found))


def _signed(e: Evidence) -> str:
    return f"{number(e.value, 1, True)} [{number(e.low, 1, True)}, {number(e.high, 1, True)}]"


def _both(*claims: Claim | None) -> str:
    states = [claim.verdict if claim else "" for claim in claims]
    if all(state == CONFIRMED for state in states):
        return TRUE
    return FALSE if REFUTED in states else PARTLY if CONFIRMED in states else OPEN


def _value(claim: Claim | None, verdict: str = OPEN) -> str:
    """What a claim measured, and why that decides nothing, if it does not decide this verdict either."""
    if claim is None or claim.evidence is None:
        return f"– ({claim.why})" if claim and claim.why else "–"
    e = claim.evidence
    because = f" ({claim.why})" if claim.why and verdict == OPEN else ""
    return f"{short(e.value, 2)} [{short(e.low, 2)}, {short(e.high, 2)}], n = {e.n}{because}"
