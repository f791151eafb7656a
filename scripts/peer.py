#!/usr/bin/env python3
"""Train the trials of a job without the runner: `python scripts/peer.py --way typed --job FILE.json`.

typed: one trial after another, as one would type it. tuned: the same by someone who took trouble. joblib: typed trials
in as many processes as there are cores, one thread each. `scripts/bench_cases.py` writes the job; rows go to the CSV
file that it names.
"""

from __future__ import annotations

import argparse
import csv
import os
from pathlib import Path

import root
from peer_ways import Row, read, tuned, typed


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def one_thread(job: Path, trial: Row, workers: int) -> Row:
    import torch

    torch.set_num_threads(1)
    return typed(job, trial, workers)


def train(way: str, job: Path) -> list[Row]:
    about = read(job)
    trials = about["trials"]
    if way == "typed":
        return [typed(job, trial) for trial in trials]
    if way == "tuned":
        return [tuned(job, trial) for trial in trials]
    from joblib import Parallel, delayed  # type: ignore[import-untyped]

    # On a CPU every core trains already; loading in more processes would take it from them.
    workers = 0 if about["device"] == "cpu" else 2
    return list(Parallel(cores())(delayed(one_thread)(job, trial, workers) for trial in trials))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--way", choices=("typed", "tuned", "joblib"), required=True)
    parser.add_argument("--job", type=Path, required=True, metavar="FILE.json")
    chosen = parser.parse_args()
    rows = train(chosen.way, chosen.job)
    with Path(read(chosen.job)["rows"]).open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
