#!/usr/bin/env python3
"""The paper's Figure 2 in so many minutes: `python scripts/figure2.py --images cifar10.npz --minutes 8`.

Adam + L2 and AdamW over the paper's 11 x 11 cells. How long a trial takes is measured first, and from that the number
of epochs follows, which is said before anything is trained, with the trials and minutes. The study is named by it, so
the same command goes on where it stopped, with the epochs that it has begun with. What comes after the options is
passed on to the runner: `model=shakeshake model.width=16`, `optimizer=adam,adamw,sgd,sgdw`, `final_seeds=5`.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from hydra import compose, initialize_config_module
from hydra.errors import HydraException

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from runner.config.compose import from_config
from runner.config.settings import RunSettings
from runner.data.dataset import Dataset
from runner.data.load import load
from runner.errors import UserError
from runner.execution.estimate import stack_seconds
from runner.trials.plan import Layout, plan
from runner.trials.trial import Facts, Trial, expand, unique

SHARE = 0.9  # of the minutes for training; the rest is for start-up, the report, and what was measured too short
LONG = 101  # epochs of the second estimate: what it adds to that of one epoch is a hundred epochs' time


@dataclass(frozen=True)
class Pace:
    """Seconds that all trials take: once, as for the last evaluation, and for each epoch."""

    once: float
    epoch: float

    def epochs(self, seconds: float) -> int:
        """As many as fit, one at least."""
        return max(1, math.floor((seconds - self.once) / self.epoch))


def words(chosen: argparse.Namespace, more: list[str]) -> list[str]:
    """The runner's command line, without epochs and study."""
    usual = ["dataset=npz", f"dataset.path={chosen.images.resolve()}", f"dataset.label='{chosen.label}'"]
    usual += ["dataset.flip=true", "dataset.pad=4", "model=resnet", "model.depth=20", "model.width=16"]
    usual += ["grid=paper", "wd_convention=paper", "optimizer=adam,adamw", "batch_size=128", "checkpoint_every=600"]
    usual += [f"precision={'bf16' if chosen.device == 'cuda' else 'fp32'}", f"device={chosen.device}"]
    typed = {word.partition("=")[0] for word in more}
    return [word for word in usual if word.partition("=")[0] not in typed] + more


def trials_of(line: list[str]) -> tuple[list[Trial], Dataset]:
    """What the command line would train, and on what; optimizers are the only sweep."""
    (named,) = [word.partition("=")[2] for word in line if word.startswith("optimizer=")]
    rest = [word for word in line if not word.startswith("optimizer=")]
    with initialize_config_module("configs", version_base="1.3"):
        settings = [from_config(compose("config", [*rest, f"optimizer={name}"])) for name in named.split(",")]
    dataset = load(settings[0].dataset)
    facts = Facts.of(dataset)
    return list(unique(trial for each in settings for trial in expand(each, facts)).values()), dataset


def measured(trials: list[Trial], dataset: Dataset, device: str) -> Pace:
    """From a few steps and evaluations of the largest stack of each shape."""
    where, processes = torch.device(device), 1 if device == "cuda" else os.cpu_count() or 1
    torch.set_num_threads(1 if device == "cpu" else torch.get_num_threads())
    pace = Pace(0.0, 0.0)
    shapes: dict[object, list[list[Trial]]] = {}
    for stack in plan(trials, Layout(device, 0, processes)):
        shapes.setdefault(stack[0].stack_key, []).append(stack)
    for stacks in shapes.values():
        largest = max(stacks, key=len)
        rounds = math.ceil(len(stacks) / processes)
        one, many = (
            rounds * stack_seconds([replace(t, epochs=n) for t in largest], dataset, where, RunSettings(eval_every=n))
            for n in (1, LONG)
        )
        each = max((many - one) / (LONG - 1), one / LONG)
        pace = Pace(pace.once + max(0.0, one - each), pace.epoch + each)
    return pace


def begun(results: Path) -> int:
    """The epochs of the study in this folder that was begun; 0 where none was."""
    names = [re.fullmatch(r"figure2-(\d+)-epochs", path.name) for path in sorted(results.glob("figure2-*-epochs"))]
    return max((int(name[1]) for name in names if name), default=0)


def arguments() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cuda = torch.cuda.is_available()
    parser.add_argument(
        "--images", type=Path, required=True, metavar="FILE.npz", help="x_train, y_train, x_test, y_test"
    )
    parser.add_argument("--minutes", type=float, default=60, help="for all of it (%(default)s)")
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="default: %(default)s")
    parser.add_argument("--label", default="CIFAR-10", help="what tables call the images (%(default)s)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if cuda else "cpu")
    parser.add_argument("--dry-run", action="store_true", help="say what would be trained")
    chosen, more = parser.parse_known_args()
    if not chosen.images.is_file():
        parser.error(f"--images {chosen.images}: no such file")
    if not 0 < chosen.minutes < math.inf:
        parser.error(f"--minutes {chosen.minutes:g}: must be a positive number")
    for word in more:
        if "=" not in word or word.partition("=")[0] in ("epochs", "study", "results", "device", "max_minutes"):
            parser.error(f"{word}: must be KEY=VALUE of the runner, and no key that this script sets itself")
    return chosen, more


def main() -> int:
    chosen, more = arguments()
    line = words(chosen, more)
    try:
        trials, dataset = trials_of(line)
    except (UserError, HydraException) as error:
        print(f"figure2.py: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    epochs = begun(chosen.results)
    if epochs:
        print(f"{len(trials)} trials, {epochs} epochs each as begun in {chosen.results}; going on", flush=True)
    else:
        pace = measured(trials, dataset, chosen.device)
        epochs = pace.epochs(60 * chosen.minutes * SHARE)
        needed = (pace.once + epochs * pace.epoch) / 60
        print(f"{len(trials)} trials, {epochs} epochs each, about {needed:.1f} minutes of training", flush=True)
        if needed > chosen.minutes:
            print(f"one epoch takes longer than --minutes {chosen.minutes:g}: the same command goes on", flush=True)
    command = [sys.executable, "-m", "runner", "-m", *line, f"epochs={epochs}", f"eval_every={max(1, epochs // 4)}"]
    command += [f"study=figure2-{epochs}-epochs", f"results={chosen.results}", f"max_minutes={chosen.minutes}"]
    command += ["dry_run=true"] * chosen.dry_run
    print(" ".join(command[1:]), flush=True)
    return subprocess.run(command, check=False, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}).returncode


if __name__ == "__main__":
    sys.exit(main())
