"""How long commands take from typing to their end, and what they import: `python scripts/bench start [--rounds 5]`.

`seconds` is the median wall time of a fresh process, start to end, and `cpu_s` the CPU time of the last run, which
other work on the machine disturbs less. `target_s` is what the project aims at on two quiet cores. `modules` counts the
modules that the main process imports (of `python -X importtime`, in a run of its own), and the columns after it say
which of the slow ones are among them. The commands take turns, and each is run once beforehand, so that files are in
the system's cache.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from scripts.bench.common import ROOT, Ended, Row, Table, command, medians, options, refuse_unknown, turns, whole, words

SLOW = ("torch", "sklearn", "matplotlib", "pandas")
TRIAL = ("optimizer=adamw", "wd=0.01")
# What is run, by name: the words after `python -m`, the exit status, and the target in seconds. The commands with
# "{new}" train one trial in a folder of their own; those with "{old}" meet a study that is finished.
COMMANDS: dict[str, tuple[tuple[str, ...], int, float]] = {
    "help": (("runner", "--help"), 0, 0.6),
    "config": (("runner", "--cfg", "job"), 0, 0.6),
    "wrong": (("runner", "optimizer=adamm"), 2, 0.6),
    "trial": (("runner", *TRIAL, "results={new}"), 0, 4.0),
    "again": (("runner", *TRIAL, "results={old}"), 0, 1.0),
    "report": (("runner.report", "{old}/digits-resnet"), 0, 1.0),
}


class Runs:
    """Runs the commands in a folder that is gone afterwards."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cpu: dict[str, float] = {}  # seconds of the last run of each

    def run(self, name: str, options: Sequence[str] = ()) -> Ended:
        """Run a command, with options of the interpreter; another status than the right one ends the benchmark."""
        words, status, _ = COMMANDS[name]
        shutil.rmtree(self.folder / "new", ignore_errors=True)
        places = {"new": self.folder / "new", "old": self.folder / "old"}
        line = [sys.executable, *options, "-m", *(word.format(**places) for word in words)]
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        return command(line, status, cwd=self.folder, env=os.environ | {"PYTHONPATH": path})

    def seconds(self, name: str) -> float:
        ended = self.run(name)
        self.cpu[name] = ended.cpu
        return ended.seconds

    def imported(self, name: str) -> set[str]:
        """The full names of all modules that the command imports."""
        lines = self.run(name, ("-X", "importtime")).text.splitlines()
        # Each is "import time: SELF | CUMULATIVE | MODULE", after one that says so.
        return {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--rounds", type=whole, default=5, help="timed runs of each command (%(default)s)")
    parser.add_argument("--commands", type=words, default=list(COMMANDS), help=f"default: {','.join(COMMANDS)}")
    chosen = parser.parse_args()
    refuse_unknown(parser, "command", chosen.commands, COMMANDS)
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(Path(folder))
        if not {"again", "report"}.isdisjoint(chosen.commands):
            runs.run("trial")
            (runs.folder / "new").rename(runs.folder / "old")
        modules = {name: runs.imported(name) for name in chosen.commands}
        wall = turns({name: partial(runs.seconds, name) for name in chosen.commands}, chosen.rounds, warm=1)
    slow = " ".join(f"{module}:<6" for module in SLOW)
    table = Table(f"command:<52 seconds:.2f target_s:.1f met:<4 min_s:.2f cpu_s:.2f modules {slow}", chosen.csv)
    for name, median in medians(wall).items():
        words_of, _, target = COMMANDS[name]
        row: Row = {"command": f"python -m {' '.join(words_of)}".replace("{new}", "DIR").replace("{old}", "DIR")}
        row["command"] += " again" * (name == "again")
        row |= {"seconds": round(median, 3), "target_s": target, "met": "yes" if median <= target else "no"}
        row |= {"min_s": round(min(wall[name]), 3), "cpu_s": round(runs.cpu[name], 3)}
        row |= {"modules": len(modules[name]) - 1, "n": chosen.rounds}
        table.add(row | {module: "yes" if module in modules[name] else "-" for module in SLOW})
