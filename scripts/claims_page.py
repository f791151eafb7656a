"""The lab book's table of verdicts, from the claims.csv of the committed studies: `claims(results)`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd

from runner.report.setting import NAMES

# What the claims table shows: (study, a pattern of "CLAIM | NAME | SCOPE"), and whatever is decided in these studies.
SHOWN = (
    ("claims-cpu", r"^[23] \||cosine schedule"),  # 2 and 3 are about several schedules
    ("restarts-cpu", r"^15 \|"),
    ("budgets-cpu", r"^1[01] \|"),  # which are about several budgets
    ("mechanism-cpu", r"^(18|19|21) \|"),
    ("scale-free-cpu", r"^(18|19|21) \|"),
    ("grokking-cpu", r"\|.*fractions"),
    ("decay-params-cpu", r"^(1|24) \|"),
    ("digits-cpu", r"^(1|25) \|"),
    ("cifar-16px-cpu", r"^1 \|"),
)
BOTH = ("digits-cpu", "decay-params-cpu")  # the studies of more than one network


def claims(results: Path) -> str:
    """The table of verdicts, from the claims.csv of the committed studies."""
    lines = ["| claim | verdict | again | measured, with its interval | the paper |", "|---|---|---|---:|---|"]
    rows = [row for study, words in SHOWN for row in _shown(results / study / "claims.csv", study, words)]
    for row in sorted(rows, key=lambda row: int(str(row["claim"]).partition(" ")[0])):
        because = str(row["why"]).split(";")[0] if row["verdict"] == "undecided" else ""
        value = f"{row['value']:.2g} [{row['low']:.2g}, {row['high']:.2g}]" if pd.notna(row["value"]) else "–"
        verdict = f"{row['verdict']} ({because})" if because else row["verdict"]
        what = str(row["statistic"]).split("(")[-1].rstrip(")") if "(" in str(row["statistic"]) else ""
        unit = " points" if what.startswith("points") else " %" if "percent of" in row["statistic"] else ""
        link = f"[{row['claim']}]({row['study']}/claims.md)"
        network = NAMES.get(str(row["scope"]).split()[0], "")
        found = re.search(r"(step|constant) schedule", str(row["scope"])) if row["study"] == "claims-cpu" else None
        schedule = found[0] if found else "photographs" if row["study"] == "cifar-16px-cpu" else ""
        place = network if row["study"] in BOTH else schedule
        name = f"{row['name']} ({place})" if place else row["name"]
        again = row["again"] or "–"
        lines.append(f"| {link}. {name} | {verdict} | {again} | {value}{unit} | {row['paper_value']} |")
    return "\n".join(lines) + "\n"


def came_again(results: Path) -> str:
    """How many verdicts of the studies that were trained again came out the same."""
    again_too = [path.parent for path in results.glob("*/again.csv")]
    studies = [study for study in again_too if (study / "claims.csv").exists()]  # the folklore has none
    rows = [row for study in studies for row in _shown(study / "claims.csv", "", "")]
    decided = [row for row in rows if row["verdict"] != "undecided" and row["again"]]
    again = [row["again"] == row["verdict"] or row["again"] for row in decided]
    same, left = again.count(True), again.count("undecided")
    return (
        f"Of the {len(again)} decided ones {same} came out again, {left} were undecided then, and "
        f"{len(again) - same - left} came out the other way.\n"
    )


def _shown(path: Path, study: str, pattern: str) -> list[dict[str, Any]]:
    """The rows of a study's claims.csv that the table shows."""
    rows = pd.read_csv(path, dtype={"claim": str}).fillna({"why": ""}).to_dict("records")
    wanted = [
        row
        for row in rows
        if row["verdict"] != "undecided" or re.search(pattern, f"{row['claim']} | {row['name']} | {row['scope']}")
    ]
    second = verdicts_again(path.parent)
    more = [{"study": study, "again": second.get((row["claim"], row["name"], row["scope"]), "")} for row in wanted]
    return [{str(key): value for key, value in row.items()} | own for row, own in zip(wanted, more, strict=True)]


def verdicts_again(study: Path) -> dict[tuple[str, str, str], str]:
    """The verdict on each claim (number, name, scope) when the study was trained once more with other splits and seeds.

    Empty for a study without again.csv, which `scripts/repeats.py STUDY SIZE --claims` writes.
    """
    path = study / "again.csv"
    if not path.exists():
        return {}
    rows = pd.read_csv(path, dtype={"claim": str}).to_dict("records")
    return {(row["claim"], row["name"], row["scope"]): row["verdict"] for row in rows if row["run"] == 2}
