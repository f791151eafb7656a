"""What trials, profile and stack train: `make(name, options)` is a case, `Case.run(way, seed)` trains it once.

A case is a command line of the runner. What the others have to train is read off the runner's own composition of it:
the same trials in torch's convention, the same splits, and the initial weights of each seed.
"""

from __future__ import annotations

import csv
import os
import sys
from argparse import ArgumentParser, Namespace
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from hydra import compose, initialize_config_module

from runner.config.compose import from_config
from runner.config.settings import Settings
from runner.data.dataset import Dataset
from runner.data.load import load
from runner.models.build import build
from runner.models.layers import initialise
from runner.training.feed import generator
from runner.trials.trial import Facts, Trial, expand
from scripts.bench.common import ROOT, Row, command, refuse_unknown, whole
from scripts.bench.devices import add_device, add_precision, refuse_unusable
from scripts.bench.roofline import Cost, cost
from scripts.parity.plain_models import Shape

OPTIMIZERS = ("adam", "adamw")
TEST = 300  # images, where the training images are cut down
RATES = (1e-3, 2e-3, 5e-4, 4e-3, 2.5e-4, 8e-3, 1.25e-4, 1.6e-2)  # of CIFAR-10, the middle first
CIFAR = ("cifar16", "cifar64")
NAMES = ("digits", "grid", "modular", *CIFAR)
Key = tuple[str, float, float, int]


@dataclass(frozen=True)
class Took:
    """A sweep: wall seconds from the command to its end, and the errors of each trial in percent by split."""

    seconds: float
    errors: dict[Key, dict[str, float]]


@dataclass(frozen=True)
class Case:
    """`words`: the command line after `python -m runner -m optimizer=adam,adamw`; `folder`: for all that is written.

    `threads`: of typed and tuned on the CPU, None for torch's default; the other ways take one thread in each process.
    """

    name: str
    words: tuple[str, ...]
    device: str
    precision: str
    folder: Path
    threads: int | None = None

    def composed(self, seed: int) -> list[Settings]:
        """For each optimizer what the runner makes of the command line with this `seed`."""
        with initialize_config_module("configs", version_base="1.3"):
            words = [[*self.words, f"optimizer={name}", f"seed={seed}"] for name in OPTIMIZERS]
            return [from_config(compose("config", each)) for each in words]

    def trials(self, seed: int) -> list[Trial]:
        """All trials of the command line with this `seed`."""
        facts = Facts.of(self.dataset)
        return [trial for settings in self.composed(seed) for trial in expand(settings, facts)]

    @cached_property
    def dataset(self) -> Dataset:
        """Of all trials."""
        return load(self.composed(0)[0].dataset)

    @cached_property
    def cost(self) -> Cost:
        """Of one trial."""
        trial = self.trials(0)[0]
        facts = trial.facts
        evaluated = trial.epochs * facts.val_size + facts.train_size + facts.test_size
        size, epochs = trial.batch_size, trial.epochs
        return cost(asdict(trial.model), self.shape, size, facts.train_size, evaluated, epochs, trial.precision)

    @property
    def shape(self) -> Shape:
        """Of an example as the plain networks take it, channels first."""
        example = self.dataset.train.x.shape[1:]
        if self.dataset.kind == "images":
            example = (example[2], *example[:2])
        return Shape(tuple(map(int, example)), self.dataset.classes, self.dataset.vocabulary)

    def command(self, seed: int, results: Path) -> list[str]:
        """The words of the runner's command, which writes to the folder `results`/bench."""
        sweep = ["-m", f"optimizer={','.join(OPTIMIZERS)}", *self.words, f"seed={seed}"]
        return [sys.executable, "-m", "runner", *sweep, f"device={self.device}", f"results={results}", "study=bench"]

    def run(self, way: str, seed: int) -> Took:
        """Train all trials once in a `way` of `bench trials`; SystemExit where it fails or leaves a trial out."""
        folder = self.folder / f"{self.name}-{way}-{seed}"
        folder.mkdir(parents=True)
        if way == "ours":
            rows = folder / "bench" / "trials.csv"
            words = self.command(seed, folder)
        else:
            rows = folder / "rows.csv"
            words = [sys.executable, str(ROOT / "scripts" / "bench"), "peer", "--way", way]
            words += ["--job", str(self.job(seed, folder)), "--csv", str(rows)]
        limit = {"OMP_NUM_THREADS": str(self.threads)} if self.threads and way in ("typed", "tuned") else {}
        ended = command(words, cwd=ROOT, env=os.environ | limit)
        with rows.open(newline="") as file:
            errors = {key(row): {s: float(row[f"{s}_error"]) for s in ("val", "test")} for row in csv.DictReader(file)}
        if missing := {key(peer_trial(trial)) for trial in self.trials(seed)} - errors.keys():
            raise SystemExit(f"{' '.join(words)}\nleft no row for {len(missing)} trials")
        return Took(ended.seconds, errors)

    def job(self, seed: int, folder: Path) -> Path:
        """The file that tells `bench peer` what to train: data, initial weights, torch's arguments of each trial.

        It is written to `folder`; the trials are those of `seed`.
        """
        trials = self.trials(seed)
        first, dataset = trials[0], self.dataset
        stacked = build(first.model, dataset, 1)
        initialise(stacked, [generator(seed, "init")])
        about: Row = {
            "model": asdict(first.model),
            "shape": self.shape,
            "splits": {name: (split.x, split.y) for name, split in dataset.splits.items()},
            "initial": stacked.state_dict(),
            "mean": dataset.mean,
            "std": dataset.std,
            "flip": dataset.flip,
            "pad": dataset.pad,
            "epochs": first.epochs,
            "batch_size": first.batch_size,
            "device": self.device,
            "precision": self.precision,
            # Each trial draws its own order: what two ways differ by is then not the luck of one order.
            "trials": [peer_trial(trial) | {"number": 1000 * seed + i} for i, trial in enumerate(trials)],
        }
        torch.save(about, path := folder / "job.pt")
        return path


def key(row: Row) -> Key:
    """What names a trial in a `row` of any way, as they write trials.csv or rows.csv."""
    return row["optimizer"], float(row["lr"]), float(row["wd"]), int(row["seed"])


def peer_trial(trial: Trial) -> Row:
    """torch.optim's arguments: L2 is the same there, decoupled decay is wd / lr of the paper's."""
    rule, decoupled = trial.rule, trial.decays()["wd_torch"]
    return {
        "optimizer": trial.optimizer.name,
        "lr": trial.lr,
        "wd": trial.wd,
        "weight_decay": trial.wd if decoupled is None else decoupled,
        "beta1": rule.beta1,
        "beta2": rule.beta2,
        "eps": rule.eps,
        "seed": trial.seed,
    }


def arguments(parser: ArgumentParser) -> Namespace:
    """Parse a command line that chooses cases, with the options that say what a case is.

    `parser`: with the benchmark's own options. Ends with one line for a case or an option that is none.
    """
    parser.add_argument("cases", nargs="*", default=["digits"], metavar="CASE", help=f"of {', '.join(NAMES)}; "
                        "default: digits, 32 trials; grid has 84 of the same")  # fmt: skip
    parser.add_argument("--threads", type=whole, help="of typed and tuned on the CPU; default: torch's own choice")
    parser.add_argument("--epochs", type=whole, help="default: 20 for digits and grid, 2 for the others")
    parser.add_argument("--cifar10", type=Path, metavar="FILE.npz", help="x_train, y_train, x_test, y_test")
    parser.add_argument("--images", type=int, help="training images of CIFAR-10; default: 1,024, on CUDA all (0)")
    parser.add_argument("--trials", type=int, default=4, help="of CIFAR-10, even, at most 16 (%(default)s)")
    add_device(parser)
    add_precision(parser, "fp32")
    chosen = parser.parse_args()
    if chosen.images is None:
        chosen.images = 0 if chosen.device.startswith("cuda") else 1024
    refuse_unknown(parser, "case", chosen.cases, NAMES)
    if set(chosen.cases) & set(CIFAR) and not chosen.cifar10:
        parser.error(f"{', '.join(CIFAR)}: give --cifar10 FILE.npz")
    if chosen.cifar10 and not chosen.cifar10.is_file():
        parser.error(f"--cifar10 {chosen.cifar10}: there is no such file")
    if chosen.trials not in range(2, 17, 2):
        parser.error("--trials: an even number from 2 to 16")
    refuse_unusable(parser, chosen)
    return chosen


def make(name: str, chosen: Namespace, folder: Path) -> Case:
    """The case of this `name`, of NAMES. `chosen`: the options of `arguments`; `folder`: for all that is written."""
    words = [f"precision={chosen.precision}"]
    if name in ("digits", "grid"):
        words += ["grid=digits_resnet", "wd_convention=paper", "batch_size=32", f"epochs={chosen.epochs or 20}"]
        if name == "digits":
            words += ["lr=[5e-3,1e-2,2e-2,4e-2]"]
            words += ["grid.adam.l2.wd=[1e-3,4e-3,1.6e-2,6.4e-2]", "grid.adamw.paper.wd=[5e-3,1e-2,2e-2,4e-2]"]
        else:  # all of it but wd = 0, where Adam and AdamW are one trial
            words += ["lr=[2.5e-3,5e-3,1e-2,2e-2,4e-2,8e-2,0.16]"]
            words += ["grid.adam.l2.wd=[1e-3,4e-3,1.6e-2,6.4e-2,0.256,1.024]"]
            words += ["grid.adamw.paper.wd=[5e-3,1e-2,2e-2,4e-2,8e-2,0.16]"]
    else:
        words += [f"epochs={chosen.epochs or 2}"]
        if name == "modular":
            words += ["dataset=modular", "model=transformer", "lr=[1e-3,2e-3]", "wd=[0.01,0.1]", "batch_size=512"]
        else:
            rates = ",".join(f"{rate:g}" for rate in sorted(RATES[: chosen.trials // len(OPTIMIZERS)]))
            words += ["dataset=npz", f"dataset.path={cut(chosen.cifar10, chosen.images, folder)}"]
            words += ["dataset.flip=true", "dataset.pad=4", "batch_size=128"]
            words += ["model=shakeshake", f"model.width={name.removeprefix('cifar')}"]
            words += [f"lr=[{rates}]", "wd=1.25e-4", "wd_convention=paper"]
    return Case(name, tuple(words), chosen.device, chosen.precision, folder, chosen.threads)


def cut(path: Path, images: int, folder: Path) -> Path:
    """An .npz with the first `images` training images and some test images of that at `path`; with 0 that itself.

    It is written to `folder`, once.
    """
    if not images:
        return path.resolve()
    target = folder / f"images-{images}.npz"
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with np.load(path) as data:
            lengths = {"train": images, "test": TEST}
            np.savez(target, **{name: data[name][: lengths[name[2:]]] for name in data.files if name[2:] in lengths})
    return target
