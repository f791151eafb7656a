"""Kill a study's process again and again: `python -m tests.killing FOLDER KILLS SEED`; the rows must not show it.

Each victim is a fork of a process that has imported everything, so that it is in training, evaluation, checkpointing
or appending when SIGKILL comes, and not in an import.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

from runner.config.schedules import RestartsSettings
from runner.config.settings import RunSettings
from runner.execution.worker import Job, work
from runner.training import train  # noqa: F401 (imported here, so that no victim has to)
from tests.helpers import images, optimizer, trial


def job(folder: Path) -> Job:
    dataset = images(flip=True, pad=1)
    base = trial(dataset, epochs=6, schedule=RestartsSettings("restarts", t_0=1, t_mult=2))
    adam = replace(base, optimizer=optimizer("adam"), wd_convention="l2")
    trials = [replace(t, seed=seed) for seed in range(3) for t in (base, replace(base, lr=1e300), adam)]
    # Every pulse saves: most kills come while a checkpoint is being written.
    run = RunSettings(eval_every=2, checkpoint_every=0.0, diagnostics=True)
    stamps = {"study": folder.name, "phase": "search"}
    return Job(folder, [trials[:4], trials[4:6], trials[6:]], {base.dataset: dataset}, "cpu", stamps, run=run)


def victim(folder: Path) -> int:
    """The process id of a fork that trains what is left."""
    child = os.fork()
    if child == 0:
        work(job(folder), lambda kind, content: None)
        os._exit(0)
    return child


def main() -> None:
    folder, kills, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    delays, killed = random.Random(seed), 0
    while True:
        child = victim(folder)
        if killed < kills:
            time.sleep(delays.expovariate(6))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            killed += 1
        elif killed < kills:  # all was done before the last kills: begin another study
            folder = folder.with_name(f"{folder.name}+")
        else:
            break
    print(killed)


if __name__ == "__main__":
    main()
