"""Statements about what decay does to the weights: 1, 10 and 16, from dynamics.csv and from maps."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd

from runner.analysis.measures import number, short
from runner.analysis.sequential import REPLICATES
from runner.analysis.study_results import StudyResults
from runner.claims.claim import CONFIRMED, REFUTED, Claim
from runner.claims.judge import judge
from runner.folklore.studies import Studies, Study, missing, place, read
from runner.folklore.tested import lower, points, times
from runner.folklore.verdict import FALSE, NOT_MEASURED, OPEN, PARTLY, TRUE, Part, Verdict, stated

ALIKE = 0.01  # a coefficient of variation below it is one of rounding
CORRELATION = 0.1  # within which a correlation is none
STRONGER = 0.05  # more than at first, and less is alike
MAPS = {"resnet": "ResNet", "transformer": "Transformer", "digits": "digits study", "claims": "claims study"}


def uneven(studies: Studies) -> Verdict:
    """Statement 1: under L2 the relative decay falls with sqrt(v); under AdamW all weights have the same."""
    l2, w = (_followed(studies["mechanism"], decoupled) for decoupled in (False, True))
    late = l2[l2["epoch"] > l2["epoch"].max() / 2] if len(l2) else l2
    tested = lower(_by_replicate(late, "decay_rank_correlation").values(), CORRELATION)
    word, why = tested.word()
    text = points(tested, unit="correlation") if tested.n else ""
    parts = [Part("Adam + L2", text, word, why or (missing("mechanism") if not tested.n else ""), tested.n)]
    spread = float(pd.to_numeric(w["decay_cv"]).max()) if len(w) else math.nan
    if math.isnan(spread):
        parts.append(Part("AdamW", "", NOT_MEASURED, missing("mechanism")))
    else:
        parts.append(Part("AdamW", f"spread {short(spread, 2)}", TRUE if spread <= ALIKE else FALSE))
    return stated(
        1,
        "AdamW is Adam with decay decoupled from the gradient step; L2 in Adam goes through the moments and is divided "
        "by sqrt(v), so it acts unevenly",
        "rank correlation of a weight's relative decay with sqrt(v) under L2; spread of the relative decay under AdamW",
        parts,
        "mechanism: dynamics.csv, plots/mechanism.png",
    )


def strong_late(studies: Studies) -> Verdict:
    """Statement 16: the share of a weight that L2 removes in a step, in the last quarter of a run over the first."""
    l2 = _followed(studies["mechanism"], False)
    ratios = []
    if len(l2):
        decay = l2[[f"decay_{k}" for k in range(1, 6)]].apply(pd.to_numeric, errors="coerce")
        l2 = l2.assign(log=np.log2(decay).mean(axis=1))
        quarter = l2["epoch"].max() / 4
        early, late = l2[l2["epoch"] <= quarter], l2[l2["epoch"] > 3 * quarter]
        first, last = (_by_replicate(part, "log") for part in (early, late))
        # Negative where L2 grows stronger, as `lower` wants it.
        ratios = [first[unit] - last[unit] for unit in first.keys() & last.keys()]
    tested = lower(ratios, math.log2(1 + STRONGER))
    word, why = tested.word()
    turned = lower([-one for one in ratios], 0.0)
    text = times(turned) if tested.n else ""
    part = Part("ResNet", text, word, why or (missing("mechanism") if not tested.n else ""), tested.n)
    return stated(
        16,
        "L2 in Adam is weak early, where gradients are large, and strong late",
        "share of a weight that L2 removes in a step at a constant rate, last quarter of the run over the first",
        [part],
        "mechanism: dynamics.csv, decay_1 to decay_5",
    )


def strength(folder: Path) -> Verdict:
    """Statement 10, from every study here or beside that has maps wide enough for a slope."""
    parts: list[Part] = []
    places = []
    for name, title in MAPS.items():
        found = place(folder, name)
        own = of_maps(title, read(found)) if found else []
        parts += own
        places += [found.name] if found and own else []
    parts = parts or [Part("maps", "", NOT_MEASURED, "no study here has a map of 5 rates")]
    return stated(
        10,
        "Learning rate influences the strength of decay in Adam + L2, not in AdamW",
        "slope of log2(best wd) on log2(lr), Adam + L2 and AdamW in the paper's units; in torch's AdamW's is one less",
        parts,
        f"{' and '.join(places)}: claims.csv, claims 5 and 6" if places else "–",
    )


def of_maps(title: str, study: Study) -> list[Part]:
    """What a study's maps say; [] where none has enough rates. Partly true: in the paper's units, not in torch's."""
    claims = judge(StudyResults(study.blocks, *(pd.DataFrame(),) * 2, study.dynamics))
    parts = []
    for block in study.blocks:
        own = {c.id: c for c in claims if c.family == "adam" and block in c.places}
        both = [own[name] for name in ("basin-l2", "basin-decoupled") if name in own]
        if len(both) < 2:
            continue
        where = f"{title}, {block.block.label}" if block.block.label else title
        text = " and ".join(number(claim.evidence.value) if claim.evidence else "–" for claim in both)
        parts.append(Part(where, text, *_strength(both, len(block.parts)), len(block.parts)))
    return parts


def _strength(both: list[Claim], replicates: int) -> tuple[str, str]:
    if replicates < REPLICATES:
        return OPEN, f"{max(1, replicates)} replicate{'s' if replicates > 1 else ''}; {REPLICATES} are needed"
    verdicts = [claim.verdict for claim in both]
    if REFUTED in verdicts:
        return FALSE, ""
    if verdicts == [CONFIRMED, CONFIRMED]:
        return PARTLY, ""
    return OPEN, next(claim.why for claim in both if claim.verdict != CONFIRMED)


def _followed(study: Study, decoupled: bool) -> pd.DataFrame:
    """The whole network's rows of dynamics.csv of Adam's trials with decay, with their replicates."""
    rows = [
        block.block.rows.loc[
            (block.block.rows["family"] == "adam")
            & (block.block.rows["wd"] > 0)
            & (block.block.rows["decoupled"] == decoupled),
            ["trial", "replicate"],
        ]
        for block in study.blocks
    ]
    if not rows or study.dynamics.empty:
        return pd.DataFrame()
    whole = study.dynamics[study.dynamics["kind"] == "all"]
    return whole.merge(pd.concat(rows), on="trial", how="inner")


def _by_replicate(rows: pd.DataFrame, column: str) -> dict[int, float]:
    if rows.empty:
        return {}
    means = pd.to_numeric(rows[column], errors="coerce").groupby(rows["replicate"]).mean()
    return {int(str(unit)): float(mean) for unit, mean in means.items()}
