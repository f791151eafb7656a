"""What all benchmarks share: options of the command line, turns, and tables that are printed and written row by row.

Nothing here imports torch, so that benchmarks of start-up do not wait for it; what needs it is in `devices`.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
Row = dict[str, Any]


def options(doc: str | None) -> argparse.ArgumentParser:
    """A parser whose --help prints the benchmark's docstring, `doc`, with the option --csv."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the rows here")
    return parser


def whole(text: str) -> int:
    """A number of the command line, `text`: 1 or more, or argparse says in one line that it is not."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be a whole number, 1 or more")
    return int(text)


def wholes(text: str) -> list[int]:
    """Several numbers, such as the `text` 1,4,16; each as in `whole`."""
    return [whole(part) for part in text.split(",")]


def words(text: str) -> list[str]:
    """The names in `text`, which have commas between them."""
    return text.split(",")


def refuse_unknown(parser: argparse.ArgumentParser, kind: str, chosen: Iterable[str], known: Collection[str]) -> None:
    """End `parser` with one line where a chosen name is none of the known ones; `kind` is what a name stands for."""
    if unknown := sorted(set(chosen) - set(known)):
        parser.error(f"unknown {kind} {', '.join(unknown)}: choose from {', '.join(known)}")


def turns(
    calls: Mapping[str, Callable[[], float]],
    rounds: int,
    warm: int = 0,
    before: Callable[[], object] = lambda: None,
    seconds: float = math.inf,
) -> dict[str, list[float]]:
    """What each call returns, in rounds of one call each, so that other work on the machine meets all alike.

    Args:
        calls: by name.
        rounds: how many count, at most.
        warm: rounds that come first and do not count.
        before: called at the beginning of each round.
        seconds: of this process's CPUs after which no round is begun but the first three that count.

    Returns: for each name what its calls returned, round by round.
    """
    results: dict[str, list[float]] = {name: [] for name in calls}
    end = time.process_time() + seconds
    for turn in range(warm + rounds):
        if turn >= warm + 3 and time.process_time() > end:
            break
        before()
        for name, call in calls.items():
            result = call()
            if turn >= warm:
                results[name].append(result)
    return results


def medians(results: Mapping[str, list[float]]) -> dict[str, float]:
    """The median of the `results` of each name."""
    return {name: statistics.median(values) for name, values in results.items()}


@dataclass(frozen=True)
class Ended:
    """A command that has ended: what it wrote, seconds on the wall and of CPUs, peak MiB of a process."""

    text: str
    seconds: float
    cpu: float
    mib: float


def command(words: Sequence[str], code: int = 0, **how: Any) -> Ended:
    """Run the command `words` to its end; another status than `code` ends the benchmark, with what it wrote.

    `how` goes to subprocess.Popen. Processes that the command starts and waits for count too.
    """
    with tempfile.TemporaryFile("w+") as output:
        start = time.perf_counter()
        process = subprocess.Popen(words, stdout=output, stderr=subprocess.STDOUT, **how)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        cpu, mib = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
        text = output.read()
    if process.returncode != code:
        raise SystemExit(f"{' '.join(words)}\nended with {process.returncode}:\n{text[-2000:]}")
    return Ended(text, seconds, cpu, mib)


class Table:
    """Rows that are printed as they come and, where there is a path, written as CSV after each.

    `columns`: what is printed, as `name` or `name:format`, separated by blanks. A name is a key of the rows and the
    heading alike. A format that begins with "<" is one of texts, which stand at the left. Other keys of a row go only
    to the CSV file. The file is written anew each time, so that what is stopped leaves what it had.
    """

    def __init__(self, columns: str, path: Path | None = None) -> None:
        self.formats = {name: form for name, _, form in (column.partition(":") for column in columns.split())}
        self.path = path
        self.rows: list[Row] = []

    def add(self, row: Row) -> None:
        """Print a `row`, after the heading if it is the first, and write all rows so far."""
        if not self.rows:
            print(self._line({name: name for name in self.formats}))
        cells = {name: format(row[name], form) for name, form in self.formats.items() if row.get(name) is not None}
        print(self._line(cells), flush=True)
        self.rows.append(row)
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("w", newline="") as file:
                names = list(dict.fromkeys(name for each in self.rows for name in each))
                writer = csv.DictWriter(file, names, lineterminator="\n")
                writer.writeheader()
                writer.writerows(self.rows)

    def extend(self, rows: Iterable[Row]) -> None:
        """`add` each of `rows`, as soon as there is one."""
        for row in rows:
            self.add(row)

    def _line(self, cells: Mapping[str, str]) -> str:
        parts = []
        for name, form in self.formats.items():
            left = form.startswith("<")
            width = max(len(name), int(form[1:]) if left else 8)
            parts.append(cells.get(name, "").ljust(width) if left else cells.get(name, "").rjust(width))
        return " ".join(parts).rstrip()
