"""Claims about training, 1 and 8 to 12, judged from studies: `read(folder)` gives one.

Statistics are those of `runner.claims`: a one-sided level of 2.5 %, corrected (Holm) over a study's claims.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from runner.analysis.measures import number, short
from runner.analysis.primary import results_of
from runner.analysis.study_results import ArmResult, BlockResults, StudyResults
from runner.claims.claim import CONFIRMED, REFUTED, Claim
from runner.claims.comparison import differences
from runner.claims.evidence import Evidence, below
from runner.claims.judge import judge
from runner.folklore.verdict import FALSE, OPEN, PARTLY, TRUE, Verdict
from runner.records.read import read as read_table

ALIKE = 0.01  # a coefficient of variation below it is one of rounding


@dataclass(frozen=True, eq=False)
class Study:
    """One of the studies: its blocks with their results, and what the paper's claims say about it.

    `spread` is the largest coefficient of variation of AdamW's relative decay over a network's weights; NaN where no
    trial was followed.
    """

    blocks: tuple[BlockResults, ...]
    claims: Sequence[Claim]
    spread: float = math.nan

    def on(self, schedule: str) -> BlockResults | None:
        """The first block that was trained with this schedule."""
        return next((one for one in self.blocks if one.block.settings["schedule"] == schedule), None)

    def claim(self, id: str, schedule: str = "") -> Claim | None:
        """The first claim of this id about Adam's family, on a block with this schedule where one is given."""
        claims = (claim for claim in self.claims if (claim.id, claim.family) == (id, "adam"))
        return next((c for c in claims if schedule in ("", c.places[0].block.settings["schedule"])), None)


def judged(study: StudyResults) -> Study:
    return Study(study.blocks, judge(study), _spread(study))


def _spread(study: StudyResults) -> float:
    decoupled = {
        trial
        for results in study.blocks
        for trial in results.block.rows.loc[
            results.block.rows["decoupled"] & (results.block.rows["family"] == "adam"), "trial"
        ]
    }
    of_adamw = study.dynamics[study.dynamics["trial"].isin(decoupled) & (study.dynamics["kind"] == "all")]
    return float(pd.to_numeric(of_adamw["decay_cv"]).max()) if len(of_adamw) else math.nan


def read(folder: Path) -> Study:
    """A study's folder as the judge wants it."""
    blocks = results_of(folder, read_table(folder))
    return judged(StudyResults(blocks, *(read_table(folder, name) for name in ("curves", "cycles", "dynamics"))))


def remembered(folder: Path, id: str) -> str:
    """What another study says of a claim under the cosine schedule; nothing where there is no such study."""
    claim = read(folder).claim(id, "cosine") if (folder / "trials.csv").exists() else None
    if claim is None or claim.evidence is None:
        return ""
    e = claim.evidence
    return f" ({folder.name}: {_interval(e)}, n = {e.n}, {claim.verdict})"


def uneven(mechanism: Study) -> Verdict:
    l2 = mechanism.claim("decay-by-gradient")
    state = l2.verdict if l2 else ""
    verdict = FALSE if state == REFUTED or mechanism.spread > ALIKE else TRUE if state == CONFIRMED else OPEN
    return Verdict(
        1,
        "AdamW is Adam with decay decoupled from the gradient step; L2 in Adam goes through the moments and is divided "
        "by sqrt(v), so it acts unevenly",
        "rank correlation of the relative decay with sqrt(v) under Adam + L2; largest spread of the relative decay "
        "under AdamW (0 by its formula: what is left is rounding)",
        f"{_value(l2)}; {short(mechanism.spread, 2)}",
        verdict if math.isfinite(mechanism.spread) else OPEN,
        "the mechanism study: dynamics.csv, plots/mechanism.png",
    )


def generalizes(resnet: Study, transformer: Study, larger: str = "") -> Verdict:
    """`larger`: what a larger study of the ResNet says, see `remembered`."""
    claims = [study.claim("best-cell", "cosine") for study in (resnet, transformer)]
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
        cosine = study.on("cosine")
        twins = cosine.twins() if cosine else None
        if cosine is None or twins is None:
            continue
        l2, w = twins
        reached = [_reached(arm) for arm in (w, l2)]
        most_reached = min(got / max(1, n) for got, n in reached) >= 0.5
        gap = below(_between(cosine, w, l2)) if most_reached else None
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
    slopes = {name: _slopes(study) for name, study in studies.items()}
    verdicts = {verdict for verdict, _ in slopes.values()}
    return Verdict(
        10,
        "Learning rate influences the strength of decay in Adam + L2, not in AdamW",
        "slope of log2(best wd) on log2(lr): Adam + L2; AdamW in paper units (partly true: so there; in torch's units, "
        "where lr multiplies the decay, it is one less)",
        "; ".join(f"{name}: {value}" for name, (_, value) in slopes.items()),
        verdicts.pop() if len(verdicts) == 1 else FALSE if FALSE in verdicts else OPEN,
        "claims.csv of the two studies: claims 5 and 6; plots/heatmap*.png",
    )


def _slopes(study: Study) -> tuple[str, str]:
    """The verdict of one study, and its slopes."""
    l2, w = study.claim("basin-l2", "cosine"), study.claim("basin-decoupled", "cosine")
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
    claim = resnet.claim("adamw-rivals-sgdw", "cosine")
    evidence = claim.evidence if claim and not claim.why.startswith(("selected", "no ", "one replicate")) else None
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
    cycle = resnet.on("onecycle")
    fast = next(iter(cycle.decoupled("adam")), None) if cycle else None
    verdict, value = OPEN, "–"
    if cycle and fast:
        gaps = {
            f"{arm.arm}, {rivals.block.settings['schedule']}": below(_between(cycle, fast, arm))
            for rivals in (cycle, resnet.on("cosine"))
            if rivals is not None
            for arm in rivals.arms
            if arm is not fast
        }
        tested = {name: e for name, e in gaps.items() if e is not None}
        if tested:
            name, worst = max(tested.items(), key=lambda item: item[1].value)
            value = f"{_signed(worst)} ({name})"
            wins = len(tested) == len(gaps) and max(e.against_null for e in tested.values()) <= 0.025
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


def _between(results: BlockResults, arm: ArmResult, rival: ArmResult) -> list[float]:
    """Differences in epochs to target; a run that never reached it took one epoch more than `results` had."""
    last = float(results.block.settings["epochs"]) + 1
    epochs = [one.by_unit("epochs_to_target") for one in (arm, rival)]
    return differences(*({seed: last if math.isnan(e) else e for seed, e in one.items()} for one in epochs))


def _signed(e: Evidence) -> str:
    return f"{number(e.value, 1, True)} [{number(e.low, 1, True)}, {number(e.high, 1, True)}]"


def _value(claim: Claim | None, verdict: str = OPEN) -> str:
    """What a claim measured, and why that decides nothing, if it does not decide this verdict either."""
    if claim is None or claim.evidence is None:
        return f"– ({claim.why})" if claim and claim.why else "–"
    e = claim.evidence
    because = f" ({claim.why})" if claim.why and verdict == OPEN else ""
    return f"{_interval(e)}, n = {e.n}{because}"


def _interval(e: Evidence) -> str:
    return f"{short(e.value, 2)} [{short(e.low, 2)}, {short(e.high, 2)}]"
