#!/usr/bin/env python3
"""Trials in an hour, of this runner and of other ways to train the same sweep: `python scripts/bench_trials.py [CASE]`.

Every way is a command of its own, so that start-up is in everybody's time, and trains the same trials: same networks
and initial weights, same data, epochs and evaluations. Ways take turns, round after round, and each round has another
seed; medians over rounds are reported. ours: `python -m runner -m ...`. typed: DataLoader, eager, a fused torch.optim
step, one trial after another. tuned: the same with care (see `scripts/peer_ways.py`). joblib: typed trials in as many
processes as there are cores.

Orders and augmentation differ between ways, so final errors are compared trial by trial: they agree if the mean
difference is within one example or three standard errors, over trials or, if larger, over rounds (those of a round
share initial weights and, with us, the order of examples: one round alone cannot say that errors differ).

On the CPU torch takes all cores for one trial; where other work takes them too, its threads wait for each other, and
typed and tuned can lose all they have: then --threads 1 is the fairer comparison.

The roofline is the time for each trial in which this machine would do its FLOPs or move its bytes, at the rates of a
large product of matrices and of a large copy in the same run, whichever takes longer; see `scripts/roofline.py`.

--growth: our way alone, with 1 to 1,024 trials. --profile: where the time of a stack goes.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
from pathlib import Path

import numpy as np
import root
import rows
import torch
from bench_cases import NAMES, Case, Took, make, refuse_unusable
from bench_growth import growth
from bench_profile import profile
from bench_step import device_name
from roofline import ceilings

WAYS = ("ours", "typed", "tuned", "joblib")
CIFAR = [name for name in NAMES if name.startswith("cifar")]
COLUMNS = (
    "case way trials seconds trials_per_hour ratio_to_ours final_val_error val_error_difference stderr flops bytes "
    "roofline_seconds share device threads precision torch python"
).split()
HEAD = f"{'case':<9}{'way':<8}{'trials':>6}{'seconds':>9}{'trials/h':>10}{'/ ours':>8}{'val error':>11}"
HEAD += f"{'difference':>12}{'± s.e.':>8}{'roofline s':>12}{'share':>7}"
Row = dict[str, object]


def measure(case: Case, ways: list[str], rounds: int) -> list[Row]:
    device = torch.device(case.device)
    trials = case.trials(0)
    rates = ceilings(device, trials[0].model.name, case.precision)
    floor = rates.seconds(case.cost)
    print(
        f"\n{case.name}: {len(trials)} trials, each {case.cost.flops / 1e9:,.1f} GFLOP ({case.cost.evaluation:.0%} to "
        f"evaluate) and {case.cost.bytes / 1e9:,.1f} GB; {case.cost.parameters:,} parameters; this machine: "
        f"{rates.flops / 1e9:,.0f} GFLOP/s and {rates.bytes / 1e9:,.0f} GB/s; load {os.getloadavg()[0]:.1f}\n"
        f"  {' '.join(case.command(0, Path('DIR'))[1:])}\n{HEAD}",
        flush=True,
    )
    took: dict[str, list[Took]] = {way: [] for way in ways}
    for turn in range(rounds):
        for place in range(len(ways)):  # another one begins in every round
            way = ways[(turn + place) % len(ways)]
            took[way].append(case.run(way, turn))
            # What is stopped before all ways have had their turn leaves this line of those that had.
            print(f"  {way}, round {turn}: {took[way][-1].seconds:.1f} s", flush=True)
    seconds = {way: statistics.median(t.seconds for t in found) for way, found in took.items()}
    measured = []
    for way in ways:
        difference, error = compared(took["ours"], took[way]) if "ours" in ways and way != "ours" else (None, None)
        row: Row = {
            "case": case.name,
            "way": way,
            "trials": len(trials),
            "seconds": round(seconds[way], 3),
            "trials_per_hour": round(3600 * len(trials) / seconds[way], 1),
            "ratio_to_ours": round(seconds["ours"] / seconds[way], 3) if "ours" in ways else None,
            "final_val_error": round(mean_error(took[way]), 4),
            "val_error_difference": difference,
            "stderr": error,
            "flops": f"{case.cost.flops:.4g}",
            "bytes": f"{case.cost.bytes:.4g}",
            "roofline_seconds": round(floor, 4),
            "share": round(floor * len(trials) / seconds[way], 4),
            "device": device_name(device),
            "threads": (case.threads if way in ("typed", "tuned") else None) or torch.get_num_threads(),
            "precision": "fp32" if way in ("typed", "joblib") else case.precision,
            "torch": torch.__version__,
            "python": platform.python_version(),
        }
        print(shown(row), flush=True)
        measured.append(row)
    for way in ways[1:] if ways[0] == "ours" else []:
        print(agreement(way, took["ours"], took[way], case))
    print(f"load {os.getloadavg()[0]:.1f}", flush=True)
    return measured


def mean_error(took: list[Took], split: str = "val") -> float:
    return statistics.mean(errors[split] for one in took for errors in one.errors.values())


def compared(ours: list[Took], theirs: list[Took], split: str = "val") -> tuple[float, float]:
    """Mean of their error less ours over all trials, and its standard error."""
    rounds = [
        np.array([other.errors[key][split] - errors[split] for key, errors in mine.errors.items()])
        for mine, other in zip(ours, theirs, strict=True)
    ]
    errors = [standard_error(np.concatenate(rounds))]
    if len(rounds) > 1:
        errors.append(standard_error(np.array([found.mean() for found in rounds])))
    return round(float(np.concatenate(rounds).mean()), 4), round(max(errors), 4)


def standard_error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / len(values) ** 0.5)


def agreement(way: str, ours: list[Took], theirs: list[Took], case: Case) -> str:
    found = {split: compared(ours, theirs, split) for split in ("val", "test")}
    text = ", ".join(f"{split} {difference:+.2f} ± {error:.2f} points" for split, (difference, error) in found.items())
    one = {split: 100 / len(getattr(case.dataset, split).y) for split in found}  # example, in points
    if all(abs(difference) < max(3 * error, 1.01 * one[split]) for split, (difference, error) in found.items()):
        return f"  {way}: final errors agree with ours ({text})"
    if len(ours) == 1:
        return f"  {way}: final errors may not agree with ours ({text}): one round does not say how far seeds differ"
    return f"  {way}: FINAL ERRORS DO NOT AGREE WITH OURS ({text}): this is not a comparison of speed"


def shown(row: Row) -> str:
    def of(key: str, form: str) -> str:
        return "" if row[key] is None else format(row[key], form)

    return (
        f"{row['case']:<9}{row['way']:<8}{row['trials']:>6}{row['seconds']:>9,.1f}{row['trials_per_hour']:>10,.0f}"
        f"{of('ratio_to_ours', '.2f'):>8}{row['final_val_error']:>11.2f}{of('val_error_difference', '+.2f'):>12}"
        f"{of('stderr', '.2f'):>8}{row['roofline_seconds']:>12,.3f}{row['share']:>7.0%}"
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "cases", nargs="*", metavar="CASE", help=f"of {', '.join(NAMES)}; default: digits; grid: 84 trials of it"
    )
    parser.add_argument("--ways", default=",".join(WAYS), help=f"default: {','.join(WAYS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, help="of typed and tuned on the CPU; default: torch's own choice")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="of ours and tuned")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the rows here")
    parser.add_argument("--growth", action="store_true", help="digits alone, ours alone, 1 to 1,024 trials of 2 epochs")
    parser.add_argument("--profile", action="store_true", help="ours alone: shares of the time of a stack")
    parser.add_argument("--epochs", type=int, help="default: 20 for digits and grid, 2 for the others")
    parser.add_argument("--cifar10", type=Path, metavar="FILE.npz", help="x_train, y_train, x_test, y_test")
    parser.add_argument(
        "--images", type=int, help="training images of CIFAR-10; default: 1,024, on CUDA 0, all of them"
    )
    parser.add_argument("--trials", type=int, default=4, help="of CIFAR-10, even, at most 16")
    chosen = parser.parse_args()
    if chosen.images is None:
        chosen.images = 0 if chosen.device.startswith("cuda") else 1024
    chosen.cases = chosen.cases or ["digits"]
    chosen.ways = chosen.ways.split(",")
    if unknown := set(chosen.cases) - set(NAMES):
        parser.error(f"unknown case {', '.join(sorted(unknown))}: choose from {', '.join(NAMES)}")
    if unknown := set(chosen.ways) - set(WAYS):
        parser.error(f"unknown way {', '.join(sorted(unknown))}: choose from {', '.join(WAYS)}")
    if set(chosen.cases) & set(CIFAR) and not chosen.cifar10:
        parser.error(f"{', '.join(CIFAR)}: give --cifar10 FILE.npz")
    if chosen.cifar10 and not chosen.cifar10.is_file():
        parser.error(f"--cifar10 {chosen.cifar10}: there is no such file")
    counts = [chosen.rounds, *(n for n in (chosen.threads, chosen.epochs) if n is not None)]
    if min(counts) < 1 or chosen.trials not in range(2, 17, 2):
        parser.error("--rounds, --threads and --epochs: 1 or more; --trials: an even number from 2 to 16")
    refuse_unusable(parser, chosen)
    return chosen


def main() -> None:
    chosen = arguments()
    device = torch.device(chosen.device)
    print(f"{device_name(device)}, {torch.get_num_threads()} CPU threads, torch {torch.__version__}, "
          f"n = {chosen.rounds} rounds, "
          f"typed and tuned with {chosen.threads or 'as many'} threads")  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if chosen.growth:
            growth(chosen.device, folder)
            return
        cases = [make(case, chosen, folder) for case in chosen.cases]
        if chosen.profile:
            for case in cases:
                profile(case, folder)
            return
        found: list[Row] = []
        for case in cases:
            found += measure(case, chosen.ways, chosen.rounds)
            rows.write(chosen.csv, COLUMNS, found)


if __name__ == "__main__":
    main()
