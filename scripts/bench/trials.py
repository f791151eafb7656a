"""Trials in an hour, of this runner and of other ways to train the same sweep: `python scripts/bench trials [CASE]`.

Every way is a command of its own, so that start-up is in everybody's time, and trains the same trials: same networks
and initial weights, same data, epochs and evaluations. Ways take turns, round after round, and each round has another
seed; medians over rounds are reported. ours: `python -m runner -m ...`. typed: DataLoader, eager, a fused torch.optim
step, one trial after another. tuned: the same with care (see `scripts/bench/peer.py`). joblib: typed trials in as many
processes as there are cores.

Orders and augmentation differ between ways, so final errors are compared trial by trial: they agree if the mean
difference is within one example or three standard errors, over trials or, if larger, over rounds (those of a round
share initial weights and, with us, the order of examples: one round alone cannot say that errors differ).

On the CPU torch takes all cores for one trial; where other work takes them too, its threads wait for each other, and
typed and tuned can lose all they have: then --threads 1 is the fairer comparison.

The roofline is the time for each trial in which this machine would do its FLOPs or move its bytes, at the rates of a
large product of matrices and of a large copy in the same run, whichever takes longer; see `scripts/bench/roofline.py`.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from pathlib import Path

import numpy as np
import torch

from scripts.bench.cases import Case, Took, arguments, make
from scripts.bench.common import Table, options, refuse_unknown, whole, words
from scripts.bench.devices import machine, stamps
from scripts.bench.roofline import ceilings

WAYS = ("ours", "typed", "tuned", "joblib")
SHOWN = (
    "case:<8 way:<7 trials seconds:,.1f trials_per_hour:,.0f ratio_to_ours:.2f final_val_error:.2f "
    "val_error_difference:+.2f stderr:.2f roofline_seconds:,.3f share:.0%"
)


def measure(case: Case, ways: list[str], rounds: int, table: Table) -> None:
    """Adds a row for each way; says before what a trial has to compute, and after whether final errors agree."""
    device = torch.device(case.device)
    trials = case.trials(0)
    rates = ceilings(device, trials[0].model.name, case.precision)
    floor = rates.seconds(case.cost)
    print(
        f"\n{case.name}: {len(trials)} trials, each {case.cost.flops / 1e9:,.1f} GFLOP ({case.cost.evaluation:.0%} to "
        f"evaluate) and {case.cost.bytes / 1e9:,.1f} GB; {case.cost.parameters:,} parameters; this machine: "
        f"{rates.flops / 1e9:,.0f} GFLOP/s and {rates.bytes / 1e9:,.0f} GB/s; load {os.getloadavg()[0]:.1f}\n"
        f"  {' '.join(case.command(0, Path('DIR'))[1:])}",
        flush=True,
    )
    runs: dict[str, list[Took]] = {way: [] for way in ways}
    for turn in range(rounds):
        for place in range(len(ways)):  # another one begins in every round
            way = ways[(turn + place) % len(ways)]
            runs[way].append(case.run(way, turn))
            # What is stopped before all ways have had their turn leaves this line of those that had.
            print(f"  {way}, round {turn}: {runs[way][-1].seconds:.1f} s", flush=True)
    seconds = {way: statistics.median(run.seconds for run in own) for way, own in runs.items()}
    for way in ways:
        difference, error = compared(runs["ours"], runs[way]) if "ours" in ways and way != "ours" else (None, None)
        table.add(
            {
                "case": case.name,
                "way": way,
                "trials": len(trials),
                "seconds": round(seconds[way], 3),
                "trials_per_hour": round(3600 * len(trials) / seconds[way], 1),
                "ratio_to_ours": round(seconds["ours"] / seconds[way], 3) if "ours" in ways else None,
                "final_val_error": round(mean_error(runs[way]), 4),
                "val_error_difference": difference,
                "stderr": error,
                "flops": f"{case.cost.flops:.4g}",
                "bytes": f"{case.cost.bytes:.4g}",
                "roofline_seconds": round(floor, 4),
                "share": round(floor * len(trials) / seconds[way], 4),
                "precision": "fp32" if way in ("typed", "joblib") else case.precision,
                **stamps(device),
                **({"threads": case.threads} if case.threads and way in ("typed", "tuned") else {}),
            }
        )
    for way in ways:
        if "ours" in ways and way != "ours":
            print(agreement(way, runs["ours"], runs[way], case))
    print(f"load {os.getloadavg()[0]:.1f}", flush=True)


def mean_error(runs: list[Took]) -> float:
    return statistics.mean(errors["val"] for run in runs for errors in run.errors.values())


def compared(ours: list[Took], others: list[Took], split: str = "val") -> tuple[float, float]:
    """Mean of the others' error less ours over all trials, and its standard error."""
    rounds = [
        np.array([other.errors[key][split] - errors[split] for key, errors in own.errors.items()])
        for own, other in zip(ours, others, strict=True)
    ]
    errors = [standard_error(np.concatenate(rounds))]
    if len(rounds) > 1:
        errors.append(standard_error(np.array([differences.mean() for differences in rounds])))
    return round(float(np.concatenate(rounds).mean()), 4), round(max(errors), 4)


def standard_error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / len(values) ** 0.5)


def agreement(way: str, ours: list[Took], others: list[Took], case: Case) -> str:
    by_split = {split: compared(ours, others, split) for split in ("val", "test")}
    text = ", ".join(f"{split} {mean:+.2f} ± {error:.2f} points" for split, (mean, error) in by_split.items())
    one = {split: 100 / len(getattr(case.dataset, split).y) for split in by_split}  # example, in points
    if all(abs(mean) < max(3 * error, 1.01 * one[split]) for split, (mean, error) in by_split.items()):
        return f"  {way}: final errors agree with ours ({text})"
    if len(ours) == 1:
        return f"  {way}: final errors may not agree with ours ({text}): one round does not say how far seeds differ"
    return f"  {way}: FINAL ERRORS DO NOT AGREE WITH OURS ({text}): this is not a comparison of speed"


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--ways", type=words, default=list(WAYS), help=f"default: {','.join(WAYS)}")
    parser.add_argument("--rounds", type=whole, default=3, help="default: %(default)s")
    chosen = arguments(parser)
    refuse_unknown(parser, "way", chosen.ways, WAYS)
    threads = chosen.threads or "as many"
    print(f"{machine(chosen.device)}, n = {chosen.rounds} rounds, typed and tuned with {threads} threads")
    table = Table(SHOWN, chosen.csv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for case in [make(case, chosen, folder) for case in chosen.cases]:
            measure(case, chosen.ways, chosen.rounds, table)
