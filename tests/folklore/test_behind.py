"""A clone has every file that the page says a verdict stands on."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "results" / "folklore"
FILE = re.compile(r"[\w./-]+\.(?:csv|png)\b")


def named(behind: str) -> list[list[str]]:
    """The files of a cell of `behind`, each with the places below results/ where it may lie.

    'resnet and ramp: trials.csv, lr; checks.csv: beta1_*' names a file of two studies and one beside the page. A
    study's folder lies in the page's or beside it.
    """
    found = []
    for part in behind.split("; "):
        places, _, what = part.partition(": ")
        if FILE.fullmatch(places):
            found.append([f"folklore/{places}"])
            continue
        for place in places.split(" and "):
            found += [[f"folklore/{place}/{file}", f"{place}/{file}"] for file in FILE.findall(what)]
    return found


def repository() -> set[str]:
    """Those below results/ that a clone has; without a repository, as in an archive of it, those that are there."""
    if not (ROOT / ".git").exists():
        return {path.relative_to(ROOT).as_posix() for path in (ROOT / "results").rglob("*")}
    call = ["git", "-C", str(ROOT), "ls-files", "results"]
    return set(subprocess.run(call, check=True, capture_output=True, text=True).stdout.splitlines())


def test_the_files_of_a_cell() -> None:
    assert named("a and b: t.csv, plots/p.png; checks.csv: x_*; 6 replicates") == [
        ["folklore/a/t.csv", "a/t.csv"],
        ["folklore/a/plots/p.png", "a/plots/p.png"],
        ["folklore/b/t.csv", "b/t.csv"],
        ["folklore/b/plots/p.png", "b/plots/p.png"],
        ["folklore/checks.csv"],
    ]


def test_every_file_behind_a_verdict_is_in_the_repository() -> None:
    """Large tables are there packed."""
    kept = repository()
    for number, behind in pd.read_csv(PAGE / "folklore.csv").set_index("number")["behind"].items():
        files = named(str(behind))
        assert files, f"statement {number} names no file"
        for places in files:
            assert any({f"results/{one}", f"results/{one}.gz"} & kept for one in places), f"{number}: {places[0]}"
